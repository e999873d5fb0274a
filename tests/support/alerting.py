"""The alert rules and their promtool tests as text, read without a YAML library: both files keep to a few plain forms."""

import re
from dataclasses import dataclass

from tests.support.tools import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "prometheus"
RULES = FOLDER / "rules" / "vigil.yml"
TESTS = FOLDER / "tests" / "vigil_test.yml"
ORDINARY = "an ordinary day raises nothing"

_RULE = re.compile(
    r"^      - alert: (?P<name>\w+)\n(?:        #[^\n]*\n)*        expr: (?P<expression>.*?)\n"
    r"(?=        (?:for|labels):)(?P<rest>.*?)(?=\n\n|\Z)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One alert. rest: everything below its expression."""

    name: str
    expression: str
    rest: str


def rules() -> list[Rule]:
    """Every alert of the rules file."""
    found = [
        Rule(name=match["name"], expression=match["expression"].removeprefix("|").strip(), rest=match["rest"])
        for match in _RULE.finditer(RULES.read_text())
    ]
    assert len(found) == RULES.read_text().count("- alert:") > 15, "an alert is not in the form that is read here"
    return found


def with_expressions(expression: str) -> str:
    """The rules file with `expression` in place of each."""
    return _RULE.sub(lambda match: match[0].replace(match["expression"], expression), RULES.read_text())


def only(test: str) -> str:
    """The file of promtool tests with none but the one of this name."""
    head, *tests = re.split(r"^(?=  - name: )", TESTS.read_text(), flags=re.MULTILINE)
    (found,) = [one for one in tests if one.startswith(f"  - name: {test}\n")]
    return head + found


def input_series(test: str) -> list[str]:
    """The input series of one promtool test."""
    return _series(only(test))


def every_series() -> list[str]:
    """The input series of all promtool tests."""
    return _series(TESTS.read_text())


def _series(text: str) -> list[str]:
    found = re.findall(r"- \{series: '([^']+)'", text)
    assert len(found) == text.count("series: '")
    return found
