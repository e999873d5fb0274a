"""Which beats are ventricular: those that are wider than the person's usual beat and shaped unlike it."""

import numpy as np
import numpy.typing as npt

from gateway.detect.leads import Beat

Samples = npt.NDArray[np.float64]

UNLIKE = 0.75
"""Correlation with the usual shape below which a beat is of another shape."""
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


class Shape:
    """The usual beat of one lead, learnt as it goes."""

    def __init__(self) -> None:
        self._usual: Samples | None = None
        self._rise_s = 0.0
        self._seen = 0

    def is_ventricular(self, beat: Beat, *, interval_s: float) -> bool:
        """Judges one beat and learns from it. interval_s: since the beat before it."""
        shape = beat.shape - beat.shape.mean()
        size = float(np.sqrt((shape**2).sum()))
        if size == 0.0:
            return False
        shape /= size
        if self._usual is None:
            self._usual, self._rise_s, self._seen = shape, beat.rise_s, 1
            return False
        like = float(np.correlate(shape, self._usual[SHIFT_N:-SHIFT_N], "valid").max())
        if self._seen < LEARN_BEATS:
            self._seen += 1 if like > UNLIKE else -1
            if self._seen <= 0:
                self._usual, self._rise_s, self._seen = shape, beat.rise_s, 1
            elif like > UNLIKE:
                self._adapt(shape, beat.rise_s, 0.2)
            return beat.rise_s > WIDE_RISE_S
        if like >= UNLIKE:
            if interval_s > 0.5:
                self._adapt(shape, beat.rise_s, ADAPT)
            return False
        return beat.rise_s > WIDER * self._rise_s

    def _adapt(self, shape: Samples, rise_s: float, weight: float) -> None:
        assert self._usual is not None
        mixed = (1 - weight) * self._usual + weight * shape
        self._usual = mixed / np.sqrt((mixed**2).sum())
        self._rise_s += weight * (rise_s - self._rise_s)
