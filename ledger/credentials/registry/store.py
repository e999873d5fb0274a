"""The registry's database: what the ledger's contracts made of it up to an entry, and the status lists that were seen.

Everything but the lists is made again from the ledger when the file is gone. One `Store` serves any number of threads.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import database, keyfile
from ledger.credentials.rules import records
from ledger.credentials.rules.records import Committed
from ledger.log.store import StateView
from ledger.monitor.edge import EMPTY, Edge
from protocol import cbor
from protocol.errors import NotFound, Unavailable

FILE = "credentials-registry.db"
APPLICATION_ID = 0x5647_5201  # "VGR" and 1: the file is a registry of this layout
BUSY_MS = 5000  # how long we wait for another process that reads
LISTS_MAX = 65_536  # versions of lists that are kept, some gigabytes at most; beyond it the one that came first goes

_EDGE_MAX = 8192  # bytes of an edge
_SCHEMA = """
CREATE TABLE state(key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE said(
    epoch INTEGER NOT NULL, place INTEGER NOT NULL, at_ms INTEGER NOT NULL, party BLOB NOT NULL, statement BLOB NOT NULL,
    PRIMARY KEY(epoch, place)) STRICT;
CREATE TABLE signer(id BLOB PRIMARY KEY, key BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE epoch(epoch INTEGER PRIMARY KEY, origin TEXT NOT NULL) STRICT;
CREATE TABLE followed(
    one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL, edge BLOB NOT NULL, at_ms INTEGER NOT NULL,
    note TEXT NOT NULL, as_of_ms INTEGER NOT NULL) STRICT;
CREATE TABLE list(
    n INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, url TEXT NOT NULL, issuer TEXT NOT NULL, raw BLOB NOT NULL) STRICT;
CREATE TABLE tag(url TEXT PRIMARY KEY, tag TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How far the ledger was read. edge: of what was read of the epoch; at_ms: the log's time at its last entry; note: the newest
    checkpoint under which all was read, "" before the first; as_of_ms: when that was the newest one, by our clock."""

    epoch: int
    edge: Edge
    at_ms: int
    note: str
    as_of_ms: int


BEGIN = Followed(epoch=1, edge=EMPTY, at_ms=0, note="", as_of_ms=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A statement that the `credentials` contract took, but for commitments, or a revocation of who is in the registry.

    party: who signed it; nobody's for the root's.
    """

    epoch: int
    index: int
    at_ms: int
    party: bytes
    statement: bytes


class Store:
    """A connection that writes and one that reads, each with a lock, so that no verdict waits for what is being read of the
    ledger. state: what the contracts keep, with what an open transaction changes; for who writes."""

    def __init__(self, db: sqlite3.Connection, reads: sqlite3.Connection, *, alone: bool) -> None:
        self._db, self._lock = db, threading.RLock()
        self._reads, self._reading = reads, threading.Lock()
        self.state = StateView(db, remember=alone)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The database in `folder`, made when it is not there. Raises Unavailable: state_unreadable."""
        path = folder / FILE
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise Unavailable("state_unreadable", f"cannot use {FILE}: {error.strerror}") from error
        with refusing("state_unreadable"):
            db = _connected(path, mode="rw")
            database.make_durable(db)
            db.execute("BEGIN IMMEDIATE")
            database.lay_out(db, _SCHEMA, application_id=APPLICATION_ID)
            db.execute("COMMIT")
            reads = _connected(path, mode="ro")
        _check(db)
        return cls(db, reads, alone=True)

    @classmethod
    def reader(cls, path: Path) -> Self:
        """A connection that cannot write, to a file that is there: a party's, or a pack. Raises NotFound: registry_missing;
        Unavailable: state_unreadable."""
        if not path.is_file():
            raise NotFound("registry_missing", f"there is no {path}")
        with refusing("state_unreadable"):
            db, reads = _connected(path, mode="ro"), _connected(path, mode="ro")
        _check(db)
        return cls(db, reads, alone=False)

    def followed(self) -> Followed:
        """How far the ledger was read."""
        with self._lock, refusing():
            row = self._db.execute("SELECT epoch, edge, at_ms, note, as_of_ms FROM followed").fetchone()
        if row is None:
            return BEGIN
        return Followed(epoch=row[0], edge=_edge(row[1]), at_ms=row[2], note=row[3], as_of_ms=row[4])

    def said(self) -> list[Said]:
        """Everything that was said, in order."""
        with self._lock, refusing():
            rows = self._db.execute("SELECT epoch, place, at_ms, party, statement FROM said ORDER BY epoch, place")
            return [Said(epoch=row[0], index=row[1], at_ms=row[2], party=row[3], statement=row[4]) for row in rows]

    def origins(self) -> list[str]:
        """The name of the log in each epoch."""
        with self._lock, refusing():
            return [row[0] for row in self._db.execute("SELECT origin FROM epoch ORDER BY epoch")]

    def committed(self, identity: bytes) -> Committed | None:
        """A credential as the ledger knows it."""
        with self._reading, refusing():
            row = self._reads.execute(
                "SELECT value FROM state WHERE key = ?", (records.COMMITTED + identity,)
            ).fetchone()
        return None if row is None else Committed.decode(bytes(row[0]))

    def signer(self, identity: bytes) -> bytes | None:
        """The thumbprint of the ledger key that signed a commitment."""
        with self._reading, refusing():
            row = self._reads.execute("SELECT key FROM signer WHERE id = ?", (identity,)).fetchone()
        return None if row is None else bytes(row[0])

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it is on disk when the block ends, or none of it. Raises Unavailable: registry_failing."""
        with self._lock, refusing():
            self._db.execute("BEGIN IMMEDIATE")
            kept = False
            try:
                yield
                self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", self.state.changed.items())
                self._db.execute("COMMIT")
                kept = True
            finally:
                self.state.settle(kept=kept)
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def add_said(self, found: Sequence[Said]) -> None:
        """Within a transaction."""
        rows = [(each.epoch, each.index, each.at_ms, each.party, each.statement) for each in found]
        self._db.executemany("INSERT INTO said VALUES (?, ?, ?, ?, ?)", rows)

    def add_signers(self, found: Mapping[bytes, bytes]) -> None:
        """The ledger keys that signed commitments, by id. Within a transaction."""
        self._db.executemany("INSERT INTO signer VALUES (?, ?)", found.items())

    def follow(self, found: Followed) -> None:
        """Within a transaction."""
        row = (found.epoch, _edge_bytes(found.edge), found.at_ms, found.note, found.as_of_ms)
        self._db.execute("INSERT OR REPLACE INTO followed VALUES (1, ?, ?, ?, ?, ?)", row)

    def begin_epoch(self, epoch: int, origin: str) -> None:
        """Within a transaction."""
        self._db.execute("INSERT OR REPLACE INTO epoch VALUES (?, ?)", (epoch, origin))

    def carry(self, carried: Mapping[bytes, bytes]) -> None:
        """What the next epoch begins with, and nothing else. Within a transaction."""
        self._db.execute("DELETE FROM state")
        self._db.executemany("INSERT INTO state VALUES (?, ?)", carried.items())
        self.state = StateView(self._db, remember=True)

    def forget(self) -> None:
        """Throw away what was read of the ledger; the lists stay. Raises Unavailable: registry_failing."""
        with self.writing():
            for table in ("state", "said", "signer", "epoch", "followed"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            self.state = StateView(self._db, remember=True)

    def put_list(self, digest: bytes, *, url: str, issuer: str, raw: bytes, tag: str) -> list[bytes]:
        """Keep a version of a list, and what stands for it at its address; the digests of those that went for it."""
        with self.writing():
            self._db.execute(
                "INSERT OR IGNORE INTO list (digest, url, issuer, raw) VALUES (?, ?, ?, ?)", (digest, url, issuer, raw)
            )
            if tag:
                self._db.execute("INSERT OR REPLACE INTO tag VALUES (?, ?)", (url, tag))
            asked = "SELECT digest FROM list WHERE n <= (SELECT max(n) FROM list) - ?"  # by its key: nothing else is looked at
            old = self._db.execute(asked, (LISTS_MAX,)).fetchall()
            self._db.executemany("DELETE FROM list WHERE digest = ?", old)
        return [row[0] for row in old]

    def kept_list(self, digest: bytes) -> bytes | None:
        """A version of a list."""
        with self._reading, refusing():
            row = self._reads.execute("SELECT raw FROM list WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def lists(self) -> list[tuple[bytes, str, str]]:
        """(digest, address, issuer) of every version."""
        with self._lock, refusing():
            return [
                (row[0], row[1], row[2]) for row in self._db.execute("SELECT digest, url, issuer FROM list ORDER BY n")
            ]

    def tag(self, url: str) -> str:
        """What stands for the version of an address that is kept; "" for none."""
        with self._lock, refusing():
            row = self._db.execute("SELECT tag FROM tag WHERE url = ?", (url,)).fetchone()
        return "" if row is None else row[0]

    def pack(self, path: Path) -> None:
        """Copy all of it into a new file. Raises Unavailable: registry_failing, file_unwritable."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            with self._lock, refusing():
                self._db.execute("VACUUM INTO ?", (str(fresh),))
            fresh.replace(path)  # Stop before here: a hidden file beside it, which nobody reads.
            keyfile.sync(path.absolute().parent)
        except OSError as error:
            raise Unavailable("file_unwritable", f"cannot write {path}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """What was read of the ledger, without when: two registries that read the same have the same."""
        asked = {
            "state": "SELECT * FROM state ORDER BY key",
            "said": "SELECT * FROM said ORDER BY epoch, place",
            "signer": "SELECT * FROM signer ORDER BY id",
            "epoch": "SELECT * FROM epoch ORDER BY epoch",
            "followed": "SELECT epoch, edge, at_ms FROM followed",
        }
        with self._lock, refusing():
            return {name: self._db.execute(sql).fetchall() for name, sql in asked.items()}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, self._reading:
            self._db.close()
            self._reads.close()


@contextlib.contextmanager
def refusing(code: str = "registry_failing") -> Iterator[None]:
    """Raises Unavailable for an error of the disk or the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(code, f"{FILE} cannot be used: {error}") from error


def _connected(path: Path, *, mode: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return db


def _check(db: sqlite3.Connection) -> None:
    with refusing("state_unreadable"):
        found = db.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        db.close()
        raise Unavailable(
            "state_unreadable", f"{FILE} is no registry of this release: take it away, and it is made again"
        )


def _edge_bytes(edge: Edge) -> bytes:
    return cbor.encode([edge.size, list(edge.nodes)])


def _edge(data: bytes) -> Edge:
    match cbor.decode(data, size_max=_EDGE_MAX):
        case [int(size), list(nodes)]:
            return Edge(size=size, nodes=tuple(nodes))
    raise AssertionError("an edge is a size and its nodes")
