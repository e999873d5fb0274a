"""The dashboard: whole, readable at three in the morning, and made of what the programs really expose."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support import alerting, promql
from tests.support.exposition import Series
from tests.support.tools import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "grafana"
DASHBOARD: Mapping[str, Any] = json.loads((FOLDER / "vigil.json").read_text())
EVERYTHING: list[Mapping[str, Any]] = DASHBOARD["panels"]
PANELS = [panel for panel in EVERYTHING if panel["type"] != "row"]
TITLES = [panel["title"] for panel in PANELS]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # columns of Grafana's grid
COLOURS = {"green", "yellow", "orange", "red", "blue"}
UNITS = {"short", "s", "cps", "cpm", "reqps"}  # of Grafana's own list, as far as they are used here

# Series that are neither on the dashboard nor in a rule, and why.
UNSEEN: Mapping[str, str] = {
    "vigil_commit_seconds_sum": "quantiles say more than a mean",
    "vigil_commit_seconds_count": "as vigil_commits_total, which counts the same",
    "vigil_arrival_to_durable_seconds_sum": "quantiles say more than a mean",
    "vigil_arrival_to_durable_seconds_count": "commits with messages: vigil_commits_total says about as much",
    "vigil_alarm_latency_seconds_sum": "quantiles say more than a mean",
    "vigil_ledger_request_seconds_sum": "quantiles say more than a mean",
}


def expressions() -> Iterator[tuple[str, str]]:
    """(where, expression) of everything that the dashboard asks."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for note in DASHBOARD["annotations"]["list"]:
        yield note["name"], note["expr"]


ASKED = list(expressions())


@pytest.mark.parametrize("expression", [text for _, text in ASKED], ids=[where for where, _ in ASKED])
def test_an_expression_names_only_what_is_exposed(expression: str, exposed: dict[str, Series]) -> None:
    assert promql.selectors(expression)
    assert promql.faults(expression, exposed) == []


def test_every_series_is_on_the_dashboard_or_in_a_rule_or_left_out_for_a_reason(exposed: dict[str, Series]) -> None:
    texts = [text for _, text in ASKED] + [rule.expression for rule in alerting.rules()]
    seen = {selector.name for text in texts for selector in promql.selectors(text)}
    assert exposed.keys() - seen - UNSEEN.keys() == set()
    assert UNSEEN.keys() & seen == set(), "left out for a reason, and shown all the same"
    assert UNSEEN.keys() - exposed.keys() == set()


def test_what_is_most_urgent_is_at_the_top() -> None:
    """The first row answers: is anybody in danger, and can the gateway tell?"""
    top = [panel for panel in PANELS if panel["gridPos"]["y"] == PANELS[0]["gridPos"]["y"]]
    names = [selector.name for panel in top for selector in promql.selectors(panel["targets"][0]["expr"])]
    assert names[:4] == ["vigil_alerts_open", "vigil_alert_unacknowledged_seconds", "up", "vigil_store_healthy"]
    assert all(panel["type"] == "stat" for panel in top)


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_a_panel_says_what_it_means_in_units_and_colours(panel: Mapping[str, Any]) -> None:
    assert re.fullmatch(r"[A-Z].{20,}\.", panel["description"]), "a sentence"
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None and {step["color"] for step in steps} <= COLOURS
    values = [step["value"] for step in steps[1:]]
    assert values == sorted(set(values))
    for target in panel["targets"]:
        assert target["legendFormat"], "a legend without a name"


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_a_panel_asks_the_chosen_prometheus_about_the_chosen_programs(panel: Mapping[str, Any]) -> None:
    assert panel["datasource"] == DATASOURCE
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references)) > 0
    for target in panel["targets"]:
        assert target["datasource"] == DATASOURCE
        for selector in promql.selectors(target["expr"]):
            if selector.name != "ALERTS":
                jobs = {matcher.value for matcher in selector.matchers if matcher.label == "job"}
                ledger = selector.name.startswith("vigil_ledger") or "vigil-ledger" in jobs
                chosen = "$ledger" if ledger else "$gateway"
                assert ("instance", "=~", chosen) in selector.matchers, selector
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert label in promql.groupings(target["expr"]), f"the legend names {label}, which is summed away"


def test_variables_are_defined_and_all_are_used() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps([EVERYTHING, DASHBOARD["annotations"]])))
    assert used == variables.keys()
    for name in ("gateway", "ledger"):
        assert variables[name]["datasource"] == DATASOURCE


def test_variables_list_what_is_exposed(exposed: dict[str, Series]) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((\w+), instance\)", variable["query"]["query"])
            assert match is not None and match[1] in exposed


def test_ids_and_titles_are_unique() -> None:
    ids = [panel["id"] for panel in EVERYTHING]
    assert len(ids) == len(set(ids)) > 30
    named = [(panel["title"], panel["type"]) for panel in EVERYTHING]
    assert len(named) == len(set(named))


def test_panels_are_within_the_grid_and_do_not_overlap() -> None:
    for panel in EVERYTHING:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= WIDTH and place["w"] > 0 and place["h"] > 0
    for one, other in itertools.combinations(EVERYTHING, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = any(a[at] + a[size] <= b[at] or b[at] + b[size] <= a[at] for at, size in (("x", "w"), ("y", "h")))
        assert apart, f"{one['title']} lies over {other['title']}"


def test_panels_are_listed_as_they_are_read() -> None:
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in EVERYTHING]
    assert places == sorted(places)


def test_compose_mounts_what_the_provisioning_names() -> None:
    compose = (REPOSITORY / "deploy" / "compose.yaml").read_text()
    provider = (FOLDER / "provisioning" / "dashboards" / "vigil.yml").read_text()
    (path,) = re.findall(r"^ +path: (\S+)", provider, re.MULTILINE)
    assert f'"./grafana:{path}:ro"' in compose
    assert '"./grafana/provisioning:/etc/grafana/provisioning:ro"' in compose
    source = (FOLDER / "provisioning" / "datasources" / "vigil.yml").read_text()
    (url,) = re.findall(r"^ +url: http://(\S+)", source, re.MULTILINE)
    assert f"--web.listen-address={url}" in compose
    configuration = (alerting.FOLDER / "prometheus.yml").read_text()
    (interval,) = re.findall(r"^ +timeInterval: (\w+)", source, re.MULTILINE)
    assert f"scrape_interval: {interval}" in configuration
