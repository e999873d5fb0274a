"""The party's database: statements on their way to a log, their receipts, the last verified checkpoint of each log.

WAL with synchronous=FULL: what `queue` and `settle` have returned from is on disk. One `Store` serves any number of threads.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import database
from protocol.conflict import Conflict, Seen
from protocol.errors import NotFound, Unavailable
from protocol.growth import Placed
from protocol.notes import Checkpoint

FILE = "party.db"
APPLICATION_ID = 0x5647_5001  # "VGP" and 1: the file is a party's of this layout
BUSY_MS = 5000  # how long we wait for another process that reads
WAITING_MAX = 100_000  # statements without an answer; beyond it new ones are refused, which says that the log is away
CONFLICTS_MAX = 16  # pairs of checkpoints that are kept as evidence; the first ones say enough

_SCHEMA = """
CREATE TABLE outbox(
    n INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, statement BLOB NOT NULL,
    rank INTEGER NOT NULL, made_ms INTEGER NOT NULL,
    entry_id TEXT, place INTEGER, size INTEGER, receipt BLOB, refused TEXT, done_ms INTEGER) STRICT;
CREATE INDEX waiting ON outbox(rank, n) WHERE done_ms IS NULL;
CREATE INDEX receipted ON outbox(n) WHERE receipt IS NOT NULL;
CREATE INDEX refused ON outbox(refused) WHERE refused IS NOT NULL;
CREATE TABLE head(
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE conflict(
    n INTEGER PRIMARY KEY, earlier TEXT NOT NULL, later TEXT NOT NULL, file BLOB NOT NULL, UNIQUE(earlier, later)) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A statement that no log has answered. digest: SHA-256 of it; first: it goes before those that are not."""

    digest: bytes
    statement: bytes
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Where a statement stands. receipt: with entry_id, index and size when a log holds it; refused: the log's code."""

    digest: bytes
    statement: bytes
    made_ms: int
    entry_id: str | None
    index: int | None
    size: int | None
    receipt: bytes | None
    refused: str | None

    @property
    def state(self) -> str:
        """waiting, receipted or refused."""
        if self.receipt is not None:
            return "receipted"
        return "waiting" if self.refused is None else "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The newest checkpoint of a log that was verified, and how it was seen."""

    checkpoint: Checkpoint
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many statements stand where. refused: by the log's code; conflicts: times that a log contradicted itself."""

    waiting: int
    receipted: int
    refused: Mapping[str, int]
    conflicts: int


class Store:
    """One connection, and a lock around it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._lock = db, threading.Lock()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The database in `folder`, made when it is not there. Raises Unavailable: state_unreadable."""
        try:
            os.close(
                os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
            )  # what a party says is for its readers alone
        except OSError as error:
            raise Unavailable("state_unreadable", f"cannot use {FILE}: {error.strerror}") from error
        with _refusing("state_unreadable"):
            db = _connected(folder / FILE, mode="rw")
            database.make_durable(db)
            db.execute("BEGIN IMMEDIATE")
            database.lay_out(db, _SCHEMA, application_id=APPLICATION_ID)
            db.execute("COMMIT")
        return cls(_ours(db))

    @classmethod
    def reader(cls, folder: Path) -> Self:
        """A connection that cannot write, to a database that is there; the party may be at work.

        Raises NotFound: state_missing; Unavailable: state_unreadable.
        """
        if not (folder / FILE).exists():
            raise NotFound("state_missing", f"there is no party in {folder}: run it once")
        with _refusing("state_unreadable"):
            db = _connected(folder / FILE, mode="ro")
        return cls(_ours(db))

    def queue(self, digest: bytes, statement: bytes, *, now_ms: int, first: bool = False) -> None:
        """Let a statement wait for the log. One that waits or has a receipt stays as it is; one that was refused waits again.

        Raises Unavailable: outbox_full, store_failing.
        """
        with self._writing():
            row = self._db.execute("SELECT refused FROM outbox WHERE digest = ?", (digest,)).fetchone()
            if row is not None:
                if row[0] is not None:
                    self._db.execute("UPDATE outbox SET refused = NULL, done_ms = NULL WHERE digest = ?", (digest,))
                return
            if not first and self._waiting() >= WAITING_MAX:
                raise Unavailable("outbox_full", f"{WAITING_MAX} statements wait for the ledger: come back later")
            self._db.execute(
                "INSERT INTO outbox (digest, statement, rank, made_ms) VALUES (?, ?, ?, ?)",
                (digest, statement, 0 if first else 1, now_ms),
            )

    def waiting(self, *, most: int) -> list[Waiting]:
        """Statements without an answer, in the order to send them. Raises Unavailable: store_failing."""
        with self._reading():
            rows = self._db.execute(
                "SELECT digest, statement, rank FROM outbox WHERE done_ms IS NULL ORDER BY rank, n LIMIT ?", (most,)
            ).fetchall()
        return [Waiting(digest=row[0], statement=row[1], first=row[2] == 0) for row in rows]

    def settle(self, answered: Sequence[Placed], checkpoint: Checkpoint, seen: Seen) -> None:
        """Keep receipts together with the checkpoint that they were checked against. Raises Unavailable: store_failing.

        A crash before the commit leaves all of them waiting: they are sent again, and the log finds them.
        """
        with self._writing():
            for each in answered:
                self._db.execute(
                    "UPDATE outbox SET entry_id = ?, place = ?, size = ?, receipt = ?, done_ms = ? WHERE digest = ?",
                    (each.entry_id, each.index, each.size, each.receipt, seen.at_ms, each.digest),
                )
            self._db.execute(
                "INSERT OR REPLACE INTO head (origin, size, root, note, at_ms) VALUES (?, ?, ?, ?, ?)",
                (checkpoint.origin, checkpoint.size, checkpoint.root, seen.note, seen.at_ms),
            )

    def refuse(self, digest: bytes, code: str, *, now_ms: int) -> None:
        """Keep that the log will not take a statement. Raises Unavailable: store_failing."""
        with self._writing():
            self._db.execute(
                "UPDATE outbox SET refused = ?, done_ms = ? WHERE digest = ? AND receipt IS NULL",
                (code, now_ms, digest),
            )

    def head(self, origin: str) -> Kept | None:
        """The newest verified checkpoint of a log. Raises Unavailable: store_failing."""
        return next((each for each in self.heads() if each.checkpoint.origin == origin), None)

    def heads(self) -> list[Kept]:
        """The newest verified checkpoint of each log. Raises Unavailable: store_failing."""
        with self._reading():
            rows = self._db.execute("SELECT origin, size, root, note, at_ms FROM head ORDER BY origin").fetchall()
        return [
            Kept(checkpoint=Checkpoint(origin=row[0], size=row[1], root=row[2]), seen=Seen(note=row[3], at_ms=row[4]))
            for row in rows
        ]

    def accuse(self, found: Conflict) -> None:
        """Keep how a log contradicted itself, each pair of checkpoints once. Raises Unavailable: store_failing."""
        with self._writing():
            if self._db.execute("SELECT count(*) FROM conflict").fetchone()[0] < CONFLICTS_MAX:
                self._db.execute(
                    "INSERT OR IGNORE INTO conflict (earlier, later, file) VALUES (?, ?, ?)",
                    (found.earlier.note, found.later.note, found.encode()),
                )

    def conflicts(self) -> list[bytes]:
        """The files that show how a log contradicted itself, the first one first. Raises Unavailable: store_failing."""
        with self._reading():
            return [row[0] for row in self._db.execute("SELECT file FROM conflict ORDER BY n")]

    def find(self, digest: bytes) -> Row:
        """A statement by its SHA-256. Raises NotFound: statement_unknown; Unavailable: store_failing."""
        with self._reading():
            row = self._db.execute(
                "SELECT digest, statement, made_ms, entry_id, place, size, receipt, refused FROM outbox WHERE digest = ?",
                (digest,),
            ).fetchone()
        if row is None:
            raise NotFound("statement_unknown", "this party has made no such statement")
        return Row(
            digest=row[0],
            statement=row[1],
            made_ms=row[2],
            entry_id=row[3],
            index=row[4],
            size=row[5],
            receipt=row[6],
            refused=row[7],
        )

    def counts(self) -> Counts:
        """How many statements stand where. Raises Unavailable: store_failing."""
        with self._reading():
            receipted = self._db.execute("SELECT count(*) FROM outbox WHERE receipt IS NOT NULL").fetchone()[0]
            rows = self._db.execute(
                "SELECT refused, count(*) FROM outbox WHERE refused IS NOT NULL GROUP BY refused ORDER BY refused"
            ).fetchall()
            conflicts = self._db.execute("SELECT count(*) FROM conflict").fetchone()[0]
            waiting = self._waiting()
        return Counts(waiting=waiting, receipted=receipted, refused=dict(rows), conflicts=conflicts)

    def close(self) -> None:
        """After whoever reads or writes."""
        with self._lock:
            self._db.close()

    def _waiting(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM outbox WHERE done_ms IS NULL").fetchone()[0])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, _refusing("store_failing"):
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all of it is on disk in the end, or nothing."""
        with self._lock, _refusing("store_failing"), database.transaction(self._db):
            yield


def _connected(path: Path, *, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}", uri=True, check_same_thread=False, isolation_level=None
    )
    db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return db


def _ours(db: sqlite3.Connection) -> sqlite3.Connection:
    with _refusing("state_unreadable"):
        found = db.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        db.close()
        raise Unavailable("state_unreadable", f"{FILE} is not a party's database, or of another release")
    return db


@contextlib.contextmanager
def _refusing(code: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(code, f"cannot use {FILE}: {error}") from error
