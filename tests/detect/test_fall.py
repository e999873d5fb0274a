"""The fall detector on made motion: what must be told, whatever the wearer did just before."""

import math

import pytest

from gateway.detect.fall import Falls
from gateway.detect.settings import DetectSettings
from protocol.waves import Wave

RATE_HZ = 50
SCALE = 1 / 1000
STARTS_MS = 1_700_000_000_000
Vector = tuple[float, float, float]

STANDING: Vector = (0.0, -1.0, 0.0)
LYING: Vector = (0.0, 0.0, 1.0)


def still(way: Vector, seconds: float) -> list[Vector]:
    """Gravity alone."""
    return [way] * round(seconds * RATE_HZ)


def stroke(way: Vector, size_g: float) -> list[Vector]:
    """A tenth of a second of one acceleration."""
    return [(way[0] * size_g, way[1] * size_g, way[2] * size_g)] * (RATE_HZ // 10)


def fall() -> list[Vector]:
    """An impact and lying still."""
    return stroke(LYING, 4.0) + still(LYING, 8)


def found(motion: list[Vector], *, message_n: int = RATE_HZ) -> list[float]:
    """Seconds of the onsets of the falls that were told."""
    falls, onsets = Falls(DetectSettings()), []
    for first in range(0, len(motion), message_n):
        part = motion[first : first + message_n]
        counts = [round(value / SCALE) for sample in part for value in sample]
        wave = Wave(
            stream="motion",
            t0_ms=STARTS_MS + first * 1000 // RATE_HZ,
            rate_mhz=RATE_HZ * 1000,
            scale=SCALE,
            place="waist",
            n=len(part),
            samples=b"".join(count.to_bytes(2, "little", signed=True) for count in counts),
        )
        onsets += [(f.onset_ms - STARTS_MS) / 1000 for f in falls.add(wave, channels=3) if f.phase == "raised"]
    return onsets


def test_an_impact_with_another_posture_and_stillness_is_a_fall() -> None:
    assert found(still(STANDING, 5) + fall()) == [pytest.approx(5.0, abs=0.1)]


@pytest.mark.parametrize("pause_s", [0.5, 1.0, 1.4, 1.6, 2.0, 2.5, 3.0, 3.5, 3.9, 4.1, 6.0])
def test_a_hard_step_does_not_hide_the_fall_that_follows_it(pause_s: float) -> None:
    motion = still(STANDING, 5) + stroke(STANDING, 1.8) + still(STANDING, pause_s) + fall()
    assert found(motion) == [pytest.approx(5.1 + pause_s, abs=0.2)]


def test_a_fall_is_told_while_every_step_crosses_the_limit() -> None:
    steps = [sample for _ in range(16) for sample in stroke(STANDING, 1.8) + still(STANDING, 0.4)]
    assert found(still(STANDING, 3) + steps + fall()) == [pytest.approx(11.0, abs=0.2)]


def test_steps_alone_are_no_fall() -> None:
    steps = [sample for _ in range(40) for sample in stroke(STANDING, 2.2) + still(STANDING, 0.4)]
    assert found(still(STANDING, 3) + steps + still(STANDING, 8)) == []


def test_lying_down_without_an_impact_is_no_fall() -> None:
    turn = [(0.0, -math.cos(i / 100), math.sin(i / 100)) for i in range(157)]
    assert found(still(STANDING, 5) + turn + still(LYING, 8)) == []


@pytest.mark.parametrize("message_n", [7, 25, 33, 250])
def test_the_cut_into_messages_changes_nothing(message_n: int) -> None:
    motion = still(STANDING, 5) + stroke(STANDING, 1.8) + still(STANDING, 2) + fall()
    assert found(motion, message_n=message_n) == found(motion)


def test_who_falls_again_without_having_walked_in_between_is_told_again() -> None:
    helped_up = [(0.0, -math.cos(i / 100), math.sin(i / 100)) for i in range(157, 0, -1)]
    motion = still(STANDING, 5) + fall() + helped_up + still(STANDING, 60) + fall()
    assert found(motion) == [pytest.approx(5.0, abs=0.1), pytest.approx(76.2, abs=0.2)]


def test_bounces_and_rolling_over_after_a_fall_are_the_same_fall() -> None:
    rolled = stroke(STANDING, 2.5) + still((1.0, 0.0, 0.0), 8)
    assert found(still(STANDING, 5) + fall() + rolled) == [pytest.approx(5.0, abs=0.1)]
