"""The ledger itself: registers statements in one Merkle tree, keeps what contracts say of them, and proves all of it."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from ledger import founding, registry
from ledger.contracts import STANDARD, Contracts
from ledger.log import epochs, keyring, upkeep
from ledger.log.registering import Registered, Registrar
from ledger.log.shelf import Published, Shelf
from ledger.log.signer import Signer, trust_of
from ledger.log.store import Entry, Head, Store
from ledger.log.verifying import Verifying
from ledger.log.writer import Writer, Written
from ledger.registry import LogKey
from ledger.rules import State
from protocol import cbor, merkle, statement, tiles
from protocol.documents import Genesis
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable, VigilError
from protocol.keys import SigningKey

DEFAULT_ORIGIN = "ledger.vigil.example/1"
EPOCH = 1

T = TypeVar("T")


class Engine:
    """One log with its keys and its state, in one folder, for any number of threads of one process."""

    def __init__(
        self,
        *,
        signer: Signer,
        store: Store,
        reader: Store,
        archive: epochs.Archive,
        now_ms: Callable[[], int],
        contracts: Contracts = STANDARD,
        verifying: Verifying,
    ) -> None:
        self._signer, self.contracts = signer, contracts
        self._store, self._writing = store, threading.Lock()
        self._writer = Writer(store=store, contracts=contracts, verifying=verifying, now_ms=now_ms, note=self._note)
        self._shelf, self._archive = Shelf(signer=signer, reader=reader), archive
        self._registrar = Registrar(
            writer=self._writer, shelf=self._shelf, signer=signer, archive=archive, on_disk=self._on_disk
        )
        self._held = contextlib.ExitStack()
        self._genesis: Genesis | None = None

    @classmethod
    def open(
        cls,
        state: Path,
        *,
        now_ms: Callable[[], int],
        origin: str | None = None,
        contracts: Contracts = STANDARD,
        verify_process: bool = False,
    ) -> Self:
        """The log in the folder `state`; the first run makes its keys and first entries (`ledger.founding`).

        origin: the log's name, for the first run; later it has to be the same or None. contracts: what it registers;
        verify_process: whether another process helps to verify signatures.
        Raises ConfigError: origin_bad, origin_changed, log_key_changed, database_lost, state_in_use; NotFound: key_missing;
        Unavailable: state_unreadable, state_damaged, key_unreadable.
        """
        if origin is not None:
            founding.check_origin(origin)
        with contextlib.ExitStack() as held:
            held.callback(os.close, keyring.lock(state))
            epoch = epochs.settle(state)
            file, name = epochs.file_of(epoch), epochs.key_of(epoch)
            store = held.enter_context(contextlib.closing(Store.open(state, file)))
            begun = store.head().size > 0
            key = (keyring.load if begun else keyring.load_or_make)(state, name)
            reader = held.enter_context(contextlib.closing(Store.reader(state, file)))
            archive = held.enter_context(contextlib.closing(epochs.Archive.open(state, below=epoch)))
            verifying = held.enter_context(contextlib.closing(Verifying(on=verify_process)))
            engine = cls(
                signer=Signer(state, key),
                store=store,
                reader=reader,
                archive=archive,
                now_ms=now_ms,
                contracts=contracts,
                verifying=verifying,
            )
            if not begun:
                engine._begin(origin or DEFAULT_ORIGIN, keyring.load_or_make(state, keyring.REGISTRY_KEY))
            engine._resume(origin)
            engine.finish()
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
    def healthy(self) -> bool:
        """Whether the newest transaction could be written, and the next one may be."""
        return self._registrar.wrote and self.stopped is None

    @property
    def stopped(self) -> Unavailable | None:
        """Why nothing is registered any more, until it is started again."""
        return self._registrar.stopped

    @property
    def size(self) -> int:
        """Entries under the newest checkpoint."""
        return self._shelf.published.size

    def register(self, raw: bytes) -> Registered:
        """Put the statement in `raw` into the log, once; not answered before it is on disk. Blocks: call it in a thread.

        Raises Malformed, BadSignature, rules.Refused (all ProtocolError, with stable codes); Unavailable: storage_failed.
        """
        (found,) = self.register_many([raw])
        if isinstance(found, VigilError):
            raise found
        return found

    def register_many(self, raws: Sequence[bytes]) -> list[Registered | VigilError]:
        """Put statements into the log, in order, in as few transactions as `BATCH_MAX` allows; a verdict for each."""
        with self._writing:
            return self._registrar.register_many(raws)

    def shelf(self, epoch: int) -> Shelf:
        """What an epoch hands out, the newest one or one that has ended. Raises NotFound: epoch_unknown."""
        found = self._shelf if epoch == self.epoch else self._archive.shelf(epoch)
        if found is None:
            raise NotFound("epoch_unknown", f"epochs of this log are from {epochs.FIRST} to {self.epoch}")
        return found

    def locate(self, entry_id: str) -> tuple[Shelf, int]:
        """Where an entry of any epoch is: what hands it out, and its index there. Raises NotFound: entry_unknown."""
        for shelf in (self._shelf, *self._archive.all()):
            with contextlib.suppress(NotFound):
                return shelf, shelf.find(entry_id)
        raise NotFound("entry_unknown", "this log has no such entry")

    def entry_id(self, index: int) -> str:
        """The name of an entry."""
        return self._shelf.entry_id(index)

    def statement(self, index: int) -> bytes:
        """The statement at `index`.

        Raises NotFound: entry_unknown, entry_pruned, statement_redacted; Unavailable: entry_missing.
        """
        return self._shelf.statement(index)

    def entry(self, index: int) -> Entry:
        """All that is stored of the entry at `index`. Raises NotFound: entry_unknown; Unavailable: entry_missing."""
        return self._shelf.entry(index)

    def index_of(self, digest: bytes) -> int:
        """The index of the entry with these 32 bytes. Raises NotFound: entry_unknown."""
        return self._shelf.index_of(digest)

    def look(self, question: Callable[[State], T]) -> T:
        """What `question` finds in the state, which is of one moment while it asks. Blocks."""
        return self._shelf.look(question)

    def receipt(self, index: int, *, alg: int | None = None) -> bytes:
        """A receipt for the newest checkpoint. alg: the COSE algorithm of its signature, when it matters.

        Raises NotFound: entry_unknown, entry_pruned, alg_not_offered; Unavailable: node_missing.
        """
        return self._shelf.receipt(index, alg=alg)

    def consistency(self, size1: int) -> bytes:
        """A receipt that the newest tree is that of `size1` grown. Raises NotFound: size_unknown, size_pruned."""
        return self._shelf.consistency(size1)

    def find(self, entry_id: str) -> int:
        """The index of an entry id of the newest epoch; `locate` finds those of all. Raises NotFound: entry_unknown."""
        return self._shelf.find(entry_id)

    def checkpoint(self) -> str:
        """The newest checkpoint that may be shown, a signed note: with enough cosignatures once `publish` was called."""
        return self._shelf.checkpoint()

    def signed(self) -> str:
        """The newest checkpoint that the log signed, whoever cosigned it."""
        return self._shelf.published.note

    def root(self, size: int) -> bytes:
        """The root of the tree that the log had at `size`. Raises Unavailable: node_missing, for what is pruned."""
        return self._shelf.root(size)

    def path(self, size1: int, size2: int) -> list[bytes]:
        """The bare proof that the tree of `size2` is that of `size1` grown. Raises Unavailable: node_missing."""
        return self._shelf.path(size1, size2)

    def cosigned(self) -> str:
        """The newest checkpoint that was ever published with cosignatures; empty for none."""
        with self._writing:
            return self._store.keeping.cosigned()

    def publish(self, cosigned: str) -> None:
        """Show this checkpoint, which enough witnesses cosigned, from now on. Raises Unavailable: storage_failed."""
        try:
            with self._writing, self._store.writing():
                self._store.keeping.put_cosigned(cosigned)
        except sqlite3.Error as error:
            raise Unavailable("storage_failed", f"the checkpoint could not be stored: {error}") from error
        # Stop here: kept, and shown at the next start.
        self.show(cosigned)

    def show(self, cosigned: str) -> None:
        """Show a checkpoint that was published before."""
        self._shelf.cosigned = cosigned

    def stop(self, why: Unavailable) -> None:
        """Register nothing more, and say why; what is there is still read."""
        self._registrar.stopped = why

    def tile(self, tile: tiles.Tile) -> bytes:
        """The hashes of a tile (level not None). Raises NotFound: tile_unknown, tile_pruned; Unavailable: node_missing."""
        return self._shelf.tile(tile)

    def entries(self, tile: tiles.Tile) -> bytes:
        """A bundle of 32-byte entries (level None). Raises NotFound: tile_unknown, tile_pruned; Unavailable: node_missing."""
        return self._shelf.entries(tile)

    def keys(self) -> bytes:
        """The COSE_KeySet of the log in CBOR: of all epochs, the newest first, and what signs no more with them."""
        return cbor.encode([each.key.cose_key() for each in self._keys()])

    def key(self, kid: bytes) -> bytes:
        """One COSE_Key in CBOR by its 32-byte thumbprint. Raises NotFound: key_unknown."""
        for each in self._keys():
            if each.key.thumbprint == kid:
                return cbor.encode(each.key.cose_key())
        raise NotFound("key_unknown", "this log has no such key")

    def trust(self) -> dict[str, object]:
        """The trust file's object: v, policy (C2SP tlog-policy), registry_root (hex)."""
        shelves = (*self._archive.all(), self._shelf)
        return trust_of([vkey for shelf in shelves for vkey in shelf.vkeys()], self._known().registry_root)

    @property
    def minimum(self) -> int:
        """The minimum index: what is below may have gone. Source: C2SP tlog-tiles, Pruning."""
        return self._shelf.minimum

    @contextlib.contextmanager
    def alone(self) -> Iterator[upkeep.Log]:
        """The log, for whoever takes parts of it away or ends it: nobody registers meanwhile."""
        with self._writing:
            yield self._log()

    def finish(self) -> None:
        """Carry out what statements order and nobody has carried out yet.

        Raises Unavailable: storage_failed, database_busy; VerificationFailed: snapshot_bad.
        """
        with self.alone() as log:
            self._shelf.minimum = upkeep.finish(log)
            epochs.carry_out(log)

    def close(self) -> None:
        """Let go of files and lock, after whoever is writing."""
        with self._writing:
            self._shelf.close()
            self._held.close()

    def _begin(self, origin: str, root: SigningKey) -> None:
        begun = founding.statements(
            origin=origin, epoch=EPOCH, log_key=self._signer.first, root=root, contracts=self.contracts
        )
        parsed = [statement.parse(raw) for raw in begun]
        self._genesis = Genesis.decode(parsed[0].payload)
        # Stop here: nothing is there, and the next start begins. Both entries are in one transaction.
        for verdict in self._writer.write(self._writer.prepare(parsed)).verdicts:
            if isinstance(verdict, VigilError):
                raise verdict

    def _resume(self, origin: str | None) -> None:
        """Take up what is on disk, when it fits the keys and itself."""
        try:
            self._genesis = registry.genesis_of(self._store.state)
            head, note = self._store.head(), self._store.note()
            root = merkle.range_root(self._store.node, 0, head.size)
            self._archive.check_whole(self._genesis)
        except (KeyError, Malformed, sqlite3.Error) as error:
            raise Unavailable("state_damaged", "the stored log cannot be read: run fsck") from error
        if self._genesis.log_key != self._signer.first.public.x:
            raise ConfigError("log_key_changed", f"{keyring.LOG_KEY} is not the key that began this log")
        if origin is not None and origin not in (self.origin, *(each.origin for each in self._archive.geneses)):
            raise ConfigError("origin_changed", f"this log is called {self.origin}, and that cannot change")
        self._signer.take_up(registry.log_keys(self._store.state), head.at_ms)
        if root != head.root or note != self._note(head):
            raise Unavailable("state_damaged", "the stored tree and its checkpoint do not fit: run fsck")
        self._shelf.published = self._seen(head, note)

    def _on_disk(self, written: Written) -> None:
        self._signer.take_up(registry.log_keys(self._store.state), written.head.at_ms)
        if written.head.size > self._shelf.published.size:
            self._shelf.published = self._seen(written.head, written.note)

    def _note(self, head: Head) -> str:
        return self._signer.note(head, origin=self.origin, keys=registry.log_keys(self._store.state))

    def _seen(self, head: Head, note: str) -> Published:
        return Published(origin=self.origin, epoch=self.epoch, size=head.size, root=head.root, note=note)

    def _log(self) -> upkeep.Log:
        """The log, for whoever takes parts of it away while nobody registers."""
        return upkeep.Log(
            folder=self._signer.folder,
            origin=self.origin,
            epoch=self.epoch,
            store=self._store,
            key=self._signer.newest(),
            keys={each.key.thumbprint: each.key for each in self._signer.keys},
            contracts=self.contracts,
        )

    def _keys(self) -> list[LogKey]:
        return [each for shelf in (self._shelf, *reversed(self._archive.all())) for each in shelf.keys]

    def _known(self) -> Genesis:
        if self._genesis is None:
            raise AssertionError("an open log has a genesis")
        return self._genesis
