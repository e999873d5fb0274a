"""Streaming QRS detection of one lead: band-passed energy against thresholds that follow the patient, after Pan and
Tompkins (IEEE Trans Biomed Eng 32:230, 1985) and Hamilton (Computers in Cardiology 29:101, 2002)."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

REFRACTORY_S = 0.2
"""No second QRS within this of the last one: the ventricles cannot."""
T_WAVE_S = 0.36
"""Up to here after a QRS a peak of less than half its height is the T wave (Pan and Tompkins)."""
REMEMBERED = 8
"""Peaks of each sort from which the thresholds are made (Hamilton)."""
FLOOR_MV = 0.02
"""Band energy (root mean square, mV) below which nothing is a QRS: the noise of a good lead."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A local maximum of the band energy. index: sample counted from the segment's start; height: mV."""

    index: int
    height: float


class Thresholds:
    """The adaptive part: peaks in, beats out, in the order of their index."""

    def __init__(self, *, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._signal: deque[float] = deque(maxlen=REMEMBERED)
        self._noise: deque[float] = deque(maxlen=REMEMBERED)
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)
        self._level = 0.0
        self._noise_level = 0.0
        self._last: Peak | None = None
        self._doubtful: list[Peak] = []
        self._learning: list[Peak] = []

    @property
    def level(self) -> float:
        """Height of a usual QRS of this patient; 0 before any."""
        return self._level

    @property
    def threshold(self) -> float:
        """Height above which a peak is a QRS."""
        return max(FLOOR_MV, self._noise_level + 0.3 * (self._level - self._noise_level))

    def restart(self) -> None:
        """A gap: the patient is the same, the time is not."""
        self._last = None
        self._intervals.clear()
        self._doubtful.clear()
        self._learning.clear()

    def offer(self, peak: Peak) -> list[Peak]:
        """Beats that become certain with `peak` (a search-back may add an earlier one)."""
        if not self._signal:
            return self._learn(peak)
        found = self._search_back(peak.index)
        if self._last is not None:
            apart_n = peak.index - self._last.index
            if apart_n < REFRACTORY_S * self._rate_hz:
                return found
            if apart_n < T_WAVE_S * self._rate_hz and peak.height < 0.5 * self._last.height:
                return found
        if peak.height >= self.threshold:
            self._accept(peak)
            found.append(peak)
        else:
            self._reject(peak)
        return found

    def _learn(self, peak: Peak) -> list[Peak]:
        """The first two seconds of peaks set the level: the median of the tallest of each half second or so."""
        self._learning.append(peak)
        if peak.index - self._learning[0].index < 2 * self._rate_hz or len(self._learning) < 3:
            return []
        heights = sorted((p.height for p in self._learning), reverse=True)
        level = heights[min(1, len(heights) - 1)]
        if level < FLOOR_MV:
            self._learning.pop(0)
            return []
        self._signal.append(level)
        self._level = level
        waiting, self._learning = self._learning, []
        return [beat for earlier in waiting for beat in self.offer(earlier)]

    def _accept(self, peak: Peak) -> None:
        if self._last is not None:
            self._intervals.append(peak.index - self._last.index)
        self._last = peak
        self._signal.append(min(peak.height, 3.0 * self._level))
        self._level = float(np.median(self._signal))
        self._doubtful.clear()

    def _reject(self, peak: Peak) -> None:
        self._noise.append(peak.height)
        self._noise_level = min(float(np.median(self._noise)), 0.6 * self._level)
        self._doubtful.append(peak)
        if len(self._doubtful) > 64:
            self._doubtful.pop(0)

    def _search_back(self, now_index: int) -> list[Peak]:
        """After 1.66 usual intervals without a QRS, the tallest of the rejected peaks is taken when it reaches half the
        threshold (Pan and Tompkins)."""
        if self._last is None or len(self._intervals) < 3:
            return []
        usual_n = float(np.median(self._intervals))
        if now_index - self._last.index < 1.66 * usual_n:
            return []
        earliest = self._last.index + T_WAVE_S * self._rate_hz
        among = [p for p in self._doubtful if p.index >= earliest and p.height >= 0.5 * self.threshold]
        if not among:
            return []
        best = max(among, key=lambda p: p.height)
        if best.height < FLOOR_MV:
            return []
        later = [p for p in self._doubtful if p.index > best.index]
        self._accept(best)
        self._doubtful = later
        return [best]


def local_peaks(energy: Samples, *, half_n: int) -> list[int]:
    """Indices `i` (into `energy`, from `half_n` to its length less `half_n`) where the energy is the greatest within
    `half_n` on either side; of equals the first."""
    n = len(energy) - 2 * half_n
    middle = energy[half_n : half_n + n]
    rising = (middle > energy[half_n - 1 : half_n - 1 + n]) & (middle >= energy[half_n + 1 : half_n + 1 + n])
    peaks = []
    for i in np.flatnonzero(rising).tolist():
        at = i + half_n
        height = energy[at]
        if energy[i:at].max() < height and energy[at + 1 : at + half_n + 1].max() <= height:
            peaks.append(at)
    return peaks
