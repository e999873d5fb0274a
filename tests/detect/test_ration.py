"""How often one device may raise one kind of alarm: a flood is bounded, and its end is not the end of what is true."""

from gateway.detect import Watch
from gateway.detect.finding import Finding, finding
from gateway.detect.ration import RAISED_MAX, WITHIN_MS, Ration
from protocol.senml import VITALS_MAX, Vital
from tests.support.signals import START_MS
from tests.support.watching import data


def raise_(onset_ms: int, *, kind: str = "button") -> Finding:
    return finding(kind, "raised", onset_ms=onset_ms, at_ms=onset_ms, detail={})


def clear(onset_ms: int, *, kind: str = "button") -> Finding:
    return finding(kind, "cleared", onset_ms=onset_ms, at_ms=onset_ms, detail={})


def full() -> Ration:
    """One that has told as many as it may, the first at START_MS."""
    ration = Ration()
    for number in range(RAISED_MAX):
        assert ration.let_through([raise_(number)], now_ms=START_MS + number) == [raise_(number)]
    return ration


def test_of_more_than_are_told_the_newest_waits_until_there_is_room() -> None:
    ration = full()
    assert ration.let_through([raise_(1000), raise_(1001)], now_ms=START_MS + 1000) == []
    assert ration.let_through([], now_ms=START_MS + WITHIN_MS - 1) == []
    assert ration.let_through([], now_ms=START_MS + WITHIN_MS) == [raise_(1001)]
    assert ration.let_through([], now_ms=START_MS + 2 * WITHIN_MS) == []


def test_what_waits_and_ends_is_never_told_and_neither_is_its_end() -> None:
    ration = full()
    assert ration.let_through([raise_(1000), clear(1000)], now_ms=START_MS + 1000) == []
    assert ration.let_through([], now_ms=START_MS + WITHIN_MS) == []


def test_the_end_of_what_was_told_is_told_and_other_kinds_have_their_own_room() -> None:
    ration = full()
    others = [clear(3), raise_(7, kind="fall")]
    assert ration.let_through(others, now_ms=START_MS + 1000) == others


def test_a_clock_of_the_gateway_that_is_set_back_holds_nothing_up() -> None:
    assert full().let_through([raise_(1000)], now_ms=START_MS - 3_600_000) == [raise_(1000)]


def test_a_device_that_swings_between_alarm_and_none_is_told_a_bounded_number_of_times() -> None:
    watch, found, at_ms = Watch(), [], START_MS
    for number in range(200):
        vitals = []
        for _ in range(VITALS_MAX // 4):
            for value in (70, 70, 99, 99):
                at_ms += 10_000
                vitals.append(Vital("MDC_PULS_OXIM_SAT_O2", value, at_ms))
        found += watch.feed(data(vitals=vitals), received_ms=START_MS + 20 * number)
    raised = [one.kind for one in found if one.phase == "raised"]
    assert {kind: raised.count(kind) for kind in raised} == {"spo2_low": RAISED_MAX, "spo2_critical": RAISED_MAX}
