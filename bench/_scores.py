"""How findings are held against the labels of recorded signals: by episode, by trial and by the hour."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench._recorded import STARTS_MS, Recording
from gateway.detect import Finding

FIBRILLATION = frozenset({"VF", "VFIB", "VFL"})
STANDSTILL = frozenset({"ASYS"})
TACHYCARDIA = frozenset({"VT"})
UNSURE = frozenset({"", "NOISE"})
"""Labels under which nobody knows the rhythm."""
EPISODE_S = 10.0
"""Episodes shorter than this are not counted."""
DEFINED_AFTER_S = 4.0
"""A rhythm is a lethal one from its fourth second (Challenge 2015)..."""
WITHIN_S = 10.0
"""...and must be told within ten seconds of that (ANSI/AAMI EC13)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An alarm as people see it, from its raising to its clearing, in seconds of the recording."""

    kind: str
    onset_s: float
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an episode got. after_s: from its onset to the alarm, 0 for one that was on already, None when missed."""

    name: str
    label: str
    start_s: float
    end_s: float
    after_s: float | None


def shown(found: Sequence[Finding], *, ends_s: float) -> list[Shown]:
    """The alarms of a recording in the order of their raising; what never cleared lasts until `ends_s`."""
    cleared = {(f.kind, f.onset_ms): _second(f.at_ms) for f in found if f.phase == "cleared"}
    return [
        Shown(
            kind=f.kind,
            onset_s=_second(f.onset_ms),
            from_s=_second(f.at_ms),
            to_s=cleared.get((f.kind, f.onset_ms), ends_s),
        )
        for f in found
        if f.phase == "raised" and f.priority == "high"
    ]


def answers(
    recording: Recording, alarms: Sequence[Shown], *, labels: frozenset[str], kinds: frozenset[str]
) -> list[Answer]:
    """Each episode of these labels and the first alarm of these kinds that is on between its onset and its limit."""
    given = []
    for start_s, end_s in recording.episodes(set(labels)):
        if end_s - start_s < EPISODE_S:
            continue
        limit_s = start_s + DEFINED_AFTER_S + WITHIN_S
        on = [a for a in alarms if a.kind in kinds and a.from_s <= limit_s and a.to_s > start_s]
        after = [max(0.0, a.from_s - start_s) for a in on]
        given.append(
            Answer(
                name=recording.name,
                label=recording.label(start_s),
                start_s=start_s,
                end_s=end_s,
                after_s=min(after, default=None),
            )
        )
    return given


def unfounded(
    recording: Recording, alarms: Sequence[Shown], *, kinds: frozenset[str], labels: frozenset[str]
) -> list[Shown]:
    """Alarms of these kinds that began where no label near their onset is one of `labels` or unsure."""
    return [
        alarm
        for alarm in alarms
        if alarm.kind in kinds and not _touches(recording, labels | UNSURE, alarm.onset_s - WITHIN_S, alarm.from_s)
    ]


def share(parts: Iterable[bool]) -> tuple[int, int, float]:
    """How many of how many, and their share in percent (0 of none is 0)."""
    known = list(parts)
    return sum(known), len(known), 100 * sum(known) / len(known) if known else 0.0


def _touches(recording: Recording, labels: frozenset[str], from_s: float, to_s: float) -> bool:
    changes = [second for second, _ in recording.rhythms if from_s < second <= to_s]
    return any(recording.label(second) in labels for second in (from_s, *changes))


def _second(at_ms: int) -> float:
    return (at_ms - STARTS_MS) / 1000
