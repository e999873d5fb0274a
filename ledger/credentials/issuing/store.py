"""What an issuer keeps: its keys' names, credentials with their places in the lists, and every version of every list.

WAL with synchronous=FULL: what a method has returned from is on disk. Personal data are here and nowhere else on this side.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import database
from protocol.errors import NotFound, Unavailable

FILE = "credentials.db"
APPLICATION_ID = 0x5647_4301  # "VGC" and 1: the file is an issuer's of this layout
BUSY_MS = 5000

_SCHEMA = """
CREATE TABLE pair(
    n INTEGER PRIMARY KEY, revocation BLOB NOT NULL UNIQUE, suspension BLOB NOT NULL UNIQUE, size INTEGER NOT NULL) STRICT;
CREATE TABLE issued(
    id BLOB PRIMARY KEY, pair INTEGER NOT NULL, place INTEGER NOT NULL, type TEXT NOT NULL, format TEXT NOT NULL,
    draft TEXT NOT NULL, holder TEXT NOT NULL, raw BLOB NOT NULL, document BLOB NOT NULL, state TEXT NOT NULL,
    made_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, said INTEGER NOT NULL, UNIQUE(pair, place)) STRICT;
CREATE TABLE change(
    n INTEGER PRIMARY KEY, id BLOB NOT NULL, event TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE version(
    list BLOB NOT NULL, n INTEGER NOT NULL, raw BLOB NOT NULL, document BLOB NOT NULL, last_change INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, said INTEGER NOT NULL, PRIMARY KEY(list, n)) STRICT;
CREATE TABLE issuer_key(
    n INTEGER PRIMARY KEY, method TEXT NOT NULL UNIQUE, thumbprint BLOB NOT NULL, said INTEGER NOT NULL) STRICT;
CREATE INDEX unsaid ON issued(made_ms) WHERE said = 0;
"""
_COLUMNS = "id, pair, place, type, format, draft, holder, raw, document, state, made_ms, until_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A credential that was issued. document: its commitment, as it is registered; draft: what it says, as JSON."""

    id: bytes
    pair: int
    place: int
    type: str
    format: str
    draft: str
    holder: str
    raw: bytes
    document: bytes
    state: str
    made_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two lists with the same places, one for each purpose."""

    n: int
    revocation: bytes
    suspension: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A version of a list. last_change: the newest change of any credential that it has in it."""

    list: bytes
    n: int
    raw: bytes
    document: bytes
    last_change: int
    at_ms: int
    until_ms: int


class Store:
    """One connection, and a lock around it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._lock = db, threading.RLock()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The file in `folder`, made when it is not there. Raises Unavailable: credentials_unreadable."""
        path = folder / FILE
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
            database.make_durable(db)
            db.execute("BEGIN IMMEDIATE")
            database.lay_out(db, _SCHEMA, application_id=APPLICATION_ID)
            db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise Unavailable("credentials_unreadable", f"cannot use {path}") from error
        return cls(db)

    def close(self) -> None:
        """After whoever reads or writes."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all of it is on disk in the end, or nothing. Raises Unavailable: credentials_failing."""
        with self._lock:
            try:
                if self._db.in_transaction:  # a rollback failed
                    self._db.execute("ROLLBACK")
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise Unavailable("credentials_failing", "cannot read or write credentials.db") from error

    def named_keys(self) -> list[tuple[str, bytes, bool]]:
        """(method, thumbprint, whether it was said), the oldest first."""
        with self.writing():
            rows = self._db.execute("SELECT method, thumbprint, said FROM issuer_key ORDER BY n").fetchall()
        return [(row[0], row[1], bool(row[2])) for row in rows]

    def add_key(self, method: str, thumbprint: bytes) -> None:
        """A key that is to be said."""
        with self.writing():
            self._db.execute(
                "INSERT OR IGNORE INTO issuer_key(method, thumbprint, said) VALUES (?, ?, 0)", (method, thumbprint)
            )

    def key_said(self, method: str) -> None:
        """It is in the outbox."""
        with self.writing():
            self._db.execute("UPDATE issuer_key SET said = 1 WHERE method = ?", (method,))

    def pair(self) -> Pair | None:
        """The newest pair of lists. None: there is none yet."""
        found = self.pairs()
        return found[-1] if found else None

    def pairs(self) -> list[Pair]:
        """All pairs of lists, the oldest first."""
        with self.writing():
            rows = self._db.execute("SELECT n, revocation, suspension, size FROM pair ORDER BY n").fetchall()
        return [Pair(n=row[0], revocation=row[1], suspension=row[2], size=row[3]) for row in rows]

    def add_pair(self, revocation: bytes, suspension: bytes, size: int) -> None:
        """Two more lists."""
        with self.writing():
            self._db.execute(
                "INSERT INTO pair(revocation, suspension, size) VALUES (?, ?, ?)", (revocation, suspension, size)
            )

    def places(self, pair: int) -> int:
        """How many places of a pair are taken."""
        with self.writing():
            return int(self._db.execute("SELECT count(*) FROM issued WHERE pair = ?", (pair,)).fetchone()[0])

    def taken(self, pair: int, place: int) -> bool:
        """Whether a place was handed out; it never is again."""
        with self.writing():
            row = self._db.execute("SELECT 1 FROM issued WHERE pair = ? AND place = ?", (pair, place)).fetchone()
        return row is not None

    def add(self, row: Row) -> None:
        """A credential, with its places."""
        with self.writing():
            self._db.execute(
                f"INSERT INTO issued({_COLUMNS}, said) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",  # noqa: S608
                (
                    row.id,
                    row.pair,
                    row.place,
                    row.type,
                    row.format,
                    row.draft,
                    row.holder,
                    row.raw,
                    row.document,
                    row.state,
                    row.made_ms,
                    row.until_ms,
                ),
            )

    def said(self, identity: bytes) -> None:
        """Its commitment is in the outbox."""
        with self.writing():
            self._db.execute("UPDATE issued SET said = 1 WHERE id = ?", (identity,))

    def unsaid(self) -> list[Row]:
        """Credentials whose commitment may not be in the outbox: a stop came between."""
        return self._rows("WHERE said = 0 ORDER BY made_ms")

    def find(self, identity: bytes) -> Row:
        """Raises NotFound: credential_unknown."""
        found = self._rows("WHERE id = ?", identity)
        if not found:
            raise NotFound("credential_unknown", "this institution has issued no such credential")
        return found[0]

    def every(self, *, most: int) -> list[Row]:
        """The newest credentials, the newest first."""
        return self._rows("ORDER BY made_ms DESC, id LIMIT ?", most)

    def change(self, identity: bytes, *, before: str, after: str, event: str, reason: str, at_ms: int) -> bool:
        """Whether the credential was in the state `before`, and is in `after` now."""
        with self.writing():
            changed = self._db.execute(
                "UPDATE issued SET state = ? WHERE id = ? AND state = ?", (after, identity, before)
            ).rowcount
            if changed:
                self._db.execute(
                    "INSERT INTO change(id, event, reason, at_ms) VALUES (?, ?, ?, ?)", (identity, event, reason, at_ms)
                )
        return bool(changed)

    def last_change(self) -> int:
        """The number of the newest change of any credential."""
        with self.writing():
            return int(self._db.execute("SELECT coalesce(max(n), 0) FROM change").fetchone()[0])

    def in_state(self, pair: int, states: tuple[str, ...]) -> list[int]:
        """The places of a pair whose credentials are in one of these states."""
        with self.writing():
            marks = ", ".join("?" * len(states))
            rows = self._db.execute(
                f"SELECT place FROM issued WHERE pair = ? AND state IN ({marks})",  # noqa: S608
                (pair, *states),
            ).fetchall()
        return [row[0] for row in rows]

    def add_version(self, found: Kept) -> None:
        """A version of a list."""
        with self.writing():
            self._db.execute(
                "INSERT INTO version(list, n, raw, document, last_change, at_ms, until_ms, said) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (found.list, found.n, found.raw, found.document, found.last_change, found.at_ms, found.until_ms),
            )

    def version_said(self, name: bytes, n: int) -> None:
        """Its listing is in the outbox."""
        with self.writing():
            self._db.execute("UPDATE version SET said = 1 WHERE list = ? AND n = ?", (name, n))

    def unsaid_versions(self) -> list[Kept]:
        """Versions whose listing may not be in the outbox, the oldest first."""
        return self._versions("WHERE said = 0 ORDER BY at_ms, n")

    def version(self, name: bytes, *, at_ms: int | None = None) -> Kept | None:
        """The newest version of a list, or the one that was the newest at a time. None: there is none."""
        if at_ms is None:
            found = self._versions("WHERE list = ? ORDER BY n DESC LIMIT 1", name)
        else:
            found = self._versions("WHERE list = ? AND at_ms <= ? ORDER BY n DESC LIMIT 1", name, at_ms)
        return found[0] if found else None

    def _rows(self, clause: str, *values: object) -> list[Row]:
        with self.writing():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM issued {clause}", values).fetchall()  # noqa: S608
        names = _COLUMNS.split(", ")
        return [Row(**dict(zip(names, row, strict=True))) for row in rows]

    def _versions(self, clause: str, *values: object) -> list[Kept]:
        names = "list, n, raw, document, last_change, at_ms, until_ms"
        with self.writing():
            rows = self._db.execute(f"SELECT {names} FROM version {clause}", values).fetchall()  # noqa: S608
        return [Kept(**dict(zip(names.split(", "), row, strict=True))) for row in rows]
