"""Check a ledger against itself: rebuild tree, state, head and checkpoint from the stored statements, and compare.

Nothing stored is believed but the statements, and those only as far as their signatures go; the log's key is genesis's.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ledger import registry
from ledger.contracts import STANDARD, Contracts
from ledger.log import replay
from ledger.log.store import EMPTY, Entry, Head, Store
from protocol import merkle, notes
from protocol.documents import Genesis
from protocol.errors import BadSignature, Malformed, VerificationFailed
from protocol.keys import PublicKey
from protocol.notes import Checkpoint, NoteKey

PROGRESS_EVERY = 1000  # entries between two reports of progress

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A ledger that is whole. root, chain: 32 bytes, the tree's root and the head of the state."""

    origin: str
    size: int
    root: bytes
    chain: bytes


def check(folder: Path, progress: Progress = lambda done, size: None, *, contracts: Contracts = STANDARD) -> Found:
    """Read the ledger in `folder`, which may be at work, as of one moment. progress: called with entries done and all.

    Raises VerificationFailed: file_damaged, entry_*, node_*, state_wrong, head_wrong, checkpoint_*, genesis_missing;
    Unavailable: state_unreadable.
    """
    with contextlib.closing(Store.reader(folder)) as store, _damage_named(), store.reading():
        damage = store.damage()
        if damage:
            raise VerificationFailed("file_damaged", f"SQLite finds: {damage}")
        size = store.counts()["entry"]
        state: dict[bytes, bytes] = {}
        tree = _Edge(store)
        head = EMPTY
        for entry in store.every_entry():
            head = replay.step(entry, head, state, contracts)
            tree.append(entry)
            if head.size % PROGRESS_EVERY == 0:
                progress(head.size, size)
        if not head.size:
            raise VerificationFailed("genesis_missing", "the ledger has no entries")
        if store.counts()["node"] != tree.written:
            raise VerificationFailed("node_extra", "the database has nodes that belong to no entry")
        if dict(store.state.items()) != state:
            raise VerificationFailed("state_wrong", "the stored state is not what the statements lead to")
        head = Head(size=head.size, root=tree.root(head.size), chain=head.chain, at_ms=head.at_ms)
        if store.head() != head or store.counts()["head"] != 1:
            raise VerificationFailed("head_wrong", "the stored head is not what the statements lead to")
        genesis = registry.genesis_of(state)
        _check_note(store.note(), head, genesis)
        if store.counts()["checkpoint"] != 1:
            raise VerificationFailed("checkpoint_bad", "there is more than one checkpoint")
        progress(head.size, size)
        return Found(origin=genesis.origin, size=head.size, root=head.root, chain=head.chain)


class _Edge:
    """The right edge of a growing tree, which compares what it computes with what is stored: memory of logarithmic size."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest: dict[int, tuple[int, bytes]] = {}
        self.written = 0

    def append(self, entry: Entry) -> None:
        """Add an entry. Raises VerificationFailed: node_wrong."""
        for (level, place), value in merkle.completed(entry.place, merkle.leaf_hash(entry.digest), self._node):
            self._newest[level] = (place, value)
            self.written += 1
            if self._store.row_of_nodes(level, place, 1) != [value]:
                raise VerificationFailed("node_wrong", f"node {place} at level {level} is not what its entries lead to")

    def root(self, size: int) -> bytes:
        """The root of all."""
        return merkle.range_root(self._node, 0, size)

    def _node(self, level: int, place: int) -> bytes:
        found, value = self._newest[level]
        if found != place:
            raise AssertionError("only the newest node of a level is asked for")
        return value


def _check_note(whole: str, head: Head, genesis: Genesis) -> None:
    key = NoteKey(name=genesis.origin, kind=notes.SIGNATURE, key=PublicKey(genesis.log_key))
    try:
        note = notes.parse(whole)
        said = Checkpoint.from_text(note.text)
        signed = notes.verify(note, [key])
    except (Malformed, BadSignature) as error:
        raise VerificationFailed("checkpoint_bad", f"the stored checkpoint does not hold: {error}") from error
    if not signed or len(note.lines) != 1:
        raise VerificationFailed("checkpoint_bad", "the stored checkpoint is not signed by the log, or by more")
    if said != Checkpoint(origin=genesis.origin, size=head.size, root=head.root):
        raise VerificationFailed("checkpoint_wrong", "the stored checkpoint is of another tree")


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the second: SQLite's own words quote damaged names
        raise VerificationFailed("file_damaged", f"SQLite finds: {error}") from error
