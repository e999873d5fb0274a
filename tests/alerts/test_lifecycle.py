"""The table of an alert's life: every pair of state and event is in it or refused by name."""

import itertools
from typing import get_args

import pytest

from gateway.alerts.lifecycle import TABLE, UNANSWERED, Event, Refused, State, after

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_every_event_in_every_state_has_an_answer(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert after(state, event) == TABLE[state, event]
    else:
        with pytest.raises(Refused) as refused:
            after(state, event)
        assert refused.value.code == "alert_event_refused"


def test_nothing_happens_to_a_resolved_alert() -> None:
    assert not [pair for pair in TABLE if pair[0] == "resolved"]


def test_every_state_is_reached_and_from_every_state_an_alert_can_end() -> None:
    assert set(TABLE.values()) | {"raised"} == set(STATES)
    for state in set(STATES) - {"resolved"}:
        assert after(state, "resolve") == "resolved"


def test_only_a_person_ends_an_alert_before_its_condition_does() -> None:
    for state in UNANSWERED:
        assert after(state, "acknowledge") == "acknowledged"
        assert TABLE.get((state, "escalate")) != "resolved"
        assert TABLE.get((state, "exhaust")) != "resolved"


def test_an_acknowledged_alert_never_escalates() -> None:
    assert ("acknowledged", "escalate") not in TABLE
    assert ("acknowledged", "exhaust") not in TABLE


def test_an_exhausted_alert_can_be_told_again() -> None:
    assert after("exhausted", "exhaust") == "exhausted"
