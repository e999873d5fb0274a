"""When fibrillation begins and what ends it, on made signals."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gateway.detect.ecg import Ecg
from gateway.detect.settings import DetectSettings
from protocol.waves import Wave

RATE_HZ = 250
SCALE = 1 / 200
STARTS_MS = 1_700_000_000_000
Signal = npt.NDArray[np.float64]
KIND = "ventricular_fibrillation"


def beats(seconds: float, *, every_s: float = 0.8) -> Signal:
    """Narrow complexes with a T wave, in mV."""
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ % every_s
    qrs = np.exp(-(((at_s - 0.2) / 0.012) ** 2)) - 0.25 * np.exp(-(((at_s - 0.235) / 0.012) ** 2))
    return qrs + 0.2 * np.exp(-(((at_s - 0.45) / 0.05) ** 2))


def oscillation(seconds: float) -> Signal:
    """A coarse fibrillation: 4 Hz that wavers in frequency and size."""
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * 4.0 * at_s + 1.5 * np.sin(2 * np.pi * 0.3 * at_s)
    return (0.6 + 0.2 * np.sin(2 * np.pi * 0.45 * at_s)) * np.sin(phase)


def shaking(seconds: float) -> Signal:
    """Strokes of all shapes at all times over a wandering baseline."""
    randomness = np.random.default_rng(7)
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    signal = 1.5 * np.sin(2 * np.pi * 0.2 * at_s)
    for middle_s in np.cumsum(randomness.uniform(0.25, 1.1, size=round(seconds * 2))):
        width_s, size = randomness.uniform(0.01, 0.15), randomness.uniform(-3, 3)
        signal += size * np.exp(-(((at_s - middle_s) / width_s) ** 2))
    return signal


def told(*parts: Signal) -> list[tuple[str, float]]:
    """(phase, second) of each finding about fibrillation."""
    ecg = Ecg(DetectSettings())
    return [
        (one.phase, (one.at_ms - STARTS_MS) / 1000)
        for wave in waves(np.concatenate(parts))
        for one in ecg.add(wave, channels=1)
        if one.kind == KIND
    ]


def waves(signal: Signal) -> Iterator[Wave]:
    """One-second waves of one lead."""
    noise = np.random.default_rng(1).normal(0, 0.01, len(signal))
    counts = np.round((signal + noise) / SCALE).astype("<i2")
    for first in range(0, len(counts), RATE_HZ):
        part = counts[first : first + RATE_HZ]
        yield Wave(
            stream="ecg",
            t0_ms=STARTS_MS + first * 1000 // RATE_HZ,
            rate_mhz=RATE_HZ * 1000,
            scale=SCALE,
            place="II",
            n=len(part),
            samples=part.tobytes(),
        )


def test_fibrillation_is_told_within_ten_seconds_and_ends_when_beats_return() -> None:
    found = told(beats(30), oscillation(30), beats(40))
    assert [phase for phase, _ in found] == ["raised", "cleared"]
    assert 30 < found[0][1] < 40
    assert 70 < found[1][1] < 85


def test_noise_does_not_end_a_fibrillation() -> None:
    found = told(beats(30), oscillation(30), shaking(30), oscillation(20))
    assert [phase for phase, _ in found] == ["raised"]


def test_a_fibrillation_that_noise_hid_ends_when_beats_return() -> None:
    found = told(beats(30), oscillation(30), shaking(30), beats(60))
    assert [phase for phase, _ in found] == ["raised", "cleared"]
    assert 100 < found[1][1] < 130
