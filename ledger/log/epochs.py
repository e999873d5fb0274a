"""Epochs: a log that ends, and the next one that begins with its state, its last checkpoint and a new name and key.

Each epoch is a database file of its own in the ledger's folder. The newest file is the log that grows; the others are read
and never written again. There is one step at which the next epoch is the newest: its file, whole, gets its name.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from ledger import founding, keyfile, registry, retention
from ledger.log import keyring, redaction, snapshots
from ledger.log.keeping import CLOSED, MINIMUM
from ledger.log.shelf import Published, Shelf
from ledger.log.signer import Signer, trust_of, vkeys
from ledger.log.store import FILE, Head, Store
from ledger.log.upkeep import Log
from ledger.log.verifying import Verifying
from ledger.log.writer import Writer
from ledger.policy import in_force
from protocol import merkle, notes, statement
from protocol.documents import Genesis, Policy
from protocol.errors import ConfigError, Malformed, NotFound, Unavailable, VigilError
from protocol.keys import SigningKey
from protocol.notes import Checkpoint

FIRST = 1
EPOCHS_MAX = 1000  # epochs in one folder: their files are all open; a ledger that reaches it begins another folder
FRESH = ".new"  # at the end of the name of a file that is not yet an epoch


def file_of(epoch: int) -> str:
    """The name of an epoch's database."""
    return FILE if epoch == FIRST else f"ledger-{epoch}.db"


def key_of(epoch: int) -> str:
    """The name of the file of the key that an epoch begins with."""
    return keyring.LOG_KEY if epoch == FIRST else f"log-{epoch}.key"


def newest(folder: Path) -> int:
    """The epoch that grows; the first, when there is none yet."""
    epoch = FIRST
    while epoch < EPOCHS_MAX and (folder / file_of(epoch + 1)).exists():
        epoch += 1
    return epoch


def trust(folder: Path) -> dict[str, object]:
    """The trust file's object for all epochs of the ledger in `folder`: v, policy (C2SP tlog-policy), registry_root (hex).

    Raises NotFound: state_missing; Unavailable: state_unreadable.
    """
    begun = _begun(folder)
    return trust_of([vkey for _, keys in begun for vkey in keys], begun[-1][0].registry_root)


def _begun(folder: Path) -> list[tuple[Genesis, list[str]]]:
    """The genesis of each epoch with the keys that verify its checkpoints, oldest first."""
    found = []
    for epoch in range(FIRST, newest(folder) + 1):
        if not (folder / file_of(epoch)).exists():
            raise NotFound("state_missing", f"there is no ledger in {folder}: run it once")
        with contextlib.closing(Store.reader(folder, file_of(epoch))) as store:
            try:
                genesis = registry.genesis_of(store.state)
            except KeyError as error:
                raise NotFound("state_missing", f"the ledger in {folder} has no genesis yet: run it once") from error
            found.append((genesis, vkeys(genesis.origin, registry.log_keys(store.state), store.head().at_ms)))
    return found


def next_origin(origin: str) -> str:
    """The name of the next epoch of a log: the number at the end of the name, one higher; else with a 2 after it."""
    name, slash, number = origin.rpartition("/")
    if slash and number.isascii() and number.isdecimal():
        return f"{name}/{int(number) + 1}"
    return f"{origin}/2"


class Archive:
    """The epochs before the newest, for reading: whatever was acknowledged in them is still there, under the same names."""

    def __init__(self, shelves: Mapping[int, Shelf], geneses: Sequence[Genesis]) -> None:
        self._shelves, self.geneses = dict(shelves), tuple(geneses)

    @classmethod
    def open(cls, folder: Path, *, below: int) -> Self:
        """The epochs below `below`. Raises NotFound: key_missing; Unavailable: state_unreadable, state_damaged."""
        shelves: dict[int, Shelf] = {}
        geneses = []
        with contextlib.ExitStack() as held:
            for epoch in range(FIRST, below):
                shelf, genesis = _opened(folder, epoch)
                shelves[epoch] = held.enter_context(contextlib.closing(shelf))
                geneses.append(genesis)
            held.pop_all()
        return cls(shelves, geneses)

    def shelf(self, epoch: int) -> Shelf | None:
        """What a closed epoch hands out; None for one that is not there."""
        return self._shelves.get(epoch)

    def of(self, digest: bytes) -> tuple[Shelf, int] | None:
        """Where an earlier epoch has the entry with these 32 bytes: what is registered once is not registered again."""
        for shelf in self._shelves.values():
            with contextlib.suppress(NotFound):
                return shelf, shelf.index_of(digest)
        return None

    def check_whole(self, newest: Genesis) -> None:
        """Whether each epoch is here as far as the next one says that it went. newest: the genesis of the epoch that grows.

        Raises ConfigError: database_lost, for an older copy of one; Malformed.
        """
        following = (*self.geneses[1:], newest)
        for (epoch, shelf), genesis in zip(self._shelves.items(), following, strict=False):
            last, here = Checkpoint.from_text(notes.parse(genesis.prior or "").text), shelf.published
            if (last.origin, last.size, last.root) != (here.origin, here.size, here.root):
                raise ConfigError(
                    "database_lost", f"{file_of(epoch)} is not as epoch {epoch + 1} says that it ended: bring it back"
                )

    def all(self) -> list[Shelf]:
        """The closed epochs, oldest first."""
        return list(self._shelves.values())

    def close(self) -> None:
        """Let go of their files."""
        for shelf in self._shelves.values():
            shelf.close()


def settle(folder: Path) -> int:
    """The epoch that grows, once what a stop left behind is put in order. The caller holds the folder.

    Raises ConfigError: database_lost, when an epoch has ended and the next one is not here; Unavailable: state_unreadable.
    """
    _refuse_lost_first(folder)
    epoch = newest(folder)
    _remove_fresh(folder, epoch + 1)
    for ended in range(FIRST, epoch):
        with contextlib.closing(Store.open(folder, file_of(ended))) as store:
            if not store.keeping.mark(CLOSED):
                with store.writing():
                    store.keeping.set_mark(CLOSED, ended + 1)
    if (folder / file_of(epoch)).exists():
        with contextlib.closing(Store.open(folder, file_of(epoch))) as store:
            if store.keeping.mark(CLOSED):
                raise ConfigError(
                    "database_lost", f"{file_of(epoch + 1)} is gone, and the log went on there: bring it back"
                )
    return epoch


def keep_last(log: Log, epoch: int) -> bytes:
    """The name of the snapshot of the state that an epoch which has ended had last, once it is kept beside the epoch too.

    Raises sqlite3.Error; Unavailable: state_unreadable, state_damaged.
    """
    with contextlib.closing(Store.reader(log.folder, file_of(epoch + 1))) as following:
        signed, state = dict(following.keeping.snapshots()).get(0), following.keeping.snapshot_state(0)
    if signed is None:
        raise Unavailable("state_damaged", f"{file_of(epoch + 1)} lacks what it began with: run fsck")
    with contextlib.closing(Store.open(log.folder, file_of(epoch))) as store, store.writing():
        store.keeping.put_snapshot(store.head().size, signed, state)
    # Stop here: a snapshot beside a log that has ended, which the next one's genesis names. Nobody minds.
    return snapshots.name_of(signed)


def carry_out(log: Log) -> None:
    """Take away what the newest epoch orders to go from earlier ones; again after a stop.

    Raises Unavailable: storage_failed, database_busy; VerificationFailed: snapshot_bad.
    """
    state = log.store.keeping.state(retention.REDACTED)
    for epoch in range(FIRST, log.epoch):
        orders = retention.redactions(state, epoch)
        if not orders:
            continue
        try:
            with contextlib.closing(Store.open(log.folder, file_of(epoch))) as store:
                keys = {each.key.thumbprint: each.key for each in registry.log_keys(store.state)}
                redaction.carry_out(store, log.contracts, keys, orders)
        except sqlite3.Error as error:
            raise Unavailable("storage_failed", f"what statements order could not be carried out: {error}") from error


def _refuse_lost_first(folder: Path) -> None:
    """A key without its database has signed trees that nobody here knows any more: never sign another of their sizes.

    The database is made before the key, so that a first run that was cut short does not look like this.
    """
    file = folder / FILE
    if (folder / keyring.LOG_KEY).exists() and (not file.exists() or file.stat().st_size == 0):
        raise ConfigError(
            "database_lost", f"{FILE} is gone: bring it back, or move {keyring.LOG_KEY} away to begin another log"
        )


def roll_over(folder: Path, old: Log, *, root: SigningKey, origin: str, note: str, now_ms: Callable[[], int]) -> None:
    """End the epoch `old` and begin the next. note: its last checkpoint. Nobody registers meanwhile, nor afterwards in `old`.

    Raises ConfigError: epochs_full, origin_taken; Unavailable: storage_failed.
    """
    epoch = old.epoch + 1
    if epoch > EPOCHS_MAX:
        raise ConfigError("epochs_full", f"a folder has at most {EPOCHS_MAX} epochs: begin a ledger in another one")
    if origin in {genesis.origin for genesis, _ in _begun(folder)}:
        raise ConfigError("origin_taken", "the next epoch is another log: it has a name of its own")
    fresh = file_of(epoch) + FRESH
    try:
        key = keyring.load_or_make(folder, key_of(epoch))
        # Stop here: a key that has signed nothing. The next roll-over uses it.
        _remove_fresh(folder, epoch)
        _write_next(folder, fresh, old, key=key, root=root, origin=origin, note=note, now_ms=now_ms)
        # Stop here: a whole epoch under a name that nobody reads, no word of which has left the process. It is removed.
        _on_disk(folder / fresh)
        (folder / fresh).replace(folder / file_of(epoch))
        keyfile.sync(folder)
        # Stop here: the next epoch is the log, and the old one is marked as ended at the next start.
        with old.store.writing():
            old.store.keeping.set_mark(CLOSED, epoch)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable("storage_failed", f"the next epoch could not be stored: {error}") from error


def _write_next(
    folder: Path,
    name: str,
    old: Log,
    *,
    key: SigningKey,
    root: SigningKey,
    origin: str,
    note: str,
    now_ms: Callable[[], int],
) -> None:
    """The whole file of the next epoch: its state, the snapshot that says where it is from, genesis and policy."""
    head, state = old.store.head(), dict(old.store.keeping.state())
    signed = snapshots.sign(old.key, origin=old.origin, epoch=old.epoch, head=head, state=state)
    policy = in_force(state)
    begun = founding.statements(
        origin=origin,
        epoch=old.epoch + 1,
        log_key=key,
        root=root,
        contracts=old.contracts,
        policy=None if policy is None else Policy(log=origin, n=1, rules=policy.rules),
        prior=note,
        state=snapshots.name_of(signed),
    )
    with contextlib.closing(Store.open(folder, name)) as store:
        with store.writing():
            store.keeping.put_snapshot(0, signed, sorted(state.items()))
            store.keeping.put_state(old.contracts.carried(state).items())
            store.publish(Head(size=0, root=merkle.EMPTY_ROOT, chain=head.chain, at_ms=head.at_ms), "")
        with contextlib.closing(Verifying(on=False)) as verifying:
            writer = Writer(
                store=store,
                contracts=old.contracts,
                verifying=verifying,
                now_ms=now_ms,
                note=lambda grown: Signer(folder, key).note(grown, origin=origin, keys=registry.log_keys(store.state)),
            )
            for verdict in writer.write(writer.prepare([statement.parse(raw) for raw in begun])).verdicts:
                if isinstance(verdict, VigilError):
                    raise verdict


def _opened(folder: Path, epoch: int) -> tuple[Shelf, Genesis]:
    key = keyring.load(folder, key_of(epoch))
    store = Store.reader(folder, file_of(epoch))
    try:
        genesis, head = registry.genesis_of(store.state), store.head()
    except (KeyError, Malformed, sqlite3.Error) as error:
        store.close()
        raise Unavailable("state_damaged", f"{file_of(epoch)} cannot be read: run fsck") from error
    if genesis.log_key != key.public.x or genesis.epoch != epoch:
        store.close()
        raise ConfigError("log_key_changed", f"{key_of(epoch)} is not the key that began epoch {epoch}")
    signer = Signer(folder, key)
    signer.take_up(registry.log_keys(store.state), head.at_ms)
    shelf = Shelf(signer=signer, reader=store)
    shelf.published = Published(origin=genesis.origin, epoch=epoch, size=head.size, root=head.root, note=store.note())
    shelf.minimum, cosigned = store.keeping.mark(MINIMUM), store.keeping.cosigned()
    if cosigned and Checkpoint.from_text(notes.parse(cosigned).text).size == head.size:
        shelf.cosigned = cosigned  # else witnesses never signed the last one: what ended the epoch is shown
    return shelf, genesis


def _remove_fresh(folder: Path, epoch: int) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        (folder / f"{file_of(epoch)}{FRESH}{suffix}").unlink(missing_ok=True)


def _on_disk(path: Path) -> None:
    """The database is one file, without a log of writes beside it, and on disk."""
    if path.with_name(f"{path.name}-wal").exists():
        raise Unavailable("database_busy", f"something reads {path.name}: end it, and roll over again")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
