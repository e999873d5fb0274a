"""As much of PromQL as tests need to hold an expression against what is really exposed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.support.exposition import Series

TARGET_LABELS = frozenset({"job", "instance"})  # put on by Prometheus, not by us
OWN = frozenset({"up", "ALERTS"})  # series that Prometheus makes itself
JOBS = {"vigil-gateway", "vigil-ledger"}
OF_COUNTERS = ("rate", "increase")

_SELECTOR = re.compile(r"\b((?:vigil_\w+)|up|ALERTS)\b\s*(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
_NAMELESS = re.compile(r"\"[^\"]*\"|\{[^}]*\}|\[[^\]]*\]|\$\w+|\b\d+(?:[smhd]|e\d+)?\b")
_WORD = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_KNOWN = frozenset(
    "sum min max avg count topk by on and or unless bool offset clamp_min group_left time vector absent rate increase changes "
    "resets histogram_quantile min_over_time max_over_time avg_over_time sort_desc label_replace".split()
)


class Matcher(NamedTuple):
    """One condition on a label."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One named series in an expression. inside: the function whose argument it is, or an empty text."""

    name: str
    matchers: tuple[Matcher, ...]
    inside: str


def selectors(expression: str) -> list[Selector]:
    """Every named series of an expression."""
    found = []
    for match in _SELECTOR.finditer(expression):
        before = re.search(r"(\w+)\s*\(\s*$", expression[: match.start()])
        matchers = tuple(Matcher(*parts) for parts in _MATCHER.findall(match[2] or ""))
        found.append(Selector(name=match[1], matchers=matchers, inside=before[1] if before else ""))
    return found


def groupings(expression: str) -> set[str]:
    """Every label that an expression groups or joins by."""
    return {
        label for match in _GROUPING.finditer(expression) for label in re.split(r"[\s,]+", match[1].strip()) if label
    }


def faults(expression: str, series: Mapping[str, Series]) -> list[str]:
    """What an expression names that is not there: series, labels, values; and counters not taken as such."""
    found, labels = [], set(TARGET_LABELS)
    for selector in selectors(expression):
        found += unknown(selector, series)
        if selector.name in series:
            known = series[selector.name]
            labels |= known.labels.keys()
            if (known.kind in ("counter", "histogram")) != (selector.inside in OF_COUNTERS):
                found.append(f"{selector.name} is a {known.kind} inside {selector.inside or 'nothing'}")
    found += [f"no series here has the label {label}" for label in groupings(expression) - labels]
    rest = _NAMELESS.sub(" ", _GROUPING.sub(" ", expression))
    words = set(_WORD.findall(rest)) - _KNOWN - {selector.name for selector in selectors(expression)}
    return found + [f"{word} is neither a series nor a function known here" for word in sorted(words)]


def unknown(selector: Selector, series: Mapping[str, Series]) -> list[str]:
    """What one selector names that is not there: the series, a label, a value of a label."""
    if selector.name in OWN:
        jobs = [matcher.value for matcher in selector.matchers if (matcher.label, matcher.operator) == ("job", "=")]
        return [f"there is no job {job}" for job in jobs if job not in JOBS]
    if selector.name not in series:
        return [f"nothing exposes {selector.name}"]
    labels = series[selector.name].labels
    found = []
    for label, operator, value in selector.matchers:
        if label in TARGET_LABELS or value.startswith("$"):
            continue
        if label not in labels:
            found.append(f"{selector.name} has no label {label}")
            continue
        wanted = value.split("|") if operator in ("=~", "!~") else [value]
        found += [f"{selector.name} never has {label} {one}" for one in wanted if one not in labels[label]]
    return found
