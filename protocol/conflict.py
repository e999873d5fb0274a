"""Two checkpoints that a log signed and that cannot both be of one log that only grows, as a file that anybody checks offline.

What each kind shows, to whoever trusts nothing but the log's public key:

- two_roots: both trees have one size and another root. The log's key signed both. A proof.
- other_beginning: the larger tree does not begin as the smaller one. The path is of the larger tree, since it leads to its signed
  root; the root of its beginning, to which it leads as well, is not the one that was signed. A proof.
- place_taken: the log's key signed that a statement is entry `i`, and a tree that was there before the statement was made
  already had an entry `i`. That it was there before is the word of who kept the file, and of the witnesses in it. Without a
  statement of this kind, a smaller tree that is seen later shows nothing: anybody can show an old checkpoint.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from protocol import base64text, growth, merkle, statement
from protocol.errors import BadSignature, Malformed, ProtocolError, VerificationFailed
from protocol.notes import NOTE_SIZE_MAX, Checkpoint
from protocol.policy import Policy
from protocol.receipt import SIZE_MAX as RECEIPT_SIZE_MAX

Kind = Literal["two_roots", "other_beginning", "place_taken"]

TYPE = "vigil-log-conflict"
SIZE_MAX = 1_048_576  # bytes of a file; a larger one is malformed unread: two notes, a path and a statement fit
TIME_MAX_MS = (1 << 63) - 1
PROOFS: frozenset[Kind] = frozenset({"two_roots", "other_beginning"})
SAYS: dict[Kind, str] = {
    "two_roots": "the log's key signed two trees of one size with different roots",
    "other_beginning": "the log's key signed a tree that does not begin as one that it had signed",
    "place_taken": "the log's key gave a statement a place that was taken in a tree that it had signed",
}

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A checkpoint as somebody saw it. note: as it was signed; at_ms: when, by their clock."""

    note: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A statement that got a place, and the log's receipt."""

    statement: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """earlier, later: in the order in which they were seen; path: `merkle.prefix_path` of the larger tree, empty when it is not
    what conflicts; taken: for place_taken, else None."""

    earlier: Seen
    later: Seen
    path: tuple[bytes, ...] = ()
    taken: Taken | None = None

    def encode(self) -> bytes:
        """The file: JSON in one form only."""
        value = {
            "type": TYPE,
            "v": 1,
            "earlier": {"note": self.earlier.note, "at_ms": self.earlier.at_ms},
            "later": {"note": self.later.note, "at_ms": self.later.at_ms},
            "path": [item.hex() for item in self.path],
            "taken": self.taken
            and {
                "statement": base64text.encode(self.taken.statement),
                "receipt": base64text.encode(self.taken.receipt),
            },
        }
        return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: conflict_size, conflict_shape."""
        if len(data) > SIZE_MAX:
            raise Malformed("conflict_size", f"at most {SIZE_MAX} bytes")
        try:
            value = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise Malformed("conflict_shape", "not JSON") from error
        if not isinstance(value, dict) or value.keys() != {"type", "v", "earlier", "later", "path", "taken"}:
            raise Malformed("conflict_shape", "not the fields of this version")
        if value["type"] != TYPE or type(value["v"]) is not int or value["v"] != 1:
            raise Malformed("conflict_shape", "not this version's file")
        found = cls(
            earlier=_seen(value["earlier"]),
            later=_seen(value["later"]),
            path=_path(value["path"]),
            taken=None if value["taken"] is None else _taken(value["taken"]),
        )
        if found.encode() != data:
            raise Malformed("conflict_shape", "not the one form of what it says")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a conflict shows. proof: to anybody, without trusting who kept it; cosigned: (witness, Unix s) of each checkpoint;
    index: of the place that was taken."""

    kind: Kind
    proof: bool
    earlier: Checkpoint
    later: Checkpoint
    earlier_cosigned: tuple[tuple[str, int], ...]
    later_cosigned: tuple[tuple[str, int], ...]
    index: int | None


def is_one(data: bytes) -> bool:
    """Whether `data` means to be such a file, and not an evidence bundle."""
    return data[:1] == b"{" and TYPE.encode() in data[:SIZE_MAX]


def contradiction(earlier: Checkpoint, later: Checkpoint, path: Sequence[bytes]) -> Kind | None:
    """How two checkpoints contradict each other; None when the path shows that the one grew into the other.

    path: `merkle.prefix_path` between their sizes, empty for equal ones. Raises VerificationFailed: consistency_bad, for a path
    that is not of the larger tree, and shows nothing.
    """
    small, large = sorted((earlier, later), key=lambda each: each.size)
    if small.size == large.size:
        if path:
            raise VerificationFailed("consistency_bad", "between equal sizes there is no path")
        return None if small.root == large.root else "two_roots"
    if small.size == 0:
        return None  # every tree begins with nothing
    began, root = merkle.prefix_roots(size1=small.size, size2=large.size, path=path)
    if root != large.root:
        raise VerificationFailed("consistency_bad", "the path does not lead to the root of the larger tree")
    return None if began == small.root else "other_beginning"


def verify(data: bytes, policy: Policy) -> Verdict:
    """What the file `data` shows about a log of the policy. Raises VerificationFailed: conflict_*, when it shows nothing."""
    try:
        found = Conflict.decode(data)
        earlier, earlier_cosigned = policy.signed(found.earlier.note)
        later, later_cosigned = policy.signed(found.later.note)
        if earlier.origin != later.origin:
            raise BadSignature("log_other", "the checkpoints are of two logs")
        index = None if found.taken is None else _index(found.taken, earlier, policy)
        kind: Kind | None = "place_taken" if index is not None else contradiction(earlier, later, found.path)
    except (ProtocolError, VerificationFailed) as error:
        raise VerificationFailed(f"conflict_{error.code.removeprefix('conflict_')}", error.detail) from error
    if kind is None:
        raise VerificationFailed("conflict_none", "the one tree grew into the other: there is no conflict")
    if index is not None and found.path:
        raise VerificationFailed("conflict_shape", "a place that was taken needs no path")
    return Verdict(
        kind=kind,
        proof=kind in PROOFS,
        earlier=earlier,
        later=later,
        earlier_cosigned=earlier_cosigned,
        later_cosigned=later_cosigned,
        index=index,
    )


def describe(verdict: Verdict) -> dict[str, object]:
    """A verdict for people and programs."""
    order = (
        "" if verdict.proof else "; that the earlier one came first is the word of who kept this, and of its witnesses"
    )
    found: dict[str, object] = {
        "conflict": verdict.kind,
        "proof": verdict.proof,
        "says": SAYS[verdict.kind] + order,
        "log": verdict.earlier.origin,
    }
    sides = (("earlier", verdict.earlier, verdict.earlier_cosigned), ("later", verdict.later, verdict.later_cosigned))
    for name, checkpoint, cosigned in sides:
        found[name] = {"size": checkpoint.size, "root": checkpoint.root.hex(), "cosigned": dict(cosigned)}
    if verdict.index is not None:
        found["index"] = verdict.index
    return found


def _index(taken: Taken, earlier: Checkpoint, policy: Policy) -> int:
    """The place that was taken. Raises VerificationFailed: conflict_place, when the earlier tree did not have it yet."""
    placed = growth.placed(policy, taken.receipt, digest=statement.entry(taken.statement))
    if placed.origin != earlier.origin or placed.index >= earlier.size:
        raise VerificationFailed("conflict_place", "the earlier tree had no such entry yet")
    if placed.root == earlier.root:
        raise VerificationFailed(
            "conflict_none", "the receipt is of the earlier tree: the place is the statement's own there"
        )
    return placed.index


def _seen(value: object) -> Seen:
    if not isinstance(value, dict) or value.keys() != {"note", "at_ms"}:
        raise Malformed("conflict_shape", "a checkpoint comes with the time when it was seen")
    note, at_ms = value["note"], value["at_ms"]
    if not isinstance(note, str) or len(note) > NOTE_SIZE_MAX:
        raise Malformed("conflict_shape", "a note is a text")
    if type(at_ms) is not int or not 0 <= at_ms <= TIME_MAX_MS:
        raise Malformed("conflict_shape", "a time is in Unix milliseconds")
    return Seen(note=note, at_ms=at_ms)


def _path(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > merkle.PATH_MAX + 1:
        raise Malformed("conflict_shape", f"a path has at most {merkle.PATH_MAX + 1} hashes")
    if not all(isinstance(item, str) and _HASH.fullmatch(item) for item in value):
        raise Malformed("conflict_shape", "a hash is 64 lower-case hexadecimal digits")
    return tuple(bytes.fromhex(item) for item in value)


def _taken(value: object) -> Taken:
    if not isinstance(value, dict) or value.keys() != {"statement", "receipt"}:
        raise Malformed("conflict_shape", "a place that was taken is shown by a statement and its receipt")
    raw = Taken(statement=_unb64(value["statement"]), receipt=_unb64(value["receipt"]))
    if len(raw.statement) > statement.SIZE_MAX or len(raw.receipt) > RECEIPT_SIZE_MAX:
        raise Malformed("conflict_shape", "a longer statement or receipt than there are")
    return raw


def _unb64(value: object) -> bytes:
    if not isinstance(value, str):
        raise Malformed("conflict_shape", "bytes are in base64")
    return base64text.decode(value, code="conflict_shape")
