"""Clocks of devices that are ahead, set, and stand still: what happens to the person is told all the same, as live."""

import pytest

from gateway.detect import Finding, Watch
from protocol.content import Alarm
from protocol.senml import Vital
from tests.support.signals import START_MS
from tests.support.watching import CLOCK, data, home, moved, said

HOUR_MS = 3_600_000
VF = home("simulated:seed=4,activity=sit", "vf@60+40", seconds=85)
FALL = home("simulated:seed=4", "fall@60", seconds=75)


@pytest.mark.parametrize(("contents", "kind"), [(VF, "ventricular_fibrillation"), (FALL, "fall")])
@pytest.mark.parametrize("ahead_ms", [2 * 60_000, HOUR_MS, 1 << 52])
def test_a_clock_that_was_ahead_and_is_set_leaves_the_person_watched_live(
    contents: list[object], kind: str, ahead_ms: int
) -> None:
    sent = [moved(one, ahead_ms) if second < 30 else one for second, one in enumerate(contents)]  # type: ignore[arg-type]
    found = [(one.kind, one.detail.get("late")) for _, one in said(sent) if one.phase == "raised"]
    assert (kind, None) in found


def test_what_comes_late_while_the_clock_is_right_stays_apart() -> None:
    sent = [*VF[55:85], *VF[:30]]
    found = [one for _, one in said(sent, from_ms=START_MS + 85_000) if one.phase == "raised"]
    assert [(one.kind, one.detail.get("late")) for one in found] == [("ventricular_fibrillation", None)]


def readings(values: list[int], *, from_ms: int) -> list[Finding]:
    """What a watch says about a saturation each second, received at START_MS and after; the first from 2^52."""
    watch, found = Watch(), []
    watch.feed(data(vitals=[Vital("MDC_PULS_OXIM_SAT_O2", 70, 1 << 52)]), received_ms=START_MS)
    for second, value in enumerate(values):
        vital = Vital("MDC_PULS_OXIM_SAT_O2", value, from_ms + 1000 * second)
        found += watch.feed(data(vitals=[vital]), received_ms=START_MS + 1000 * second)
    return [one for one in found if one.phase == "raised"]


def test_a_saturation_from_the_future_neither_hides_nor_begins_a_low_one() -> None:
    found = readings([80] * 15, from_ms=START_MS)
    assert [(one.kind, one.onset_ms) for one in found] == [("spo2_low", START_MS), ("spo2_critical", START_MS)]
    assert all("late" not in one.detail for one in found)


def test_a_saturation_of_a_second_older_backlog_is_looked_at_too() -> None:
    times = [(97, START_MS), (70, START_MS - 100_000), *((80, START_MS - 200_000 + 1000 * n) for n in range(15))]
    watch, found = Watch(), []
    for value, at_ms in times:
        content = data(vitals=[Vital("MDC_PULS_OXIM_SAT_O2", value, at_ms)])
        found += watch.feed(content, received_ms=START_MS + 20_000)
    assert {(one.kind, one.onset_ms) for one in found} >= {("spo2_critical", START_MS - 200_000)}


# -- the call button -------------------------------------------------------------------------------------------------


def pressed(*at_and_received_s: tuple[float, float], kind: str = "button") -> list[float]:
    """Seconds of the onsets of the calls that go up when it is pressed at these times and heard at those."""
    watch, found = Watch(), []
    for at_s, received_s in at_and_received_s:
        alarm = Alarm(
            id=bytes(16), kind=kind, at_ms=START_MS + round(at_s * 1000), clock=CLOCK, simulated=True, detail={}
        )
        found += watch.feed(alarm, received_ms=START_MS + round(received_s * 1000))
    return [(one.onset_ms - START_MS) / 1000 for one in found if one.phase == "raised"]


def test_a_button_pressed_five_times_is_one_call() -> None:
    assert pressed(*((second, second) for second in range(5))) == [0]


def test_a_button_pressed_again_and_again_calls_again_every_minute() -> None:
    assert pressed(*((second, second) for second in range(0, 200, 20))) == [0, 60, 120, 180]


def test_presses_that_a_spool_kept_apart_are_apart_though_they_are_heard_at_once() -> None:
    assert pressed((0, 4000), (1800, 4000), (1810, 4001)) == [0, 1800]


def test_a_device_whose_clock_stands_still_does_not_call_once_for_all_times() -> None:
    long_ago_s = -30 * 86_400
    assert pressed((long_ago_s, 0), (long_ago_s, 5), (long_ago_s, 4000), (long_ago_s, 90_000)) == [0, 4000, 90_000]


def test_a_call_from_the_future_is_dated_by_its_receipt() -> None:
    assert pressed((1e9, 7)) == [7]


def test_a_call_that_waited_for_a_week_keeps_its_time() -> None:
    week_s = 7 * 86_400
    assert pressed((0, week_s)) == [0]


def test_a_state_that_lasts_is_one_alarm_until_its_end_is_reported() -> None:
    watch, phases = Watch(), []
    for second, detail in enumerate([{}, {}, {"state": "ended"}, {"state": "ended"}, {}]):
        at_ms = START_MS + second * 600_000
        alarm = Alarm(id=bytes(16), kind="lead_off", at_ms=at_ms, clock=CLOCK, simulated=True, detail=detail)
        phases += [(second, one.phase) for one in watch.feed(alarm, received_ms=at_ms)]
    assert phases == [(0, "raised"), (2, "cleared"), (3, "cleared"), (4, "raised")]
