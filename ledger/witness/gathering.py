"""Which checkpoint a log's witnesses are asked for, and what they have said to it. Decides; asks nobody itself.

All are asked for one checkpoint until enough have cosigned it: if each were asked for the newest one when it is free, two
slow witnesses might never sign the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from protocol import notes
from protocol.errors import BadSignature
from protocol.notes import Checkpoint, Line, Note
from protocol.policy import Policy

ROUND_MAX_S = 15.0  # for one checkpoint: twice what a slow witness may take, and some; then a newer one has its turn
PAUSE_MIN_S, PAUSE_MAX_S = 1.0, 60.0  # between two tries of a witness that failed


@dataclass(slots=True, kw_only=True, eq=False)
class Candidate:
    """A checkpoint that witnesses are asked for. note: as the log signed it; since_s: monotonic; lines: by witness."""

    note: str
    checkpoint: Checkpoint
    since_s: float
    lines: dict[str, Line] = field(default_factory=dict)
    met: bool = False
    """Enough have cosigned it."""

    @classmethod
    def of(cls, note: str, since_s: float) -> "Candidate":
        """The candidate of a signed note."""
        return cls(note=note, checkpoint=Checkpoint.from_text(notes.parse(note).text), since_s=since_s)

    def add(self, name: str, line: Line, policy: Policy) -> bool:
        """One more cosignature, which was verified. Whether enough have signed now."""
        self.lines[name] = line
        self.met = self.met or meets(self.whole(), policy)
        return self.met

    def take_back(self, name: str) -> None:
        """What this witness said could not be written down: it is asked again."""
        self.lines.pop(name, None)
        self.met = False

    def whole(self) -> str:
        """The note with all cosignatures that came."""
        found = notes.parse(self.note)
        return Note(text=found.text, lines=(*found.lines, *(self.lines[name] for name in sorted(self.lines)))).whole()


def meets(note: str, policy: Policy) -> bool:
    """Whether a verifier with this policy takes the note."""
    try:
        policy.check(note)
    except BadSignature:
        return False
    return True


def is_over(candidate: Candidate, *, busy: bool, now_s: float) -> bool:
    """Whether a newer checkpoint may take its place. busy: some witness is still asked for it."""
    return candidate.met or not busy or now_s - candidate.since_s >= ROUND_MAX_S


@dataclass(slots=True)
class Standing:
    """What a log knows of one witness. old: the size at which it stands; None when nobody knows.

    looked: it was asked what it holds since we began; due_s: when it may be asked again, monotonic.
    """

    old: int | None = None
    looked: bool = False
    failures: int = 0
    due_s: float = 0.0

    def succeeded(self, size: int) -> bool:
        """It cosigned at `size`. Whether it had been away."""
        back, self.failures, self.old, self.looked = self.failures > 0, 0, size, True
        return back

    def failed(self, now_s: float, rng: Random, *, at_least_s: float = 0.0) -> bool:
        """It did not. Whether that is new. at_least_s: the pause that it asked for."""
        self.failures += 1
        pause_s = min(PAUSE_MAX_S, PAUSE_MIN_S * 2 ** min(self.failures - 1, 10)) * rng.uniform(0.5, 1.0)
        self.due_s = now_s + max(pause_s, at_least_s)
        return self.failures == 1


def missing(standings: Iterable[Standing]) -> int:
    """How many witnesses did not answer as they should when they were last asked."""
    return sum(each.failures > 0 for each in standings)
