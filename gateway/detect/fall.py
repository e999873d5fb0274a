"""Falls from a worn accelerometer: an impact, then another posture than before, then stillness (after Bourke 2007 and
Sucerquia 2017), weighed by a score learnt for each place on the body."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.blocks import Block, Joiner
from gateway.detect.episodes import Episode, Standing
from gateway.detect.finding import Detail, Finding
from gateway.detect.settings import DetectSettings
from protocol.waves import Wave

Samples = npt.NDArray[np.float64]

RATE_HZ = 50
"""Every accelerometer is brought to this rate (averaged when faster), so that one set of limits fits all."""
BLOCK_N = 25
BEFORE_N = 150
"""Posture before: from 3 s to 1 s ahead of the impact."""
AFTER_N = 125
"""Posture and stillness after: from 1 s to 2.5 s behind the impact; then the decision."""
SETTLE_N = 50
PEAK_N = 75
"""The largest acceleration within 1.5 s of the first crossing is the impact; the bounces belong to it."""
KEPT_N = BEFORE_N + PEAK_N + AFTER_N + 2 * BLOCK_N
UP_AFTER_S = 20.0
"""Movement for this long after a fall is getting up: the episode clears."""
AGAIN_MS = 30_000
"""An impact so long after the fall that is open is another fall, also when nobody was seen to get up in between: who is
helped into a chair does not walk about."""
SEEN_N = PEAK_N + AFTER_N
"""So long a stretch without a gap shows a fall; what never reaches it is not watched."""
RATE_MIN_MHZ = 10_000
"""Motion sampled slower than 10 Hz is left out: an impact would fall between two samples."""
MOVING_G = 0.15
"""Standard deviation over a second from which the wearer moves about."""


@dataclass(frozen=True, slots=True)
class Place:
    """Limits of one place on the body. impact_g: crossing that starts a look; the rest: weights of the score."""

    impact_g: float
    peak: float
    angle: float
    still: float
    bias: float


PLACES: Mapping[str, Place] = {
    "waist": Place(impact_g=1.6, peak=3.29, angle=5.74, still=-0.30, bias=-12.98),
    "wrist": Place(impact_g=2.5, peak=3.0, angle=0.5, still=-1.5, bias=-8.5),
}


class Falls:
    """The accelerometer of one wearer. looks: blocks that came after enough signal to tell a fall."""

    def __init__(self, settings: DetectSettings) -> None:
        self.joiner = Joiner(rate_hz=RATE_HZ, block_n=BLOCK_N, rate_min_mhz=RATE_MIN_MHZ)
        self.looks = 0
        self._default = settings.place
        self._episode = Episode("fall", clear_after_ms=round(UP_AFTER_S * 1000))
        self._g: Samples = np.empty((3, 0))
        self._size: Samples = np.empty(0)
        self._made_n = 0
        self._starts_ms = 0.0
        self._from_n = 0
        self._impact_n: int | None = None

    def add(self, wave: Wave, *, channels: int) -> list[Finding]:
        """One wave of three channels in g, in the order of its time."""
        found: list[Finding] = []
        for block in self.joiner.add(wave, channels=channels):
            found += self._block(block, place_of(wave.place, default=self._default))
        return found

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """Alarms that stood open before a restart, by kind."""
        self._episode.resume(opened)

    def _block(self, block: Block, place: Place) -> list[Finding]:
        if block.fresh:
            self._g, self._size = np.empty((3, 0)), np.empty(0)
            self._made_n, self._from_n, self._impact_n = 0, 0, None
            self._starts_ms = block.starts_ms
            self._episode.unknown()
        size = np.sqrt((block.samples[:3] ** 2).sum(axis=0))
        self._g = np.concatenate((self._g[:, -(KEPT_N - BLOCK_N) :], block.samples[:3]), axis=1)
        self._size = np.concatenate((self._size[-(KEPT_N - BLOCK_N) :], size))
        self._made_n += BLOCK_N
        self.looks += self._made_n >= SEEN_N
        self._look(place)
        found: list[Finding] = []
        if self._impact_n is not None and self._made_n >= self._impact_n + PEAK_N + AFTER_N:
            found = self._decide(place)
            self._look(place)
        elif self._episode.open:
            found = self._getting_up()
        return found

    def _look(self, place: Place) -> None:
        """The next impact, also one among the samples that came while the last one waited for its decision: who walks
        crosses the limit with every hard step, and then falls."""
        if self._impact_n is not None:
            return
        oldest = self._made_n - len(self._size)
        from_n = max(self._from_n, oldest)
        over = np.flatnonzero(self._size[from_n - oldest :] > place.impact_g)
        if over.size:
            self._impact_n = from_n + int(over[0])
        self._from_n = self._made_n if self._impact_n is None else self._impact_n

    def _decide(self, place: Place) -> list[Finding]:
        assert self._impact_n is not None
        oldest = self._made_n - len(self._size)
        crossing = self._impact_n - oldest
        impact = crossing + int(self._size[crossing : crossing + PEAK_N].argmax())
        self._impact_n, self._from_n = None, oldest + impact + PEAK_N
        before = self._g[:, max(0, impact - BEFORE_N) : max(BLOCK_N, impact - SETTLE_N)]
        after = self._g[:, impact + SETTLE_N : impact + AFTER_N]
        angle = _angle_deg(before.mean(axis=1), after.mean(axis=1))
        stir_g = float(after.std(axis=1).max())
        peak_g = float(self._size[impact])
        score = place.bias + place.peak * math.log(peak_g) + place.angle * min(max(angle, 20.0), 90.0) / 45.0
        score += place.still * math.log(min(max(stir_g, 0.02), 1.0))
        if score <= 0.0:
            return []
        onset_ms = round(self._starts_ms + (oldest + impact) * 1000 / RATE_HZ)
        detail: Detail = {"value": round(peak_g, 2), "unit": "g", "angle_deg": round(angle), "score": round(score, 2)}
        at_ms, known_ms = self._now_ms(), self._episode.onset_ms
        ended = known_ms is not None and abs(onset_ms - known_ms) >= AGAIN_MS
        found = self._episode.absent(at_ms=at_ms, at_once=True) if ended else []
        return found + self._episode.present(onset_ms=onset_ms, at_ms=at_ms, detail=detail)

    def _getting_up(self) -> list[Finding]:
        if float(self._g[:, -RATE_HZ:].std(axis=1).max()) < MOVING_G:
            self._episode.unknown()
            return []
        return self._episode.absent(at_ms=self._now_ms())

    def _now_ms(self) -> int:
        return round(self._starts_ms + self._made_n * 1000 / RATE_HZ)


def place_of(text: str, *, default: str) -> Place:
    """The limits for the site that a wave names ("wrist", "left-wrist", "waist", "belt"); the default when unknown."""
    name = text.lower() or default
    return PLACES["wrist" if "wrist" in name else "waist"]


def _angle_deg(a: Samples, b: Samples) -> float:
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return math.degrees(math.acos(max(-1.0, min(1.0, float(a @ b) / size)))) if size > 0 else 0.0
