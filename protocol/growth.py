"""What makes a statement count as logged: a receipt that holds, and a checkpoint over all that the log held before.

Whoever waits for a ledger checks the same, whichever way they talk to it: `placed` for each receipt, then
`span` and `verify` for the tree of the receipt and for the newest tree that was seen before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from protocol import merkle, receipt
from protocol.errors import Unavailable, VerificationFailed
from protocol.notes import Checkpoint
from protocol.policy import Policy

_ENTRY = re.compile(r"(?P<epoch>[1-9][0-9]{0,9})\.(?P<index>0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A statement that a log has, by its receipt. digest: SHA-256 of the statement; origin: of the log; epoch, index: what
    entry_id says; size, root: of the tree that the receipt leads to. The log signed `root` and `entry_id`, the size is what
    leads there."""

    digest: bytes
    entry_id: str
    origin: str
    epoch: int
    index: int
    size: int
    root: bytes
    receipt: bytes


def placed(policy: Policy, raw: bytes, *, digest: bytes, entry_id: str | None = None) -> Placed:
    """The receipt `raw`, once it is seen that a log of the policy signed it over this statement, under the name that the ledger
    gave, where it gave one.

    Raises Malformed; BadSignature; VerificationFailed: log_unknown, entry_other, inclusion_bad.
    """
    said = receipt.read(raw)
    log = policy.receipts_by(said.kid)
    if log is None or said.iss != log[0]:
        raise VerificationFailed("log_unknown", "the receipt is by a log that the trust file does not name")
    origin, key = log
    epoch, index = place_of(said.sub)
    if index != said.index or entry_id not in (None, said.sub):
        raise VerificationFailed("entry_other", "the ledger named another entry than its receipt")
    root = receipt.verify(said, entry=digest, key=key)
    return Placed(
        digest=digest,
        entry_id=said.sub,
        origin=origin,
        epoch=epoch,
        index=said.index,
        size=said.size,
        root=root,
        receipt=raw,
    )


def place_of(entry_id: str) -> tuple[int, int]:
    """(epoch, index) of an entry by its name. Raises VerificationFailed: entry_other, for what is no name of an entry."""
    found = _ENTRY.fullmatch(entry_id)
    if found is None:
        raise VerificationFailed("entry_other", "an entry is named by its epoch and its index")
    return int(found["epoch"]), int(found["index"])


def span(size: int, later: Checkpoint) -> tuple[int, int] | None:
    """The sizes between which `verify` needs a path, None when it needs none.

    Raises Unavailable: checkpoint_old, for a later checkpoint of a smaller tree. Anybody on the way may have kept that back, so
    it proves nothing and is waited over.
    """
    if later.size < size:
        raise Unavailable("checkpoint_old", "the ledger's checkpoint is older than what it has shown before")
    return (size, later.size) if 0 < size < later.size else None


def verify(size: int, root: bytes, later: Checkpoint, path: Sequence[bytes]) -> None:
    """Raises VerificationFailed: consistency_bad, unless the tree (size, root) is how the later checkpoint's began."""
    merkle.verify_consistency(size1=size, size2=later.size, root1=root, root2=later.root, path=path)
