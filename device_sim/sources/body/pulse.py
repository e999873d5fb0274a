"""The pulse at the finger: one wave a beat, later than the beat, as high as the blood it moved; none in arrest."""

from collections.abc import Sequence
from random import Random

from device_sim.sources.body.breath import Breath
from device_sim.sources.body.heart import Beat
from device_sim.sources.body.shapes import Bump, add, loop_slice, shape, smooth_noise

RATE_HZ = 50
PERIOD_MS = 20
SCALE = 1 / 1024  # parts of a usual pulse a count
FELT_MIN = 0.3  # a beat that moves less than this gives no pulse that an oximeter counts
NOISE_SIZE = 4096


class Pulse:
    """A photoplethysmogram, second by second, with its mean taken away as sensors do."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._track = [0.0] * (3000 // PERIOD_MS)
        self._wave = shape(
            [Bump(1.0, 130.0, 48.0, 70.0), Bump(0.34, 345.0, 60.0, 90.0), Bump(-0.3, 620.0, 110.0, 120.0)]
        )
        self._transit_ms = rng.uniform(190.0, 250.0)
        self._motion = smooth_noise(rng, NOISE_SIZE, width=6)

    def second(self, number: int, beats: Sequence[Beat], *, breath: Breath, shake: float) -> list[int]:
        """RATE_HZ counts for the second `number`; beats, shake: as for the electrocardiogram."""
        start_ms = number * 1000
        for beat in beats:
            if beat.output >= FELT_MIN:
                gain = beat.output * (1 + 0.05 * breath.wave(beat.at_ms))
                at_ms = beat.at_ms - start_ms + self._transit_ms
                add(self._track, self._wave, at_ms=at_ms, period_ms=PERIOD_MS, gain=0.8 * gain)
        clean, self._track = self._track[:RATE_HZ], self._track[RATE_HZ:] + [0.0] * RATE_HZ
        motion = loop_slice(self._motion, number * RATE_HZ, RATE_HZ)
        lungs = breath.waves(start_ms, RATE_HZ, PERIOD_MS)
        gauss, artefact = self._rng.gauss, 0.004 + 0.25 * shake
        return [
            round((level + 0.05 * lung + artefact * slow + gauss(0.0, 0.004)) / SCALE)
            for level, lung, slow in zip(clean, lungs, motion, strict=True)
        ]
