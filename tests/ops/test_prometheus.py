"""Prometheus itself accepts the configuration and the rules, the rules do what their own tests say, and all that they
name is really exposed."""

import re
from pathlib import Path

import pytest

from tests.support import alerting, promql
from tests.support.alerting import FOLDER, ORDINARY, RULES, TESTS, Rule
from tests.support.exposition import Series
from tests.support.promql import Matcher, Selector
from tests.support.tools import called, tool

RULES_FOUND = alerting.rules()


def checked(*arguments: str | Path) -> str:
    """What promtool printed; it must have been content."""
    code, text = called([tool("promtool"), *map(str, arguments)])
    assert code == 0, text
    return text


@pytest.mark.broker
def test_prometheus_accepts_the_configuration() -> None:
    assert "is valid prometheus config file" in checked("check", "config", FOLDER / "prometheus.yml")


@pytest.mark.broker
def test_prometheus_accepts_the_rules() -> None:
    assert f"{len(RULES_FOUND)} rules found" in checked("check", "rules", "--lint-fatal", RULES)


@pytest.mark.broker
def test_the_rules_pass_their_own_tests() -> None:
    checked("test", "rules", TESTS)


@pytest.mark.parametrize("rule", RULES_FOUND, ids=lambda rule: rule.name)
def test_a_rule_names_only_what_is_exposed(rule: Rule, exposed: dict[str, Series]) -> None:
    assert promql.selectors(rule.expression)
    assert promql.faults(rule.expression, exposed) == []


@pytest.mark.parametrize("rule", RULES_FOUND, ids=lambda rule: rule.name)
def test_a_rule_says_how_bad_it_is_and_what_to_do(rule: Rule) -> None:
    assert re.search(r"^        labels: \{severity: (critical|warning)\}$", rule.rest, re.MULTILINE)
    for part in ("summary", "description"):
        assert re.search(rf'^          {part}: "?\S.{{10,}}$', rule.rest, re.MULTILINE), f"no {part}"


def test_the_input_of_the_rules_tests_is_what_is_exposed(exposed: dict[str, Series]) -> None:
    """A test on a name or a label's value that never comes would prove nothing."""
    for series in alerting.every_series():
        (found,) = promql.selectors(series)
        assert promql.unknown(found, exposed) == [], series


@pytest.mark.parametrize("rule", RULES_FOUND, ids=lambda rule: rule.name)
def test_an_ordinary_day_has_all_that_a_rule_looks_at(rule: Rule) -> None:
    """Or the rule would be silent on that day for want of anything to look at."""
    present = [promql.selectors(series)[0] for series in alerting.input_series(ORDINARY)]
    for wanted in promql.selectors(rule.expression):
        assert any(matches(wanted, one) for one in present), f"no {wanted}"


def matches(wanted: Selector, given: Selector) -> bool:
    """Whether a series is one that a selector selects."""
    labels = {matcher.label: matcher.value for matcher in given.matchers}
    return wanted.name == given.name and all(
        holds(matcher, labels.get(matcher.label, "")) for matcher in wanted.matchers
    )


def holds(matcher: Matcher, value: str) -> bool:
    """Whether a label's value meets a condition."""
    alike = value == matcher.value if matcher.operator in ("=", "!=") else bool(re.fullmatch(matcher.value, value))
    return alike != matcher.operator.startswith("!")


def missed(folder: Path, tests: str, expression: str) -> list[str]:
    """The alerts that promtool does not complain about when every rule has this expression instead of its own."""
    (folder / "tests.yml").write_text(tests.replace("../rules/vigil.yml", "rules.yml"))
    (folder / "rules.yml").write_text(alerting.with_expressions(expression))
    code, text = called([tool("promtool"), "test", "rules", str(folder / "tests.yml")])
    assert code == 1, text
    return [rule.name for rule in RULES_FOUND if f'"{rule.name}"' not in text]


@pytest.mark.broker
def test_a_rule_that_never_fires_is_caught(tmp_path: Path) -> None:
    assert missed(tmp_path, TESTS.read_text(), "vector(1) > 2") == []


@pytest.mark.broker
def test_a_rule_that_fires_on_an_ordinary_day_is_caught(tmp_path: Path) -> None:
    assert missed(tmp_path, alerting.only(ORDINARY), "vector(1)") == []
