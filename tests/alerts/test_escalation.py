"""Whom each step tells, and when the next one is due."""

import pytest

from gateway.alerts.escalation import END, FIRST, REPEATS_MAX, SECOND, Policy
from gateway.detect.finding import KINDS

POLICY = Policy(first=("a",), second=("b", "a"), second_after_s=60, ends_after_s=240)


def test_the_first_step_tells_the_first_channel_and_the_second_the_second() -> None:
    assert POLICY.channels(FIRST, "fall") == ("a",)
    assert POLICY.channels(SECOND, "fall") == ("b", "a")


def test_the_end_of_the_policy_tells_everybody_once() -> None:
    assert POLICY.channels(END, "fall") == ("a", "b")
    assert POLICY.channels(END + 5, "fall") == ("a", "b")


def test_a_failing_channel_is_told_to_the_other_one_too() -> None:
    assert POLICY.channels(FIRST, "channel_failed") == ("a", "b")


def test_steps_are_due_when_the_policy_says() -> None:
    assert POLICY.next_ms(FIRST, 1_000) == 61_000
    assert POLICY.next_ms(SECOND, 1_000) == 241_000
    assert POLICY.next_ms(END, 1_000) == 241_000


def test_the_end_is_repeated_a_bounded_number_of_times() -> None:
    repeats = 0
    step = END
    while POLICY.next_ms(step, 0) is not None:
        step, repeats = step + 1, repeats + 1
    assert repeats == REPEATS_MAX


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_endangers_a_person_at_once_escalates(kind: str) -> None:
    known = KINDS[kind]
    escalates = POLICY.escalates(priority=known.priority, technical=known.technical)
    assert escalates == (known.priority == "high" and not known.technical)


def test_a_policy_without_channels_still_has_its_steps() -> None:
    bare = Policy()
    assert bare.channels(FIRST, "fall") == bare.channels(END, "fall") == ()
    assert bare.next_ms(FIRST, 0) == 60_000
