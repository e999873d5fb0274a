"""The writing side of a log: statements judged in order, put into the tree, and the new head signed, in one transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger import registry
from ledger.contracts import Contracts, next_head
from ledger.log.store import Entry, Head, Store
from ledger.log.verifying import Verdicts, Verifying
from protocol import merkle, statement
from protocol.errors import ProtocolError, Unavailable, VigilError
from protocol.keys import PublicKey
from protocol.merkle import Node
from protocol.signatures import Claim
from protocol.statement import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a statement stands in the log. new: it was not there before."""

    index: int
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A transaction on disk. verdicts: for each of its statements; paths: of the tree of `head`, whose checkpoint is `note`."""

    verdicts: tuple[Placed | VigilError, ...]
    head: Head
    note: str
    paths: merkle.Paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Statements that are to be written together. claims: of their signatures; promised: what becomes of those."""

    statements: tuple[Statement, ...]
    claims: tuple[Claim | None, ...]
    promised: Verdicts


class Writer:
    """Who alone writes a log's database; for one thread at a time. note: signs a head as a checkpoint."""

    def __init__(
        self,
        *,
        store: Store,
        contracts: Contracts,
        verifying: Verifying,
        now_ms: Callable[[], int],
        note: Callable[[Head], str],
    ) -> None:
        self._store, self._contracts, self._verifying = store, contracts, verifying
        self._now_ms, self._note = now_ms, note

    def prepare(self, batch: Sequence[Statement]) -> Prepared:
        """Have the signatures verified, elsewhere if that helps, of what is to be written next."""
        known: dict[bytes, PublicKey | None] = {}
        claims = tuple(self._claim(found, known) for found in batch)
        return Prepared(statements=tuple(batch), claims=claims, promised=self._verifying.verdicts(claims))

    def write(self, batch: Prepared, *, judged: Callable[[], None] = lambda: None) -> Written:
        """Put statements into the log, each once, or say of each why not. judged: called before the wait for the disk, and
        may prepare what comes next.

        Raises Unavailable: storage_failed.
        """
        try:
            draft = _Draft(self._store)
            with self._store.writing():
                before = draft.head
                verdicts = tuple(
                    self._one(_checked(found, claim, batch.promised), draft)
                    for found, claim in zip(batch.statements, batch.claims, strict=True)
                )
                judged()
                paths = merkle.Paths(draft.node, draft.head.size)
                note = self._store.note()
                if draft.head.size > before.size:
                    draft.write(paths.root)
                    note = self._note(draft.head)
                    self._store.publish(draft.head, note)
        except sqlite3.Error as error:
            raise Unavailable("storage_failed", f"the statement could not be stored: {error}") from error
        finally:
            batch.promised.finish()
        return Written(verdicts=verdicts, head=draft.head, note=note, paths=paths)

    def _claim(self, found: Statement, known: dict[bytes, PublicKey | None]) -> Claim | None:
        """What the signature claims, under the key that it names; None when no such key may sign, or none can be read now:
        then the judge says why."""
        if found.kid not in known:
            try:
                known[found.kid] = registry.issuer(self._store.state, found.kid, self._now_ms()).key
            except (ProtocolError, sqlite3.Error):
                known[found.kid] = None
        key = known[found.kid]
        return None if key is None else statement.claim(found, key)

    def _one(self, found: Statement, draft: "_Draft") -> Placed | VigilError:
        place = draft.place_of(found.entry)
        if place is not None:
            return Placed(index=place, new=False)
        at_ms = max(self._now_ms(), draft.head.at_ms)
        try:
            contract, changes = self._contracts.judge(self._store.state, found, at_ms, index=draft.head.size)
        except ProtocolError as error:
            return error
        chain = next_head(draft.head.chain, entry=found.entry, contract=contract, at_ms=at_ms, changes=changes)
        place = draft.head.size
        entry = Entry(place=place, digest=found.entry, statement=found.raw, contract=contract, at_ms=at_ms)
        self._store.state.changed.update(changes.puts)
        draft.add(entry, chain)
        return Placed(index=place, new=True)


class _Draft:
    """A log with entries that are not yet on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.head = store.head()
        self._entries: list[Entry] = []
        self._places: dict[bytes, int] = {}
        self._nodes: dict[Node, bytes] = {}
        self._read: dict[Node, bytes] = {}

    def place_of(self, digest: bytes) -> int | None:
        """The index of the entry with this digest, in the draft too."""
        place = self._places.get(digest)
        return self._store.place_of(digest) if place is None else place

    def node(self, level: int, place: int) -> bytes:
        """The hash of a complete subtree."""
        found = self._nodes.get((level, place)) or self._read.get((level, place))
        if found is None:
            found = self._read[level, place] = self._store.node(level, place)
        return found

    def add(self, entry: Entry, chain: bytes) -> None:
        """One more entry. chain: the head of the state after it."""
        self._entries.append(entry)
        self._places[entry.digest] = entry.place
        self._nodes.update(merkle.completed(entry.place, merkle.leaf_hash(entry.digest), self.node))
        self.head = Head(size=entry.place + 1, root=self.head.root, chain=chain, at_ms=entry.at_ms)

    def write(self, root: bytes) -> None:
        """Write what was added; inside `writing`."""
        self._store.add(self._entries, self._nodes)
        self.head = Head(size=self.head.size, root=root, chain=self.head.chain, at_ms=self.head.at_ms)


def _checked(found: Statement, claim: Claim | None, promised: Verdicts) -> Statement:
    """The statement, with what another process saw of its signature."""
    if claim is not None and promised.next():
        return statement.proved(found, claim)
    return found
