"""The electrocardiogram: beats drawn as Gaussian bumps, fibrillation as wandering oscillators, and what disturbs both.

Bumps for P, Q, R, S and T after McSharry, Clifford, Tarassenko and Smith, "A dynamical model for generating synthetic
electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3):289-294, 2003, laid out in time instead of by integration.
"""

import math
from collections.abc import Sequence
from random import Random

from device_sim.sources.body.breath import Breath
from device_sim.sources.body.heart import Beat, Heart
from device_sim.sources.body.shapes import (
    SINE,
    SINE_SIZE,
    Bump,
    Shape,
    add,
    loop_slice,
    shape,
    smooth_noise,
    white_noise,
)

RATE_HZ = 250
PERIOD_MS = 4
SCALE_MV = 1 / 256  # millivolts a count: exact in a half-precision float, near the 0.005 of the recorded databases
RAIL_COUNTS = 8191  # what a loose electrode reads: the converter's end
AHEAD_MS = 300  # a P wave begins before its R peak, so beats are known this long before
TAIL_MS = 1000  # the longest wave ends this long after its R peak
NOISE_SIZE = 8192  # one loop of noise: about half a minute
STEP_MS = 100  # fibrillation changes its frequency and strength this often
PER_STEP = STEP_MS // PERIOD_MS
VF_FADE_MS = 240_000.0  # coarse fibrillation becomes fine: its strength falls to a third in four minutes


class Fibrillation:
    """Three oscillators whose frequency and strength wander: coarse ventricular fibrillation, or the atria's small
    waves.

    low_hz, high_hz: where the first oscillator wanders; height_mv: of the sum, about."""

    def __init__(self, rng: Random, *, low_hz: float, high_hz: float, height_mv: float) -> None:
        self._rng = rng
        self._low_hz, self._high_hz = low_hz, high_hz
        self._height_mv = height_mv
        self._hz = rng.uniform(low_hz, high_hz)
        self._turns = [rng.random() for _ in range(3)]
        self._level = [0.0, 0.0, 0.0]

    def step(self, part: list[float], strength: float) -> list[float]:
        """`part` (one step of samples, mV) with the oscillation added; strength: 0 to 1, reached at the step's end."""
        rng = self._rng
        self._hz += rng.gauss(0.0, 0.18)
        self._hz = min(self._high_hz, max(self._low_hz, self._hz))
        for index, (ratio, share) in enumerate(((1.0, 0.55), (0.71, 0.38), (1.37, 0.26))):
            start = self._turns[index] * SINE_SIZE
            stride = self._hz * ratio * PERIOD_MS / 1000 * SINE_SIZE
            level = self._level[index]
            target = strength * self._height_mv * share * max(0.25, 1 + rng.gauss(0.0, 0.3))
            reach = 0.25 * (target - level) if strength else -level
            rise = reach / PER_STEP
            part = [
                value + (level + rise * at) * SINE[int(start + stride * at) % SINE_SIZE]
                for at, value in enumerate(part)
            ]
            self._level[index] = level + reach
            self._turns[index] = (start + stride * PER_STEP) / SINE_SIZE % 1.0
        return part

    @property
    def silent(self) -> bool:
        """Whether the last step has faded out."""
        return not any(self._level)


class Electrocardiogram:
    """One lead of one heart, drawn second by second."""

    def __init__(self, rng: Random, *, loose: Sequence[tuple[float, float]] = ()) -> None:
        """loose: stretches (from_ms, to_ms) in which the electrode is off."""
        self._rng = rng
        self._loose = tuple(loose)
        self._track = [0.0] * ((1000 + AHEAD_MS + TAIL_MS) // PERIOD_MS)
        self._waves = _beat_waves(rng)
        self._t_height = rng.uniform(0.2, 0.34)
        self._recovery = shape([Bump(1.0, 0.0, 48.0, 36.0)])
        self._ventricles = Fibrillation(rng, low_hz=3.2, high_hz=6.2, height_mv=0.85)
        self._atria = Fibrillation(rng, low_hz=5.0, high_hz=7.5, height_mv=0.06)
        self._white = white_noise(rng, NOISE_SIZE)
        self._motion = smooth_noise(rng, NOISE_SIZE, width=20)
        self._drift_mv = 0.0

    def second(self, number: int, beats: Sequence[Beat], *, heart: Heart, breath: Breath, shake: float) -> list[int]:
        """RATE_HZ counts for the second `number`. beats: those that became known (R peaks up to AHEAD_MS after the
        second); shake: how much the body moves, 0 to 1."""
        start_ms = number * 1000
        for beat in beats:
            self._draw(beat, start_ms, breath)
        self._fibrillate(start_ms, heart)
        clean, self._track = self._track[:RATE_HZ], self._track[RATE_HZ:] + [0.0] * RATE_HZ
        drift_next = 0.97 * self._drift_mv + self._rng.gauss(0.0, 0.008 + 0.03 * shake)
        slope = (drift_next - self._drift_mv) / RATE_HZ
        muscle = (0.006 + 0.02 * shake) / SCALE_MV
        artefact = (0.002 + 0.08 * shake) / SCALE_MV
        level = self._drift_mv / SCALE_MV
        white = loop_slice(self._white, self._rng.randrange(NOISE_SIZE), RATE_HZ)
        motion = loop_slice(self._motion, number * RATE_HZ, RATE_HZ)
        lungs = breath.waves(start_ms, RATE_HZ, PERIOD_MS)
        sway, rise = 0.04 / SCALE_MV, slope / SCALE_MV
        counts = [
            round(mv / SCALE_MV + level + rise * at + sway * lung + muscle * fast + artefact * slow)
            for at, (mv, lung, fast, slow) in enumerate(zip(clean, lungs, white, motion, strict=True))
        ]
        self._drift_mv = drift_next
        return self._loosen(counts, start_ms)

    def _draw(self, beat: Beat, start_ms: int, breath: Breath) -> None:
        at_ms = beat.at_ms - start_ms
        gain = 1 + 0.06 * breath.wave(beat.at_ms)
        add(self._track, self._waves[beat.kind], at_ms=at_ms, period_ms=PERIOD_MS, gain=gain)
        if beat.kind in {"sinus", "atrial", "conducted"}:
            late_ms = 285.0 * math.sqrt(min(1.6, max(0.3, beat.rr_ms / 1000)))
            add(self._track, self._recovery, at_ms=at_ms + late_ms, period_ms=PERIOD_MS, gain=gain * self._t_height)

    def _fibrillate(self, start_ms: int, heart: Heart) -> None:
        for index in range(1000 // STEP_MS):
            now_ms = start_ms + index * STEP_MS
            ruling = heart.at(now_ms)
            fading = math.exp(-(now_ms - ruling.from_ms) / VF_FADE_MS)
            for waves, strength in (
                (self._ventricles, fading if ruling.rhythm == "vf" else 0.0),
                (self._atria, 1.0 if ruling.rhythm == "af" else 0.0),
            ):
                if strength or not waves.silent:
                    first = index * PER_STEP
                    part = waves.step(self._track[first : first + PER_STEP], strength)
                    self._track[first : first + PER_STEP] = part

    def _loosen(self, counts: list[int], start_ms: int) -> list[int]:
        for from_ms, to_ms in self._loose:
            first = max(0, math.ceil((from_ms - start_ms) / PERIOD_MS))
            last = min(RATE_HZ, math.ceil(min(to_ms - start_ms, 1000) / PERIOD_MS))
            if first < last:
                counts[first:last] = [RAIL_COUNTS] * (last - first)
        return counts


def _beat_waves(rng: Random) -> dict[str, Shape]:
    """The waves that come with each kind of beat, of heights drawn for one person, in mV, around the R peak."""
    vary = rng.uniform
    size = vary(0.85, 1.25)
    complex_ = [
        Bump(-0.12 * size, -24.0, 9.0, 8.0),
        Bump(1.1 * size, 0.0, 10.5, 10.5),
        Bump(-0.22 * size, 25.0, 9.0, 11.0),
    ]
    atrial = Bump(vary(0.09, 0.15), -vary(145.0, 165.0), 22.0, 20.0)
    odd = Bump(-0.7 * atrial.height, -125.0, 18.0, 16.0)
    early = [
        Bump(1.5 * size, 10.0, 26.0, 32.0),
        Bump(-0.45 * size, 88.0, 24.0, 30.0),
        Bump(-0.5 * size, 270.0, 60.0, 55.0),
    ]
    run = [
        Bump(1.4 * size, 0.0, 24.0, 27.0),
        Bump(-0.3 * size, 62.0, 18.0, 24.0),
        Bump(-0.42 * size, 165.0, 45.0, 38.0),
    ]
    return {
        "sinus": shape([atrial, *complex_]),
        "atrial": shape([odd, *complex_]),
        "conducted": shape(complex_),
        "ventricular": shape(early),
        "tachycardia": shape(run),
    }
