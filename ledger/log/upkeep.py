"""What the registry root orders and the log carries out while nobody else is at work: redactions and minimum indexes.

Each is a snapshot, then a statement that names it, then the deed. The statement is the point of no return: an order without
its deed is carried out at the next start.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger import retention as rules
from ledger.contracts import Contracts
from ledger.log import pruning, redaction, snapshots
from ledger.log.keeping import MINIMUM
from ledger.log.store import Head, Store
from protocol import cose, notes, retention, statement
from protocol.errors import ConfigError, Unavailable
from protocol.keys import SigningKey
from protocol.notes import Checkpoint
from protocol.retention import Redaction, Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log that nobody else writes now. folder: where its epochs are; keys: its own, by thumbprint, `key` the newest."""

    folder: Path
    origin: str
    epoch: int
    store: Store
    key: SigningKey
    keys: Mapping[bytes, cose.Verifier]
    contracts: Contracts

    def take_newest(self) -> bytes:
        """Keep a signed snapshot of the state as it is. Its name. Raises sqlite3.Error."""
        return self.take_snapshot(self.store.head(), dict(self.store.keeping.state()))

    def take_snapshot(self, head: Head, state: Mapping[bytes, bytes]) -> bytes:
        """Keep a signed snapshot of `state` at `head`. Its name. Raises sqlite3.Error."""
        signed = snapshots.sign(self.key, origin=self.origin, epoch=self.epoch, head=head, state=state)
        with self.store.writing():
            self.store.keeping.put_snapshot(head.size, signed, sorted(state.items()))
        # Stop here: a snapshot that no statement names; the next start throws it away.
        return snapshots.name_of(signed)


def finish(log: Log) -> int:
    """Carry out what statements order and nobody has carried out yet. The minimum index in force.

    Raises Unavailable: storage_failed, database_busy; VerificationFailed: snapshot_bad.
    """
    try:
        orders = rules.redactions(log.store.keeping.state(rules.REDACTED), log.epoch)
        said = (*log.store.keeping.state(rules.REDACTED), *log.store.keeping.state(rules.REPLACED))
        _drop_unnamed(log.store, rules.named(said))
        redaction.carry_out(log.store, log.contracts, log.keys, orders)
        pruning.carry_out(log.store, log.contracts, log.keys)
        return log.store.keeping.mark(MINIMUM)
    except sqlite3.Error as error:
        raise Unavailable("storage_failed", f"what statements order could not be carried out: {error}") from error


def order_redaction(root: SigningKey, *, epoch: int, index: int, reason: str, snapshot: bytes) -> bytes:
    """The statement by which the body at `index` of an epoch goes. snapshot: the name of one that is kept, of the state after it.

    Raises ConfigError: reason_unknown.
    """
    if reason not in retention.REASONS:
        raise ConfigError("reason_unknown", f"the reason is one of {', '.join(sorted(retention.REASONS))}")
    return statement.sign(
        root,
        iss=root.public.urn,
        sub=retention.redaction_subject(root.public.thumbprint),
        payload=Redaction(epoch=epoch, index=index, reason=reason, snapshot=snapshot).encode(),
        content_type=retention.REDACTION,
    )


def order_minimum(log: Log, root: SigningKey, *, minimum: int, keep_days: int | None) -> bytes:
    """The statement by which what is below `minimum` goes, its snapshot kept.

    Raises ConfigError: minimum_bad, minimum_unknown, minimum_not_cosigned; VerificationFailed, as a check of the ledger does;
    Unavailable: storage_failed.
    """
    size, before = log.store.head().size, log.store.keeping.mark(MINIMUM)
    if not before < minimum <= size:
        raise ConfigError("minimum_bad", f"the minimum index is {before} and only rises, to {size} at most")
    cosigned = log.store.keeping.cosigned()
    if cosigned and Checkpoint.from_text(notes.parse(cosigned).text).size < minimum:
        raise ConfigError(
            "minimum_not_cosigned",
            "witnesses have not signed so far: what they would need for it must not go. Run the ledger until they have",
        )
    try:
        found = pruning.standing(log.store, minimum, log.contracts, log.keys)
        held = dict(log.store.keeping.snapshots()).get(minimum)
        name = log.take_snapshot(found.head, found.state) if held is None else snapshots.name_of(held)
    except sqlite3.Error as error:
        raise Unavailable("storage_failed", f"the snapshot could not be stored: {error}") from error
    return statement.sign(
        root,
        iss=root.public.urn,
        sub=retention.retention_subject(root.public.thumbprint),
        payload=Retention(minimum=minimum, keep_days=keep_days, snapshot=name).encode(),
        content_type=retention.RETENTION,
    )


def _drop_unnamed(store: Store, named: set[bytes]) -> None:
    """Throw away snapshots that no statement names: whoever took them stopped before it was registered."""
    named = named | {order.snapshot for order in rules.retentions(store.keeping.state(rules.RETAINED)).values()}
    going = [size for size, signed in store.keeping.snapshots() if size and snapshots.name_of(signed) not in named]
    if going:
        with store.writing():
            for size in going:
                store.keeping.drop_snapshot(size)
