"""The witness's database: logs that it cosigns for, the newest checkpoint of each, and checkpoints that contradict it.

WAL with synchronous=FULL: what `writing` has returned from is on disk. A `Store` belongs to one thread at a time.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import database
from ledger.witness.judging import KINDS, Cosigned
from protocol.errors import ConfigError, NotFound, Unavailable
from protocol.notes import Checkpoint, NoteKey

FILE = "witness.db"
APPLICATION_ID = 0x5647_5701  # "VGW" and 1: the file is a witness of this layout
BUSY_MS = 5000  # how long one process waits for another's transaction
LOGS_MAX = 1024  # keys of logs that a witness cosigns for; one more is refused when it is added
EVIDENCE_MAX = 64  # of one kind, for one log; the first ones stay, more of the same says nothing new

_SCHEMA = """
CREATE TABLE witness(one INTEGER PRIMARY KEY CHECK(one = 1), name TEXT NOT NULL) STRICT;
CREATE TABLE log(
    origin TEXT NOT NULL, vkey TEXT NOT NULL, url TEXT NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY(origin, vkey)) STRICT, WITHOUT ROWID;
CREATE INDEX log_path ON log(path);
CREATE TABLE cosigned(
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,
    note TEXT NOT NULL, at_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE evidence(
    number INTEGER PRIMARY KEY, origin TEXT NOT NULL, kind TEXT NOT NULL, digest BLOB NOT NULL,
    cosigned TEXT NOT NULL, refused TEXT NOT NULL, at_s INTEGER NOT NULL,
    UNIQUE(origin, kind, digest)) STRICT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log that the witness cosigns for. url: of its tiles, for people; empty when nobody said; size: None at first."""

    key: NoteKey
    url: str
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Two notes that one log signed and that do not go together. kind: one of `judging.KINDS`; at_s: when the second came."""

    number: int
    origin: str
    kind: str
    cosigned: str
    refused: str
    at_s: int


class Store:
    """One connection to the database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    def make(cls, folder: Path, *, name: str) -> Self:
        """The database of a new witness. Stop within: none, or all of it. Raises Unavailable: state_unreadable."""
        db = _connected(folder, "rwc")
        with _refusing(db):
            database.make_durable(db)
            db.execute("BEGIN IMMEDIATE")
            if database.lay_out(db, _SCHEMA, application_id=APPLICATION_ID):
                db.execute("INSERT INTO witness VALUES (1, ?)", (name,))
            db.execute("COMMIT")
            _check(db)
        return cls(db)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The database in `folder`. Raises NotFound: witness_missing; Unavailable: state_unreadable."""
        if not (folder / FILE).exists():
            raise NotFound(
                "witness_missing", f"there is no witness in {folder}: make one with `vigil ledger witness init`"
            )
        db = _connected(folder, "rw")
        with _refusing(db):
            db.execute("PRAGMA synchronous = FULL")
            _check(db)
        return cls(db)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it is on disk when the block ends, or none of it. Raises sqlite3.Error."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def name(self) -> str:
        """The name that cosignatures carry."""
        return str(self._db.execute("SELECT name FROM witness").fetchone()[0])

    def add_log(self, key: NoteKey, *, url: str, path: str) -> bool:
        """Cosign for a log from now on. path: where its newest checkpoint is asked for. Whether the key is new.

        Raises ConfigError: logs_full; sqlite3.Error.
        """
        with self.writing():
            there = self._db.execute(
                "SELECT 1 FROM log WHERE origin = ? AND vkey = ?", (key.name, key.vkey())
            ).fetchone()
            if there is None and self._db.execute("SELECT count(*) FROM log").fetchone()[0] >= LOGS_MAX:
                raise ConfigError("logs_full", f"a witness cosigns for at most {LOGS_MAX} keys of logs")
            self._db.execute("INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?)", (key.name, key.vkey(), url, path))
        return there is None

    def remove_log(self, key: NoteKey) -> bool:
        """Cosign nothing more that this key alone has signed; what was cosigned stays, for when the log comes back. Whether it
        was there. Raises sqlite3.Error."""
        with self.writing():
            done = self._db.execute("DELETE FROM log WHERE origin = ? AND vkey = ?", (key.name, key.vkey()))
        return done.rowcount > 0

    def logs(self) -> list[Log]:
        """Every key of every log, by origin."""
        rows = self._db.execute(
            "SELECT vkey, url, size FROM log LEFT JOIN cosigned USING (origin) ORDER BY origin, vkey"
        ).fetchall()
        return [Log(key=NoteKey.from_vkey(row[0]), url=row[1], size=row[2]) for row in rows]

    def keys(self, origin: str) -> list[NoteKey]:
        """The keys of a log; none when it is unknown."""
        rows = self._db.execute("SELECT vkey FROM log WHERE origin = ?", (origin,)).fetchall()
        return [NoteKey.from_vkey(row[0]) for row in rows]

    def newest(self, origin: str) -> Cosigned | None:
        """The newest checkpoint of a log that was cosigned."""
        row = self._db.execute("SELECT size, root, note, at_s FROM cosigned WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else Cosigned(size=row[0], root=row[1], note=row[2], at_s=row[3])

    def note_at(self, path: str) -> str | None:
        """The note of the newest checkpoint of the log that is asked for at `path`."""
        row = self._db.execute(
            "SELECT note FROM cosigned WHERE origin = (SELECT origin FROM log WHERE path = ? LIMIT 1)", (path,)
        ).fetchone()
        return None if row is None else str(row[0])

    def keep(self, checkpoint: Checkpoint, *, note: str, at_s: int) -> None:
        """`checkpoint` is the newest from now on; inside `writing`."""
        values = (checkpoint.origin, checkpoint.size, checkpoint.root, note, at_s)
        self._db.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?, ?)", values)

    def keep_evidence(self, checkpoint: Checkpoint, *, kind: str, cosigned: str, refused: str, at_s: int) -> bool:
        """Keep two notes that contradict each other, once, up to `EVIDENCE_MAX`; inside `writing`. Whether they were kept."""
        digest = hashlib.sha256(checkpoint.text().encode()).digest()
        place = (checkpoint.origin, kind)
        full = self._db.execute("SELECT count(*) FROM evidence WHERE origin = ? AND kind = ?", place).fetchone()[0]
        if full >= EVIDENCE_MAX:
            return False
        done = self._db.execute(
            "INSERT OR IGNORE INTO evidence(origin, kind, digest, cosigned, refused, at_s) VALUES (?, ?, ?, ?, ?, ?)",
            (*place, digest, cosigned, refused, at_s),
        )
        return done.rowcount > 0

    def evidence(self) -> list[Evidence]:
        """All of it, in the order in which it came."""
        rows = self._db.execute("SELECT number, origin, kind, cosigned, refused, at_s FROM evidence ORDER BY number")
        return [
            Evidence(number=row[0], origin=row[1], kind=row[2], cosigned=row[3], refused=row[4], at_s=row[5])
            for row in rows
        ]

    def counts(self) -> dict[str, int]:
        """How much evidence of each kind there is."""
        rows = self._db.execute("SELECT kind, count(*) FROM evidence GROUP BY kind").fetchall()
        return {**dict.fromkeys(KINDS, 0), **{str(kind): int(count) for kind, count in rows}}

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def _connected(folder: Path, mode: str) -> sqlite3.Connection:
    uri = f"{(folder / FILE).absolute().as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    except sqlite3.Error as error:
        raise Unavailable("state_unreadable", f"cannot open the witness's database: {error}") from error


def _check(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise Unavailable("state_unreadable", f"{FILE} is not a witness's database of this layout")


@contextlib.contextmanager
def _refusing(db: sqlite3.Connection) -> Iterator[None]:
    """Close `db` when it turns out to be unreadable, and say so."""
    try:
        yield
    except sqlite3.Error as error:
        db.close()
        raise Unavailable("state_unreadable", f"cannot read the witness's database: {error}") from error
    except Unavailable:
        db.close()
        raise
