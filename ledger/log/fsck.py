"""Check a ledger against itself: rebuild tree, state, head and checkpoint from the stored statements, and compare.

Nothing stored is believed but the statements, and those only as far as their signatures go; the log's keys are
genesis's, and those that it declared.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from ledger import registry, retention
from ledger.contracts import STANDARD, Contracts
from ledger.log import epochs, pruning, snapshots
from ledger.log.keeping import CLOSED
from ledger.log.replay import Replay
from ledger.log.store import Entry, Head, Store
from ledger.registry import LogKey
from protocol import documents, merkle, notes, statement
from protocol.documents import Genesis
from protocol.errors import BadSignature, Malformed, Unavailable, VerificationFailed
from protocol.keys import PublicKey
from protocol.notes import Checkpoint, NoteKey
from protocol.p256 import P256PublicKey
from protocol.retention import Redaction, Snapshot

PROGRESS_EVERY = 1000  # entries between two reports of progress

LogPublicKey = PublicKey | P256PublicKey
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A ledger that is whole. root, chain: 32 bytes, the tree's root and the head of the state.

    minimum: the index below which statements may have gone; redacted: indexes above it of those that have; keys: that sign for
    the log, by thumbprint; state: 32 bytes, the digest of the state.
    """

    origin: str
    size: int
    root: bytes
    chain: bytes
    minimum: int = 0
    redacted: tuple[int, ...] = ()
    epoch: int = epochs.FIRST
    keys: Mapping[bytes, LogPublicKey] = field(default_factory=dict)
    state: bytes = b""

    @property
    def note_keys(self) -> list[NoteKey]:
        """The keys that sign the log's checkpoints."""
        signing = [key for key in self.keys.values() if isinstance(key, PublicKey)]
        return [NoteKey(name=self.origin, kind=notes.SIGNATURE, key=key) for key in signing]


def check(folder: Path, progress: Progress = lambda done, size: None, *, contracts: Contracts = STANDARD) -> Found:
    """Read the ledger in `folder`, which may be at work, as of one moment. progress: called with entries done and all.

    Raises VerificationFailed: file_damaged, entry_*, node_*, state_wrong, head_wrong, checkpoint_*, genesis_missing,
    snapshot_*, minimum_wrong, cosigned_*, epoch_*;
    Unavailable: state_unreadable.
    """
    found: Found | None = None
    orders, named = _orders(folder)
    for epoch in range(epochs.FIRST, epochs.newest(folder) + 1):
        with contextlib.closing(Store.reader(folder, epochs.file_of(epoch))) as store, _damage_named(), store.reading():
            damage = store.damage()
            if damage:
                raise VerificationFailed("file_damaged", f"SQLite finds in {epochs.file_of(epoch)}: {damage}")
            found = _check_epoch(store, epoch, found, contracts, progress, orders.get(epoch, {}), named)
            ended = store.keeping.mark(CLOSED)
    if found is None or ended:
        raise VerificationFailed("epoch_missing", f"the log went on in {epochs.file_of(epoch + 1)}, which is not there")
    return found


def _orders(folder: Path) -> tuple[dict[int, dict[int, Redaction]], set[bytes]]:
    """The redactions of each epoch's entries, in whichever epoch they were ordered, and the names of the snapshots in them and
    in those that they took the place of; each state is checked with its own epoch."""
    found: dict[int, dict[int, Redaction]] = {}
    named: set[bytes] = set()
    for said in range(epochs.FIRST, epochs.newest(folder) + 1):
        with contextlib.closing(Store.reader(folder, epochs.file_of(said))) as store, _damage_named():
            items = [*store.keeping.state(retention.REDACTED), *store.keeping.state(retention.REPLACED)]
        for epoch in range(epochs.FIRST, said + 1):
            try:
                found.setdefault(epoch, {}).update(retention.redactions(items, epoch))
                named |= retention.named(items)
            except Malformed as error:
                raise VerificationFailed("state_wrong", f"the state of epoch {said} cannot be read: {error}") from error
    return found, named


def _check_epoch(
    store: Store,
    epoch: int,
    before: Found | None,
    contracts: Contracts,
    progress: Progress,
    orders: Mapping[int, Redaction],
    named: Set[bytes],
) -> Found:
    found = _check_log(store, contracts, progress, orders, named)
    genesis = registry.genesis_of(store.state)
    first = before is None
    if genesis.epoch != epoch or (genesis.prior is None, genesis.state is None) != (first, first):
        raise VerificationFailed("epoch_wrong", f"{epochs.file_of(epoch)} is not epoch {epoch} of this log")
    if before is None or genesis.prior is None:
        return found
    try:
        note = notes.parse(genesis.prior)
        said = Checkpoint.from_text(note.text)
        signed = notes.verify(note, before.note_keys)
        begun = Snapshot.verified(dict(store.keeping.snapshots())[0], before.keys)
    except (KeyError, Malformed, BadSignature) as error:
        raise VerificationFailed(
            "epoch_wrong", f"what epoch {epoch} says of the one before does not hold: {error}"
        ) from error
    last = (before.origin, before.size, before.root)
    if not signed or (said.origin, said.size, said.root) != last:
        raise VerificationFailed("epoch_wrong", f"epoch {epoch} does not begin where the one before ended")
    ended = (*last, epoch - 1, before.chain, before.state)
    if (begun.origin, begun.size, begun.root, begun.epoch, begun.chain, begun.state) != ended:
        raise VerificationFailed(
            "epoch_wrong", f"epoch {epoch} begins with another state than the one before ended with"
        )
    return found


def _check_log(
    store: Store, contracts: Contracts, progress: Progress, orders: Mapping[int, Redaction], named: Set[bytes]
) -> Found:
    size = store.counts()["entry"]
    replay = Replay(store, contracts, _keys(store))
    tree = _Edge(store, replay.minimum, contracts)
    for entry in store.every_entry():
        root = replay.add(entry)
        tree.append(entry)
        if root is not None and root != tree.root(replay.head.size):
            raise VerificationFailed("snapshot_bad", f"the snapshot at {replay.head.size} is of another tree")
        if replay.head.size % PROGRESS_EVERY == 0:
            progress(replay.head.size, size)
    if not replay.head.size:
        raise VerificationFailed("genesis_missing", "the ledger has no entries")
    if not replay.judging:
        raise VerificationFailed("snapshot_bad", "a snapshot is of a larger log than this")
    if store.counts()["node"] != tree.written:
        raise VerificationFailed("node_extra", "the database has nodes that belong to no entry")
    if dict(store.keeping.state()) != replay.state:
        raise VerificationFailed("state_wrong", "the stored state is not what the statements lead to")
    head = Head(size=size, root=tree.root(size), chain=replay.head.chain, at_ms=replay.head.at_ms)
    if store.head() != head or store.counts()["head"] != 1:
        raise VerificationFailed("head_wrong", "the stored head is not what the statements lead to")
    _check_kept(store, replay, orders, named)
    genesis = registry.genesis_of(replay.state)
    _check_note(store.note(), head, genesis.origin, registry.log_keys(replay.state))
    if store.counts()["checkpoint"] != 1:
        raise VerificationFailed("checkpoint_bad", "there is more than one checkpoint")
    _check_cosigned(store, head, genesis.origin, registry.log_keys(replay.state))
    progress(size, size)
    return Found(
        origin=genesis.origin,
        size=size,
        root=head.root,
        chain=head.chain,
        minimum=replay.minimum,
        redacted=tuple(replay.redacted),
        epoch=genesis.epoch,
        keys=_keys(store),
        state=snapshots.digest_of(sorted(replay.state.items())),
    )


def _keys(store: Store) -> dict[bytes, LogPublicKey]:
    """The keys that sign for the log, by thumbprint: of its genesis, and each declared by one that is known.

    Read from the statements alone, before anything else is believed; none when those cannot be read.
    """
    found: dict[bytes, LogPublicKey] = {}
    for entry in store.by_contract(registry.CONTRACT.name):
        try:
            said = statement.parse(entry.statement)
            if said.content_type == documents.GENESIS and not found:
                key: LogPublicKey = PublicKey(Genesis.decode(said.payload).log_key)
            elif said.content_type == documents.LOG_KEY and said.kid in found:
                statement.verify(said, found[said.kid], thumbprint=said.kid)
                key = documents.LogKey.decode(said.payload).key
            else:
                continue
        except (Malformed, BadSignature):
            continue  # whoever judges the entry anew says what is wrong with it
        found[key.thumbprint] = key
    return found


def _check_kept(store: Store, replay: Replay, redactions: Mapping[int, Redaction], named: Set[bytes]) -> None:
    """What has gone has gone by order, and each snapshot that was gone on from is named by whoever ordered it."""
    retentions = retention.retentions(replay.state.items())
    for place in replay.redacted:
        if place not in redactions:
            raise VerificationFailed(
                "entry_missing", f"the statement of entry {place} is not there, and nobody redacted it"
            )
    if replay.minimum and replay.minimum not in retentions:
        raise VerificationFailed("minimum_wrong", "the minimum index in force is none that the log named")
    named = named | {order.snapshot for order in retentions.values()}
    for size, name in replay.relied.items():
        if name not in named:
            raise VerificationFailed("snapshot_unnamed", f"no statement names the snapshot at {size}")
    for size, _ in store.keeping.snapshots():
        if size and size not in replay.relied:
            snapshots.load(store, size, _keys(store))


class _Edge:
    """The right edge of a growing tree, which compares what it computes with what is stored: memory of logarithmic size."""

    def __init__(self, store: Store, minimum: int, contracts: Contracts) -> None:
        self._store, self._minimum = store, minimum
        self._needed = pruning.needed_below(minimum, store.keeping.places(contracts.lasting, minimum))
        self._newest: dict[int, tuple[int, bytes]] = {}
        self.written = 0

    def append(self, entry: Entry) -> None:
        """Add an entry. Raises VerificationFailed: node_wrong."""
        for (level, place), value in merkle.completed(entry.place, merkle.leaf_hash(entry.digest), self._node):
            self._newest[level] = (place, value)
            stored = self._store.row_of_nodes(level, place, 1)
            self.written += len(stored)
            needed = pruning.is_needed((level, place), self._minimum, self._needed)
            if stored != [value] and (stored or needed):
                raise VerificationFailed("node_wrong", f"node {place} at level {level} is not what its entries lead to")

    def root(self, size: int) -> bytes:
        """The root of all."""
        return merkle.range_root(self._node, 0, size)

    def _node(self, level: int, place: int) -> bytes:
        found, value = self._newest[level]
        if found != place:
            raise AssertionError("only the newest node of a level is asked for")
        return value


def _check_cosigned(store: Store, head: Head, origin: str, keys: Sequence[LogKey]) -> None:
    """What is shown with cosignatures is of a tree that this log had, under a key that it had; who cosigned is not asked."""
    whole = store.keeping.cosigned()
    if not whole:
        return
    known = [
        NoteKey(name=origin, kind=notes.SIGNATURE, key=each.key) for each in keys if isinstance(each.key, PublicKey)
    ]
    try:
        note = notes.parse(whole)
        said = Checkpoint.from_text(note.text)
        signed = notes.verify(note, known)
    except (Malformed, BadSignature) as error:
        raise VerificationFailed("cosigned_bad", f"the cosigned checkpoint does not hold: {error}") from error
    if not signed or said.origin != origin or not 0 < said.size <= head.size:
        raise VerificationFailed("cosigned_bad", "the cosigned checkpoint is not one of this log")
    try:
        root = merkle.range_root(store.node, 0, said.size)
    except Unavailable:
        return  # below the minimum index: those nodes may be gone, and `node_wrong` has told of any other
    if root != said.root:
        raise VerificationFailed("cosigned_wrong", "the cosigned checkpoint is of another tree")


def _check_note(whole: str, head: Head, origin: str, keys: Sequence[LogKey]) -> None:
    """Every Ed25519 key that signs at the time of the newest entry has signed, and nobody else."""
    signing = [each.key for each in keys if each.signs(head.at_ms) and isinstance(each.key, PublicKey)]
    wanted = [NoteKey(name=origin, kind=notes.SIGNATURE, key=key) for key in signing]
    try:
        note = notes.parse(whole)
        said = Checkpoint.from_text(note.text)
        signed = notes.verify(note, wanted)
    except (Malformed, BadSignature) as error:
        raise VerificationFailed("checkpoint_bad", f"the stored checkpoint does not hold: {error}") from error
    if len(signed) != len(wanted) or len(note.lines) != len(wanted):
        raise VerificationFailed("checkpoint_bad", "the stored checkpoint is not signed by the log's keys, or by more")
    if said != Checkpoint(origin=origin, size=head.size, root=head.root):
        raise VerificationFailed("checkpoint_wrong", "the stored checkpoint is of another tree")


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the second: SQLite's own words quote damaged names
        raise VerificationFailed("file_damaged", f"SQLite finds: {error}") from error
