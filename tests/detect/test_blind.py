"""What cannot be watched is told: a stream that stops, comes in shreds, at a rate of no use, or from a loose electrode. None
of it is silence, and nothing of it is told of a home that sends as it should."""

import dataclasses

import pytest

from gateway.detect import Watch
from protocol.content import Data
from protocol.waves import Wave
from tests.support.watching import HEARTBEAT, data, home, joined, part, raised, said

SECONDS = 120
QUIET = home("simulated:seed=4,activity=sit", seconds=SECONDS)


def only(contents: list[Data], *streams: str, vitals: bool = False) -> list[Data]:
    """Of each content, these streams alone."""
    return [
        data(waves=[w for w in one.waves if w.stream in streams], vitals=one.vitals if vitals else ())
        for one in contents
    ]


def reasons(contents: list[Data], *, watch: Watch | None = None) -> set[tuple[object, object]]:
    """(reason, stream) of each technical alarm that goes up."""
    found = [one for _, one in said(contents, watch=watch) if one.phase == "raised"]
    assert {one.kind for one in found} <= {"poor_signal"}
    return {(one.detail["reason"], one.detail["stream"]) for one in found}


def test_a_home_that_sends_as_it_should_raises_nothing() -> None:
    assert raised(QUIET) == []


@pytest.mark.parametrize("stream", ["ecg", "motion"])
def test_a_stream_that_stops_is_told_and_ends_when_it_is_back(stream: str) -> None:
    without = [
        data(waves=[w for w in one.waves if w.stream != stream], vitals=one.vitals) if 40 <= second < 90 else one
        for second, one in enumerate(QUIET)
    ]
    found = [(one.phase, second, one.detail.get("reason")) for second, one in said(without)]
    assert found == [("raised", 69, "missing"), ("cleared", 90, None)]


def test_an_oximeter_that_falls_silent_is_told() -> None:
    without = [data(waves=one.waves) if second >= 40 else one for second, one in enumerate(QUIET)]
    assert reasons(without) == {("missing", "spo2")}


def test_measurements_made_now_and_then_are_not_missed() -> None:
    spot = [data(vitals=one.vitals if second % 60 < 3 else ()) for second, one in enumerate(QUIET)]
    assert raised(spot) == []


@pytest.mark.parametrize("stream", ["ecg", "motion"])
@pytest.mark.parametrize(("comes", "of"), [(1, 2), (2, 3), (3, 4)])
def test_a_stream_in_shreds_is_told_as_not_watched(stream: str, comes: int, of: int) -> None:
    """Seconds that come without the ones between them."""
    shreds = [one if second % of < comes else HEARTBEAT for second, one in enumerate(only(QUIET, stream))]
    found = [(one.kind, one.detail["reason"], second) for second, one in said(shreds) if one.phase == "raised"]
    assert [(kind, reason) for kind, reason, _ in found] == [("poor_signal", "unusable")]
    assert found[0][2] <= 35


def test_pieces_too_short_for_a_block_are_told_as_not_watched() -> None:
    pieces = [data(waves=[part(one.waves[0], 0, 80)]) for one in only(QUIET, "ecg")]
    assert reasons(pieces) == {("unusable", "ecg")}


@pytest.mark.parametrize(("stream", "rate_mhz"), [("ecg", 50_000), ("ecg", 5_000_000), ("motion", 5_000)])
def test_a_rate_that_is_of_no_use_is_told_as_not_watched(stream: str, rate_mhz: int) -> None:
    def rated(wave: Wave) -> Wave:
        n = min(wave.n, max(1, rate_mhz // 1000))
        return dataclasses.replace(part(wave, 0, n), rate_mhz=rate_mhz)

    odd = [data(waves=[rated(one.waves[0])]) for one in only(QUIET, stream)]
    assert reasons(odd) == {("unusable", stream)}


def test_a_message_lost_now_and_then_is_not_told() -> None:
    assert raised([one if second % 20 else HEARTBEAT for second, one in enumerate(only(QUIET, "ecg", "motion"))]) == []


def test_short_messages_of_a_whole_stream_are_not_told() -> None:
    whole, watch, found = joined(QUIET, "ecg"), Watch(), []
    for first in range(0, whole.n, 25):
        wave = part(whole, first, first + 25)
        now_ms = wave.t0_ms + 100
        found += watch.feed(data(waves=[wave]), received_ms=now_ms) + watch.tick(now_ms=now_ms)
    assert found == []


def test_a_stream_that_is_whole_again_ends_the_alarm_and_one_look_does_not() -> None:
    ecg = only(QUIET, "ecg")
    shreds = [HEARTBEAT if second < 60 and second % 2 else one for second, one in enumerate(ecg)]
    found = [(one.phase, second) for second, one in said(shreds)]
    assert [phase for phase, _ in found] == ["raised", "cleared"]
    assert 75 <= found[1][1] <= 80


@pytest.mark.parametrize(("count", "reason"), [(32767, "flat"), (0, "flat")])
def test_a_lead_that_stands_still_is_told(count: int, reason: str) -> None:
    still = count.to_bytes(2, "little", signed=True)
    ecg = [
        data(waves=[dataclasses.replace(one.waves[0], samples=still * 250)]) if second >= 30 else one
        for second, one in enumerate(only(QUIET, "ecg"))
    ]
    found = [(one.kind, one.detail["reason"]) for _, one in said(ecg) if one.phase == "raised"]
    assert found == [("poor_signal", reason)]


def test_a_loose_electrode_is_told_by_its_signal_alone() -> None:
    assert (
        raised(only(home("simulated:seed=4,activity=sit", "lead_off@30+60", seconds=80), "ecg"))[0][0] == "poor_signal"
    )
