"""The ECG leads of one wearer: recent samples, band energy and beats of each lead, block by block."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.detect.blocks import Block
from gateway.detect.filters import band_kernel, convolved, moving_mean
from gateway.detect.qrs import Peak, Thresholds, local_peaks

Samples = npt.NDArray[np.float64]

RATE_HZ = 250
"""All ECG work is done at this rate: enough for QRS shape (EC11 asks for 150 Hz bandwidth only for print-outs)."""
BLOCK_N = 125
"""Half a second: the grain of every decision."""
KEPT_N = 1500
"""Six seconds of samples are kept: the longest window anything here looks at, and the delay of the beats."""
HALF_KERNEL_N = 30
ENERGY_N = 25
PEAK_N = 37
"""Reach of a local maximum, 0.15 s on either side."""
DELAY_N = HALF_KERNEL_N + ENERGY_N // 2
"""Samples by which the band energy lags behind the signal."""
SETTLED_N = 2 * HALF_KERNEL_N + ENERGY_N - 1
"""Samples after a start for which the filters see less than their length."""
_KERNEL = band_kernel(5.0, 18.0, rate_hz=RATE_HZ, half_n=HALF_KERNEL_N)
SHAPE_BEFORE_N = 40
SHAPE_AFTER_N = 60
"""A beat's shape is looked at from 0.16 s before to 0.24 s after its energy peak."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One QRS. index: sample from the segment's start; height: band energy, mV; rise_s: peak-to-peak over steepest
    slope, small for a narrow QRS; range_mv: peak to peak; shape: its samples."""

    index: int
    height: float
    rise_s: float
    range_mv: float
    shape: Samples


class Lead:
    """What is remembered of one lead."""

    def __init__(self) -> None:
        self.thresholds = Thresholds(rate_hz=RATE_HZ)
        self.tallest: list[Peak] = []


class Leads:
    """All leads. `add` a block, then read `raw` ([lead, sample], newest last), `beats` of this block per lead."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.leads = [Lead() for _ in range(count)]
        self.beats: list[list[Beat]] = [[] for _ in range(count)]
        self.start()

    def start(self) -> None:
        """A new segment: forget samples, keep what was learnt about the person."""
        self.raw: Samples = np.empty((self.count, 0))
        self._energy: Samples = np.empty((self.count, 0))
        self.made_n = 0
        self._energy_n = 0
        for lead in self.leads:
            lead.thresholds.restart()
            lead.tallest.clear()

    def add(self, block: Block) -> None:
        """Takes one block of `BLOCK_N` samples in mV."""
        self.raw = np.concatenate((self.raw[:, -(KEPT_N - BLOCK_N) :], block.samples), axis=1)
        self.made_n += BLOCK_N
        self.beats = [[] for _ in range(self.count)]
        window = self.raw[:, -(BLOCK_N + SETTLED_N) :]
        if window.shape[1] <= SETTLED_N:
            return
        energy = np.sqrt(moving_mean(convolved(window, _KERNEL) ** 2, ENERGY_N))
        self._energy = np.concatenate((self._energy[:, -2 * PEAK_N :], energy), axis=1)
        self._energy_n += energy.shape[1]
        if self._energy.shape[1] <= 2 * PEAK_N:
            return
        first = self._energy_n - self._energy.shape[1] + SETTLED_N - DELAY_N
        for number, lead in enumerate(self.leads):
            self.beats[number] = self._lead_beats(lead, number, first)

    def _lead_beats(self, lead: Lead, number: int, first: int) -> list[Beat]:
        energy = self._energy[number]
        beats: list[Beat] = []
        for at in local_peaks(energy, half_n=PEAK_N):
            peak = Peak(first + at, float(energy[at]))
            lead.tallest.append(peak)
            beats += [self._beat(number, found) for found in lead.thresholds.offer(peak)]
        oldest = self.made_n - KEPT_N
        while lead.tallest and lead.tallest[0].index < oldest:
            lead.tallest.pop(0)
        return beats

    def _beat(self, number: int, peak: Peak) -> Beat:
        start = peak.index - (self.made_n - self.raw.shape[1]) - SHAPE_BEFORE_N
        shape = self.raw[number, max(0, start) : start + SHAPE_BEFORE_N + SHAPE_AFTER_N]
        if len(shape) < SHAPE_BEFORE_N + SHAPE_AFTER_N:
            shape = np.zeros(SHAPE_BEFORE_N + SHAPE_AFTER_N)
        core = shape[15:75]
        slope = float(np.abs(core[4:] - core[:-4]).max()) * RATE_HZ / 4.0
        range_mv = float(core.max() - core.min())
        rise_s = range_mv / slope if slope > 0 else 0.0
        return Beat(peak.index, peak.height, rise_s, range_mv, shape)
