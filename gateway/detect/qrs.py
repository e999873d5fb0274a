"""Streaming QRS detection of one lead: band-passed energy against thresholds that follow the patient, after Pan and
Tompkins (IEEE Trans Biomed Eng 32:230, 1985) and Hamilton (Computers in Cardiology 29:101, 2002)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

REFRACTORY_S = 0.2
"""No second QRS within this of the last one: the ventricles cannot."""
T_WAVE_S = 0.36
T_WAVE_SHARE = 0.5
T_FADE_S = 0.3
"""Up to here after a QRS a peak of less than this share of its height is the T wave (after Pan and Tompkins); the share
falls to nothing at twice the time."""
SEARCH_SHARE = 0.6
"""Share of the threshold that a search-back takes."""
RELEARN_S = 6.0
"""After this long without a QRS the thresholds are learnt anew: the signal may have become smaller for good. Longer
than any asystole limit, so that the alarm comes first."""
RELEARN_SHARE = 0.1
"""A level learnt anew is at least this share of the one before: what is smaller are P waves and noise."""
REMEMBERED = 8
"""Peaks of each sort from which the thresholds are made (Hamilton)."""
REMEMBERED_LONG = 40
"""Peaks whose median bounds the level from above: a short run of tall beats must not hide the usual ones."""
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
        self._long: deque[float] = deque(maxlen=REMEMBERED_LONG)
        self._noise: deque[float] = deque(maxlen=REMEMBERED)
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)
        self._level = 0.0
        self._level_before = 0.0
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
        if self._last is not None and peak.index - self._last.index > RELEARN_S * self._rate_hz:
            self._forget()
        if not self._signal:
            return self._learn(peak)
        found = self._search_back(peak.index)
        if self._last is not None:
            apart_n = peak.index - self._last.index
            if apart_n < REFRACTORY_S * self._rate_hz:
                return found
            if peak.height < _share_needed(apart_n / self._rate_hz) * min(self._last.height, self._level):
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
        tallest, second = sorted((p.height for p in self._learning), reverse=True)[:2]
        level = second if second > 0.5 * tallest else tallest
        if level < max(FLOOR_MV, RELEARN_SHARE * self._level_before):
            self._learning.pop(0)
            return []
        self._signal.append(level)
        self._level = level
        waiting, self._learning = self._learning, []
        return [beat for earlier in waiting for beat in self.offer(earlier)]

    def _forget(self) -> None:
        self._level_before = max(self._level, RELEARN_SHARE * self._level_before)
        self._signal.clear()
        self._long.clear()
        self._noise.clear()
        self._intervals.clear()
        self._doubtful.clear()
        self._learning.clear()
        self._level = self._noise_level = 0.0
        self._last = None

    def _accept(self, peak: Peak) -> None:
        if self._last is not None:
            self._intervals.append(peak.index - self._last.index)
        self._last = peak
        self._signal.append(min(peak.height, 3.0 * self._level))
        self._long.append(self._signal[-1])
        self._level = min(_median(self._signal), _median(self._long))
        self._doubtful.clear()

    def _reject(self, peak: Peak) -> None:
        self._noise.append(peak.height)
        self._noise_level = min(_median(self._noise), 0.6 * self._level)
        self._doubtful.append(peak)
        if len(self._doubtful) > 64:
            self._doubtful.pop(0)

    def _search_back(self, now_index: int) -> list[Peak]:
        """After 1.66 usual intervals without a QRS, the tallest of the rejected peaks is taken when it reaches half the
        threshold (Pan and Tompkins)."""
        if self._last is None or len(self._intervals) < 3:
            return []
        usual_n = _median(self._intervals)
        if now_index - self._last.index < 1.66 * usual_n:
            return []
        earliest = self._last.index + T_WAVE_S * self._rate_hz
        among = [p for p in self._doubtful if p.index >= earliest and p.height >= SEARCH_SHARE * self.threshold]
        if not among:
            return []
        best = max(among, key=lambda p: p.height)
        if best.height < FLOOR_MV:
            return []
        later = [p for p in self._doubtful if p.index > best.index]
        self._accept(best)
        self._doubtful = later
        return [best]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _share_needed(apart_s: float) -> float:
    return T_WAVE_SHARE * min(1.0, max(0.0, 1.0 - (apart_s - T_WAVE_S) / T_FADE_S))


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
