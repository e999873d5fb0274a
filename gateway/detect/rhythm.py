"""The alarms that count beats, by the definitions of Clifford et al., Computing in Cardiology 2015:273: asystole,
extreme bradycardia, extreme tachycardia and ventricular tachycardia, for one lead."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from gateway.detect.settings import DetectSettings

RECENT_S = 2.0
"""A fast rhythm whose last beat is older than this is over."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One beat as the rules see it: its time in the segment, whether it is ventricular, and how much it resembles the
    beat before it (correlation)."""

    at_s: float
    ventricular: bool
    alike: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one lead says now. Each is None, or the time (s in the segment) since which it holds; rate: beats per minute
    over the last four intervals, None before there are as many."""

    asystole: float | None
    bradycardia: float | None
    tachycardia: float | None
    ventricular: float | None
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

    def judge(self, now_s: float, *, holding: frozenset[str]) -> Verdict:
        """now_s: up to where beats are known (0 = start of the segment). holding: kinds whose episode is open; these go
        on until the rate is clear of the limit by `rate_hysteresis`, so that a rate at the limit is one alarm."""
        beats = self._beats
        last_s = beats[-1].at_s if beats else 0.0
        return Verdict(
            asystole=last_s if now_s - last_s >= self._settings.asystole_s else None,
            bradycardia=self._bradycardia(now_s, "extreme_bradycardia" in holding),
            tachycardia=self._tachycardia(now_s, "extreme_tachycardia" in holding),
            ventricular=self._ventricular(now_s, "ventricular_tachycardia" in holding),
            rate=self._rate(),
        )

    def _rate(self) -> float | None:
        if len(self._beats) < 5:
            return None
        return 240.0 / max(self._beats[-1].at_s - self._beats[-5].at_s, 0.1)

    def _bradycardia(self, now_s: float, held: bool) -> float | None:
        """The pause that is going on counts as an interval once it is longer than the limit allows."""
        rules = self._settings
        times = [beat.at_s for beat in self._beats]
        slow_s = 60.0 / (rules.bradycardia_rate + (rules.rate_hysteresis if held else 0.0))
        if times and now_s - times[-1] > slow_s:
            times.append(now_s)
        times = times[-rules.bradycardia_beats :]
        if len(times) < rules.bradycardia_beats:
            return None
        slow = (times[-1] - times[0]) / (len(times) - 1) > slow_s
        return times[0] if slow and min(b - a for a, b in pairwise(times)) > 0.75 * slow_s else None

    def _tachycardia(self, now_s: float, held: bool) -> float | None:
        rules = self._settings
        if len(self._beats) < rules.tachycardia_beats or now_s - self._beats[-1].at_s > RECENT_S:
            return None
        first = self._beats[-rules.tachycardia_beats]
        mean_s = (self._beats[-1].at_s - first.at_s) / (rules.tachycardia_beats - 1)
        fast_s = 60.0 / (rules.tachycardia_rate - (rules.rate_hysteresis if held else 0.0))
        return first.at_s if mean_s < fast_s else None

    def _sudden(self, mean_s: float) -> bool:
        """The run is clearly faster than the beats before it; a bundle branch that fails as the rate climbs is not."""
        before = [beat.at_s for beat in self._beats if not beat.ventricular]
        usual = sorted(b - a for a, b in pairwise(before))
        return len(usual) < 3 or mean_s < 0.87 * usual[len(usual) // 2]

    def _ventricular(self, now_s: float, held: bool) -> float | None:
        """All of the last beats ventricular, fast and of one shape: many shapes are noise, or fibrillation."""
        rules = self._settings
        if len(self._beats) < rules.ventricular_beats or now_s - self._beats[-1].at_s > RECENT_S:
            return None
        last = list(self._beats)[-rules.ventricular_beats :]
        mean_s = (last[-1].at_s - last[0].at_s) / (len(last) - 1)
        if mean_s >= 60.0 / (rules.ventricular_rate - (rules.rate_hysteresis if held else 0.0)):
            return None
        if sum(beat.ventricular for beat in last) < (3 if held else len(last)):
            return None
        if not held and not self._sudden(mean_s):
            return None
        alike = sum(beat.alike for beat in last[1:]) / (len(last) - 1)
        return last[0].at_s if held or alike >= rules.ventricular_alike else None
