"""The ledger itself: registers statements in one Merkle tree, keeps what contracts say of them, and proves all of it."""

import contextlib
import os
import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import contracts as rules
from ledger import registry
from ledger.contracts import STANDARD, Contracts
from ledger.log import keyring
from ledger.log.shelf import Published, Shelf
from ledger.log.store import FILE, Entry, Head, Store
from protocol import cbor, documents, merkle, notes, statement, tiles
from protocol.documents import Genesis
from protocol.errors import ConfigError, Malformed, NotFound, ProtocolError, Unavailable, VigilError
from protocol.keys import PublicKey, SigningKey

DEFAULT_ORIGIN = "ledger.vigil.example/1"
EPOCH = 1
BATCH_MAX = 256  # statements in one transaction: one wait for the disk serves all who wait

_ORIGIN = re.compile(r"[!-*,-~]{1,128}")  # visible ASCII without "+", which separates the parts of a verifier key


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A statement in the log. entry_id: "epoch.index"; size: of the tree that `receipt` proves it in; new: not there before."""

    entry_id: str
    index: int
    size: int
    receipt: bytes
    new: bool


@dataclass(slots=True, eq=False)
class _Ticket:
    """A statement on its way into the log."""

    found: statement.Statement
    index: int = -1
    new: bool = False
    error: VigilError | None = None
    done: bool = False


class Engine:
    """One log with its keys and its state, in one folder, for any number of threads of one process."""

    def __init__(
        self,
        *,
        key: SigningKey,
        store: Store,
        reader: Store,
        now_ms: Callable[[], int],
        contracts: Contracts = STANDARD,
    ) -> None:
        self._key, self._now_ms, self.contracts = key, now_ms, contracts
        self._store, self._writing, self._queue = store, threading.Lock(), deque[_Ticket]()
        self._shelf = Shelf(key=key, reader=reader)
        self._held = contextlib.ExitStack()
        self._genesis: Genesis | None = None
        self.healthy = True
        """Whether the newest transaction could be written."""

    @classmethod
    def open(
        cls, state: Path, *, now_ms: Callable[[], int], origin: str | None = None, contracts: Contracts = STANDARD
    ) -> Self:
        """The log in the folder `state`; the first run makes its keys and genesis (entry 0).

        origin: the log's name, for the first run; later it has to be the same or None. contracts: what it registers.
        Raises ConfigError: origin_bad, origin_changed, log_key_changed, database_lost, state_in_use; NotFound: key_missing;
        Unavailable: state_unreadable, state_damaged, key_unreadable.
        """
        if origin is not None and not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                "origin_bad", "the origin is a name like log.example.org/1, without spaces and plus signs"
            )
        with contextlib.ExitStack() as held:
            held.callback(os.close, keyring.lock(state))
            _refuse_lost_database(state)
            store = held.enter_context(contextlib.closing(Store.open(state)))
            begun = store.head().size > 0
            key = (keyring.load if begun else keyring.load_or_make)(state, keyring.LOG_KEY)
            reader = held.enter_context(contextlib.closing(Store.reader(state)))
            engine = cls(key=key, store=store, reader=reader, now_ms=now_ms, contracts=contracts)
            if not begun:
                engine._begin(origin or DEFAULT_ORIGIN, keyring.load_or_make(state, keyring.REGISTRY_KEY))
            engine._resume(origin)
            engine._held = held.pop_all()
        return engine

    @property
    def origin(self) -> str:
        """The log's name, the first line of its checkpoints."""
        return self._known().origin

    @property
    def epoch(self) -> int:
        """The first part of entry ids."""
        return self._known().epoch

    @property
    def size(self) -> int:
        """Entries under the newest checkpoint."""
        return self._shelf.published.size

    def register(self, raw: bytes) -> Registered:
        """Put the statement in `raw` into the log, once; not answered before it is on disk. Blocks: call it in a thread.

        Raises Malformed, BadSignature, rules.Refused (all ProtocolError, with stable codes); Unavailable: storage_failed.
        """
        ticket = _Ticket(statement.parse(rules.bare(raw)))
        self._queue.append(ticket)
        while not ticket.done:
            with self._writing:
                if not ticket.done:
                    self._commit()
        if ticket.error is not None:
            raise ticket.error
        seen = self._shelf.published
        proof = self._shelf.receipt(ticket.index, seen)
        name = self.entry_id(ticket.index)
        return Registered(entry_id=name, index=ticket.index, size=seen.size, receipt=proof, new=ticket.new)

    def entry_id(self, index: int) -> str:
        """The name of an entry."""
        return self._shelf.entry_id(index)

    def statement(self, index: int) -> bytes:
        """The statement at `index`. Raises NotFound: entry_unknown; Unavailable: entry_missing."""
        return self._shelf.statement(index)

    def receipt(self, index: int) -> bytes:
        """A receipt for the newest checkpoint. Raises NotFound: entry_unknown; Unavailable: receipt_too_early."""
        return self._shelf.receipt(index)

    def consistency(self, size1: int) -> bytes:
        """A receipt that the newest tree is that of `size1` grown. Raises NotFound: size_unknown."""
        return self._shelf.consistency(size1)

    def find(self, entry_id: str) -> int:
        """The index of an entry id. Raises NotFound: entry_unknown."""
        return self._shelf.find(entry_id)

    def checkpoint(self) -> str:
        """The newest checkpoint, a signed note."""
        return self._shelf.published.note

    def tile(self, tile: tiles.Tile) -> bytes:
        """The hashes of a tile (level not None). Raises NotFound: tile_unknown; Unavailable: node_missing."""
        return self._shelf.tile(tile)

    def entries(self, tile: tiles.Tile) -> bytes:
        """A bundle of 32-byte entries (level None). Raises NotFound: tile_unknown; Unavailable: node_missing."""
        return self._shelf.entries(tile)

    def keys(self) -> bytes:
        """The COSE_KeySet of the log in CBOR."""
        return cbor.encode([self._key.public.cose_key()])

    def key(self, kid: bytes) -> bytes:
        """One COSE_Key in CBOR by its 32-byte thumbprint. Raises NotFound: key_unknown."""
        if kid != self._key.public.thumbprint:
            raise NotFound("key_unknown", "this log has no such key")
        return cbor.encode(self._key.public.cose_key())

    def trust(self) -> dict[str, object]:
        """The trust file's object: v, policy (C2SP tlog-policy), registry_root (hex)."""
        return trust_of(self._known())

    def close(self) -> None:
        """Let go of files and lock, after whoever is writing."""
        with self._writing:
            self._shelf.close()
            self._held.close()

    def _begin(self, origin: str, root: SigningKey) -> None:
        document = Genesis(origin=origin, epoch=EPOCH, log_key=self._key.public.x, registry_root=root.public.x)
        raw = statement.sign(
            self._key,
            iss=self._key.public.urn,
            sub=registry.genesis_subject(origin),
            payload=document.encode(),
            content_type=documents.GENESIS,
        )
        self._genesis = document
        ticket = _Ticket(statement.parse(raw))
        self._queue.append(ticket)
        self._commit()
        if ticket.error is not None:
            raise ticket.error

    def _resume(self, origin: str | None) -> None:
        """Take up what is on disk, when it fits the keys and itself."""
        try:
            self._genesis = registry.genesis_of(self._store.state)
            head, note = self._store.head(), self._store.note()
            root = merkle.range_root(self._store.node, 0, head.size)
        except (KeyError, Malformed, sqlite3.Error) as error:
            raise Unavailable("state_damaged", "the stored log cannot be read: run fsck") from error
        if self._genesis.log_key != self._key.public.x:
            raise ConfigError("log_key_changed", f"{keyring.LOG_KEY} is not the key that began this log")
        if origin is not None and origin != self.origin:
            raise ConfigError("origin_changed", f"this log is called {self.origin}, and that cannot change")
        if root != head.root or note != self._note(head):
            raise Unavailable("state_damaged", "the stored tree and its checkpoint do not fit: run fsck")
        self._shelf.published = self._seen(head, note)

    def _commit(self) -> None:
        """Put what waits into the log, in one transaction; whoever calls holds `_writing`."""
        batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
        failed: VigilError | None = Unavailable("storage_failed", "the statement could not be stored")
        try:
            with self._store.writing():
                before = head = self._store.head()
                for ticket in batch:
                    head = self._judge(ticket, head)
                if head.size > before.size:
                    root = merkle.range_root(self._store.node, 0, head.size)
                    head = Head(size=head.size, root=root, chain=head.chain, at_ms=head.at_ms)
                    self._store.publish(head, self._note(head))
            if head.size > self._shelf.published.size:
                self._shelf.published = self._seen(head, self._store.note())
            failed = None
        except sqlite3.Error as error:
            failed = Unavailable("storage_failed", f"the statement could not be stored: {error}")
        finally:
            self.healthy = failed is None
            for ticket in batch:
                if failed is not None and ticket.error is None:
                    ticket.error = type(failed)(failed.code, failed.detail)
                ticket.done = True

    def _judge(self, ticket: _Ticket, head: Head) -> Head:
        """The head after one statement, which is written; the same head when it is refused or there already."""
        found, place = ticket.found, self._store.place_of(ticket.found.entry)
        if place is not None:
            ticket.index = place
            return head
        at_ms = max(self._now_ms(), head.at_ms)
        try:
            contract, changes = self.contracts.judge(self._store.state, found, at_ms, index=head.size)
        except ProtocolError as error:
            ticket.error = error
            return head
        nodes = merkle.completed(head.size, merkle.leaf_hash(found.entry), self._store.node)
        entry = Entry(place=head.size, digest=found.entry, statement=found.raw, contract=contract, at_ms=at_ms)
        self._store.add(entry, nodes, changes.puts)
        ticket.index, ticket.new = head.size, True
        chain = rules.next_head(head.chain, entry=found.entry, contract=contract, at_ms=at_ms, changes=changes)
        return Head(size=head.size + 1, root=head.root, chain=chain, at_ms=at_ms)

    def _note(self, head: Head) -> str:
        text = notes.Checkpoint(origin=self.origin, size=head.size, root=head.root).text()
        return notes.Note(text=text, lines=(notes.sign(text, name=self.origin, key=self._key),)).whole()

    def _seen(self, head: Head, note: str) -> Published:
        return Published(origin=self.origin, epoch=self.epoch, size=head.size, root=head.root, note=note)

    def _known(self) -> Genesis:
        if self._genesis is None:
            raise AssertionError("an open log has a genesis")
        return self._genesis


def _refuse_lost_database(state: Path) -> None:
    """A key without its database has signed trees that nobody here knows any more: never sign another of their sizes.

    The database is made before the key, so that a first run that was cut short does not look like this.
    """
    file = state / FILE
    if (state / keyring.LOG_KEY).exists() and (not file.exists() or file.stat().st_size == 0):
        raise ConfigError(
            "database_lost", f"{FILE} is gone: bring it back, or move {keyring.LOG_KEY} away to begin another log"
        )


def trust_of(genesis: Genesis) -> dict[str, object]:
    """The trust file's object for the log of this genesis, without witnesses."""
    key = notes.NoteKey(name=genesis.origin, kind=notes.SIGNATURE, key=PublicKey(genesis.log_key))
    return {"v": 1, "policy": f"log {key.vkey()}\nquorum none\n", "registry_root": genesis.registry_root.hex()}
