"""Prometheus itself accepts the configuration and the rules, and the rules do what their own tests say."""

import re
from pathlib import Path

from tests.support.tools import REPOSITORY, called, tool

FOLDER = REPOSITORY / "deploy" / "prometheus"
RULES = FOLDER / "rules" / "vigil.yml"
TESTS = FOLDER / "tests" / "vigil_test.yml"


def checked(*arguments: str | Path) -> str:
    """What promtool printed; it must have been content."""
    code, text = called([tool("promtool"), *map(str, arguments)])
    assert code == 0, text
    return text


def test_prometheus_accepts_the_configuration() -> None:
    assert "is valid prometheus config file" in checked("check", "config", FOLDER / "prometheus.yml")


def test_prometheus_accepts_the_rules() -> None:
    assert "rules found" in checked("check", "rules", "--lint-fatal", RULES)


def test_the_rules_pass_their_own_tests() -> None:
    checked("test", "rules", TESTS)


def test_every_rule_is_seen_to_fire() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert len(alerts) == len(set(alerts)) > 10
    tests = TESTS.read_text()
    assert [alert for alert in alerts if f'alertname="{alert}"' not in tests] == []


def test_a_rule_that_never_fires_is_caught(tmp_path: Path) -> None:
    """The rules' tests are not empty words: each alert, made deaf, fails them."""
    rules, tests = RULES.read_text(), TESTS.read_text()
    (tmp_path / "vigil_test.yml").write_text(tests.replace("../rules/vigil.yml", "vigil.yml"))
    deaf = re.sub(r"(vigil_store_healthy == )0( or)", r"\g<1>2\g<2>", rules).replace("> 300", "> 1e9")
    assert deaf != rules
    (tmp_path / "vigil.yml").write_text(deaf)
    code, text = called([tool("promtool"), "test", "rules", str(tmp_path / "vigil_test.yml")])
    assert code != 0
    assert "VigilAlarmUnacknowledged" in text
