"""The four alarms that count beats, by the definitions of Clifford et al., Computing in Cardiology 2015:273: asystole,
extreme bradycardia, extreme tachycardia and ventricular tachycardia, for one lead."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from gateway.detect.settings import DetectSettings


@dataclass(frozen=True, slots=True)
class Seen:
    """One beat as the rules see it: its time in the segment and whether it is ventricular."""

    at_s: float
    ventricular: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one lead says now. Each is None, or the time (s in the segment) since which it holds."""

    asystole: float | None
    bradycardia: float | None
    tachycardia: float | None
    ventricular: float | None
    fast: bool
    rate: float | None


class Rhythm:
    """The beats of one lead under the rules."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        self._beats: deque[Seen] = deque(maxlen=max(settings.tachycardia_beats, 12))
        self._ever = 0

    @property
    def beats_seen(self) -> int:
        """Beats since the wearer was first watched, gaps included."""
        return self._ever

    @property
    def last_at_s(self) -> float | None:
        """When the last beat was; None in a segment without one."""
        return self._beats[-1].at_s if self._beats else None

    def restart(self) -> None:
        """A gap: no interval may reach across it."""
        self._beats.clear()

    def add(self, beat: Seen) -> None:
        """The next beat."""
        self._beats.append(beat)
        self._ever += 1

    def judge(self, now_s: float) -> Verdict:
        """now_s: up to where beats are known (0 = start of the segment)."""
        rules, beats = self._settings, self._beats
        last_s = beats[-1].at_s if beats else 0.0
        silent = now_s - last_s >= rules.asystole_s
        return Verdict(
            asystole=last_s if silent else None,
            bradycardia=self._bradycardia(now_s),
            tachycardia=self._tachycardia(now_s),
            ventricular=self._ventricular(now_s),
            fast=self._fast(),
            rate=self._rate(),
        )

    def _rate(self) -> float | None:
        if len(self._beats) < 4:
            return None
        first, last = self._beats[-4], self._beats[-1]
        return 180.0 / max(last.at_s - first.at_s, 0.1)

    def _fast(self) -> bool:
        rate = self._rate()
        return rate is not None and rate > self._settings.ventricular_rate

    def _bradycardia(self, now_s: float) -> float | None:
        n = self._settings.bradycardia_beats
        if len(self._beats) < n:
            return None
        last = list(self._beats)[-n:]
        slow_s = 60.0 / self._settings.bradycardia_rate
        each = [b.at_s - a.at_s for a, b in pairwise(last)]
        if sum(each) / len(each) > slow_s and min(each) > 0.75 * slow_s and now_s - last[-1].at_s < 10.0:
            return last[0].at_s
        return None

    def _tachycardia(self, now_s: float) -> float | None:
        n = self._settings.tachycardia_beats
        if len(self._beats) < n:
            return None
        last = list(self._beats)[-n:]
        mean_s = (last[-1].at_s - last[0].at_s) / (n - 1)
        if mean_s < 60.0 / self._settings.tachycardia_rate and now_s - last[-1].at_s < 2.0:
            return last[0].at_s
        return None

    def _ventricular(self, now_s: float) -> float | None:
        n = self._settings.ventricular_beats
        if len(self._beats) < n:
            return None
        last = list(self._beats)[-n:]
        mean_s = (last[-1].at_s - last[0].at_s) / (n - 1)
        fast = mean_s < 60.0 / self._settings.ventricular_rate and now_s - last[-1].at_s < 2.0
        return last[0].at_s if fast and all(b.ventricular for b in last) else None
