"""The heart's rhythm: when each beat comes, of which kind, and how much blood it moves.

Sinus rhythm is swayed by breathing, effort and slow noise; ectopic beats come early and are followed by a pause;
episodes of other rhythms are scripted. Times are milliseconds since the stream began.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from device_sim.sources.body.breath import Breath
from protocol.errors import ConfigError

RHYTHMS = ("sinus", "af", "vt", "vf", "asystole", "bradycardia", "tachycardia")
BEATLESS = frozenset({"vf", "asystole"})
RATES = {
    "vt": (165.0, 205.0),
    "bradycardia": (28.0, 35.0),
    "tachycardia": (158.0, 185.0),
}  # beats a minute, lowest, highest
RR_SHORTEST_MS = 280.0  # no rhythm of ours is faster than about 215 a minute
NEVER_MS = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A stretch of another rhythm. from_ms, to_ms: when; rhythm: of RHYTHMS; rate: beats a minute (0: it has none)."""

    from_ms: float
    to_ms: float
    rhythm: str
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat. at_ms: its R peak; kind: sinus, atrial (early, odd P), conducted (no P), ventricular (early, wide) or
    tachycardia (wide, one of a run); rr_ms: since the beat before; output: stroke volume, 1 at rest."""

    at_ms: float
    kind: str
    rr_ms: float
    output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What is usual for one heart. rest_rate: beats a minute; rhythm: sinus or af; pvc, pac: shares of early beats."""

    rest_rate: float
    rhythm: str = "sinus"
    pvc: float = 0.0
    pac: float = 0.0

    def __post_init__(self) -> None:
        if self.rhythm not in RHYTHMS:
            raise ConfigError("source_rhythm", f"{self.rhythm!r} is not a rhythm; the rhythms are {', '.join(RHYTHMS)}")


def episode(rng: Random, rhythm: str, from_ms: float, to_ms: float) -> Episode:
    """An episode of `rhythm` at a rate drawn from what is usual for it."""
    low, high = RATES.get(rhythm, (0.0, 0.0))
    return Episode(from_ms=from_ms, to_ms=to_ms, rhythm=rhythm, rate=rng.uniform(low, high))


class Heart:
    """Beats in their order. Where episodes overlap, the one named last rules."""

    def __init__(self, rng: Random, *, habit: Habit, episodes: Sequence[Episode] = ()) -> None:
        self._rng = rng
        self._habit = habit
        usual = episode(rng, habit.rhythm, 0.0, NEVER_MS)
        self._episodes = (usual, *episodes)
        self._rate = habit.rest_rate
        self._last_ms = -600.0
        self._next_ms = rng.uniform(200.0, 700.0)
        self._next_kind = self._usual_kind(self.at(0.0))
        self._pause_ms: float | None = None

    def at(self, at_ms: float) -> Episode:
        """The episode that rules at at_ms."""
        return next(found for found in reversed(self._episodes) if found.from_ms <= at_ms < found.to_ms)

    def beats(self, until_ms: float, *, effort_rate: float, breath: Breath) -> list[Beat]:
        """The beats not yet given whose R peak comes before until_ms. effort_rate: beats a minute above rest."""
        found = []
        while self._next_ms < until_ms:
            now_ms, ruling = self._next_ms, self.at(self._next_ms)
            if ruling.rhythm in BEATLESS:
                self._next_ms = self._change_after(now_ms) + self._rng.uniform(300.0, 900.0)
                if not math.isfinite(self._next_ms):
                    break
                self._next_kind, self._pause_ms = self._usual_kind(self.at(self._next_ms)), None
                continue
            rr_ms = now_ms - self._last_ms
            found.append(Beat(now_ms, self._next_kind, rr_ms, _output(self._next_kind, rr_ms)))
            self._last_ms = now_ms
            self._plan(ruling, effort_rate=effort_rate, breath=breath)
        return found

    def _plan(self, ruling: Episode, *, effort_rate: float, breath: Breath) -> None:
        """Decide the next beat after one at `_last_ms`."""
        now_ms = self._last_ms
        rr_ms = self._interval(ruling, effort_rate=effort_rate, breath=breath)
        kind = self._usual_kind(ruling)
        if self._pause_ms is not None:
            rr_ms, self._pause_ms = self._pause_ms, None
        elif ruling.rhythm == "sinus":
            draw = self._rng.random()
            if draw < self._habit.pvc:
                early_ms = rr_ms * self._rng.uniform(0.55, 0.65)
                kind, self._pause_ms, rr_ms = "ventricular", 2 * rr_ms - early_ms, early_ms
            elif draw < self._habit.pvc + self._habit.pac:
                early_ms = rr_ms * self._rng.uniform(0.66, 0.76)
                kind, self._pause_ms, rr_ms = "atrial", 1.15 * rr_ms, early_ms
        next_ms = now_ms + max(RR_SHORTEST_MS, rr_ms)
        change_ms = self._change_after(now_ms)
        if change_ms <= next_ms:
            new = self.at(change_ms)
            if new.rhythm not in BEATLESS:
                kind, self._pause_ms = self._usual_kind(new), None
                next_ms = min(next_ms, change_ms + self._interval(new, effort_rate=effort_rate, breath=breath))
                next_ms = max(next_ms, now_ms + RR_SHORTEST_MS)
        self._next_ms, self._next_kind = next_ms, kind

    def _interval(self, ruling: Episode, *, effort_rate: float, breath: Breath) -> float:
        """An RR interval of the ruling rhythm, in milliseconds."""
        gauss = self._rng.gauss
        if ruling.rate:
            return 60_000 / ruling.rate * (1 + gauss(0.0, 0.012))
        share = min(1.0, 60_000 / self._rate / 15_000)  # the rate follows effort within about fifteen seconds
        self._rate += share * (self._habit.rest_rate + effort_rate - self._rate)
        mean_ms = 60_000 / self._rate
        if ruling.rhythm == "af":
            return max(360.0, mean_ms * 0.85 * (1 + gauss(0.0, 0.22)))
        return mean_ms * (1 + 0.035 * breath.wave(self._last_ms) + gauss(0.0, 0.012))

    def _change_after(self, at_ms: float) -> float:
        """When the next episode begins or ends after at_ms."""
        edges = (edge for found in self._episodes for edge in (found.from_ms, found.to_ms) if edge > at_ms)
        return min(edges, default=NEVER_MS)

    @staticmethod
    def _usual_kind(ruling: Episode) -> str:
        return {"vt": "tachycardia", "af": "conducted", "tachycardia": "conducted"}.get(ruling.rhythm, "sinus")


def _output(kind: str, rr_ms: float) -> float:
    """The stroke volume of a beat: little when it came early and had no time to fill, or when it is ventricular."""
    filling = min(1.1, max(0.15, (rr_ms - 100) / 550))
    return filling * (0.5 if kind in {"ventricular", "tachycardia"} else 1.0)
