"""Which beats are ventricular: those that are wider than the person's usual beat and shaped unlike it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.leads import Beat

Samples = npt.NDArray[np.float64]

UNLIKE = 0.75
"""Correlation with the usual shape below which a beat is of another shape."""
ALIEN = 0.5
"""Correlation below which another shape is ventricular whatever its width."""
WIDER = 1.15
"""Rise time over the usual one from which a beat of another shape is ventricular."""
WIDE_RISE_S = 0.055
"""Rise time from which a beat is wide when no usual shape is known."""
SHIFT_N = 5
"""Samples by which a shape may be shifted to match."""
LEARN_BEATS = 8
"""Beats before a usual shape is believed."""
ADAPT = 0.06
"""Weight of a new usual beat in the usual shape."""
SLOW_S = 0.5
"""Only a beat that comes this late after the one before may be a usual one (slower than 120 per minute)."""
RELEARN_BEATS = 20
"""After this many slow beats unlike the usual one, theirs is the usual shape: the electrodes or the rhythm changed."""
STEADY_ADAPT = 0.1
"""Weight of a new beat in the steadiness: the last ten beats or so."""


@dataclass(frozen=True, slots=True)
class Judged:
    """ventricular: see the module; like: correlation with the usual shape; alike: with the beat just before."""

    ventricular: bool
    like: float
    alike: float


class Shape:
    """The usual beat of one lead, learnt as it goes. `steady`: mean correlation of a beat with the better of the usual
    shape and its predecessor, near 1 on a clean lead, low where noise is taken for beats."""

    def __init__(self) -> None:
        self.steady = 0.5
        self._usual: Samples | None = None
        self._before: Samples | None = None
        self._rise_s = 0.0
        self._seen = 0
        self._strangers = 0

    def judge(self, beat: Beat, *, interval_s: float) -> Judged:
        """Judges one beat and learns from it. interval_s: since the beat before it."""
        shape = beat.shape - beat.shape.mean()
        size = float(np.sqrt(shape @ shape))
        if size == 0.0:
            return Judged(False, 0.0, 0.0)
        shape /= size
        if self._usual is None or self._before is None:
            self._usual = self._before = shape
            self._rise_s, self._seen = beat.rise_s, 1
            return Judged(False, 0.0, 0.0)
        like, alike = _correlation(shape, self._usual), _correlation(shape, self._before)
        self._before = shape
        self.steady += STEADY_ADAPT * (max(like, alike) - self.steady)
        return Judged(self._weigh(shape, beat.rise_s, like, interval_s), like, alike)

    def _weigh(self, shape: Samples, rise_s: float, like: float, interval_s: float) -> bool:
        if self._seen < LEARN_BEATS:
            self._seen += 1 if like >= UNLIKE else -1
            if self._seen <= 0:
                self._usual, self._rise_s, self._seen = shape, rise_s, 1
            elif like >= UNLIKE:
                self._adapt(shape, rise_s, 0.2)
            return rise_s > WIDE_RISE_S
        if like >= UNLIKE:
            self._strangers = 0
            if interval_s > SLOW_S:
                self._adapt(shape, rise_s, ADAPT)
            return False
        self._strangers += 1 if interval_s > SLOW_S else 0
        if self._strangers > RELEARN_BEATS:
            self._usual, self._rise_s, self._seen, self._strangers = shape, rise_s, 1, 0
        return like < ALIEN or rise_s > WIDER * self._rise_s

    def _adapt(self, shape: Samples, rise_s: float, weight: float) -> None:
        assert self._usual is not None
        mixed = (1 - weight) * self._usual + weight * shape
        self._usual = mixed / np.sqrt(mixed @ mixed)
        self._rise_s += weight * (rise_s - self._rise_s)


def _correlation(shape: Samples, other: Samples) -> float:
    return float(np.correlate(shape, other[SHIFT_N:-SHIFT_N], "valid").max())
