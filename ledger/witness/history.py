"""What a witness holds of a log, against what the log holds itself: a log that was restored from an old copy shows here.

A log must never sign a second tree of a size. Its own files cannot tell that they are old; whoever cosigned it can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol import notes
from protocol.errors import BadSignature, Malformed, Unavailable
from protocol.notes import Checkpoint, NoteKey

CODE = "log_rolled_back"
FIX = (
    "bring back the newest copy of the ledger's folder, or begin a new log or epoch under another key; if the witness is "
    "wrong, take it out of the policy"
)


class Log(Protocol):
    """What is asked of the log itself."""

    @property
    def size(self) -> int:
        """Entries under its newest checkpoint."""

    def root(self, size: int) -> bytes:
        """The root that its tree had at `size`. Raises Unavailable: node_missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """A witness knows more than the log. proved: it showed the log's own signature; else it only says so."""

    witness: str
    size: int
    proved: bool
    detail: str

    def sentence(self) -> str:
        """For people, with the fix."""
        return f"{self.detail}: {FIX}"


def signed_by(note: str, origin: str, keys: Sequence[NoteKey]) -> Checkpoint | None:
    """The checkpoint in `note` when the log called `origin` signed it with one of `keys`; None for anything else."""
    try:
        parsed = notes.parse(note)
        found = Checkpoint.from_text(parsed.text)
        return found if found.origin == origin and notes.verify(parsed, keys) else None
    except (Malformed, BadSignature):
        return None


def compare(witness: str, held: Checkpoint, log: Log) -> RolledBack | None:
    """What is wrong between a checkpoint that the log once signed and the log as it is; None when they go together."""
    size = log.size
    if held.size > size:
        detail = (
            f"the witness {witness} holds a checkpoint of {held.size} entries that this log signed, and {size} are here"
        )
        return RolledBack(witness=witness, size=held.size, proved=True, detail=detail)
    try:
        root = log.root(held.size)
    except Unavailable:
        return None  # pruned: what was before is no longer here to compare
    if root == held.root:
        return None
    detail = f"the witness {witness} holds another tree of {held.size} entries that this log signed"
    return RolledBack(witness=witness, size=held.size, proved=True, detail=detail)


def claimed(witness: str, size: int, log: Log) -> RolledBack | None:
    """The same for a bare size, which a witness says without showing what was signed."""
    if size <= log.size:
        return None
    detail = f"the witness {witness} says that it holds {size} entries of this log, and {log.size} are here"
    return RolledBack(witness=witness, size=size, proved=False, detail=detail)
