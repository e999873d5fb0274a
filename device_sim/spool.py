"""The device's spool: what was signed and is not receipted yet, in SQLite, durable before it is sent.

Bounded: when it is full, the oldest readings make room and a gap record says so. Alarms and gap records are never evicted. The
boot counter is on disk before its number is used.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from device_sim.agent import Entry, Place
from protocol.content import Range
from protocol.errors import Unavailable

_T = TypeVar("_T")

BUSY_TIMEOUT_S = 5.0
EVICT_ROWS = 64  # oldest messages that make room at a time, so that a full spool does not write a gap for each second

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL,
    keep INTEGER NOT NULL, content_type TEXT NOT NULL, content BLOB NOT NULL, raw BLOB NOT NULL, hash BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS message_place ON message(lane, boot, seq);
CREATE INDEX IF NOT EXISTS message_order ON message(lane, id);
"""
_COLUMNS = "lane, boot, seq, keep, content_type, content, raw, hash"


class Spool:
    """A `device_sim.agent.Store` in a file. bytes_max: of messages; more evicts."""

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._state_boot, self._state_seq = -1, 0
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the mode of this one
            path.chmod(0o600)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")  # contents lie here in clear: what is forgotten is zeroed
            self._db.executescript(_SCHEMA)
            self._bytes = int(self._db.execute("SELECT COALESCE(SUM(LENGTH(raw)), 0) FROM message").fetchone()[0])
        except (sqlite3.Error, OSError) as error:
            raise Unavailable("spool_unreadable", f"cannot open the spool {path}: {error}") from error

    def counter(self, name: str) -> int:
        """The value of a counter, 0 at first."""
        rows = self._query("SELECT value FROM counter WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else 0

    def highest_boot(self) -> int:
        """The highest boot of any message; 0 without one."""
        return int(self._query("SELECT COALESCE(MAX(boot), 0) FROM message")[0][0])

    def put(self, **counters: int) -> None:
        """Set counters, durable when this returns."""

        def job() -> None:
            for name, value in counters.items():
                self._set(name, value)

        self._transact(job)

    def begin(self, boot: int) -> None:
        """Use a new boot number: sequence numbers begin at 0."""
        self.put(boot=boot, seq_0=0, seq_1=0, seq_2=0)

    def take_state(self, *, boot: int) -> int:
        """The next sequence number of lane 2, which is not spooled. Not durable: a state is never sent again."""
        if boot != self._state_boot:
            self._state_boot, self._state_seq = boot, 0
        seq = self._state_seq
        self._state_seq += 1
        return seq

    def add(self, lane: int, seal: Callable[[int, int], Entry], *, counted: bool = True) -> Entry:
        """Give the next position of a lane to `seal(boot, seq)` and keep what it makes. Raises Unavailable: spool_failing."""

        def job() -> Entry:
            boot, seq = self.counter("boot"), self.counter(f"seq_{lane}")
            entry = seal(boot, seq)
            self._insert(entry)
            self._set(f"seq_{lane}", seq + 1)
            if counted:
                self._set("sealed", self.counter("sealed") + 1)
            return entry

        entry = self._transact(job)
        self._bytes += len(entry.raw)
        return entry

    def oldest(self, lane: int, limit: int, skip: frozenset[Place]) -> list[Entry]:
        """The first messages of a lane that are not in `skip`."""
        rows = self._query(
            f"SELECT {_COLUMNS} FROM message INDEXED BY message_order WHERE lane = ? ORDER BY id LIMIT ?",
            (lane, limit + len(skip)),
        )
        found = [_entry(row) for row in rows]
        return [entry for entry in found if entry.place not in skip][:limit]

    def covered(self, lane: int, boot: int, ranges: Sequence[Range]) -> list[Entry]:
        """The kept messages within ranges of sequence numbers, ascending."""
        found: list[Entry] = []
        for first, last in ranges:
            rows = self._query(
                f"SELECT {_COLUMNS} FROM message WHERE lane = ? AND boot = ? AND seq BETWEEN ? AND ? ORDER BY seq",
                (lane, boot, first, last),
            )
            found += [_entry(row) for row in rows]
        return found

    def drop(self, entries: Sequence[Entry], *, counter: str) -> None:
        """Forget messages, counted under receipted, refused or evicted."""

        def job() -> None:
            self._db.executemany(
                "DELETE FROM message WHERE lane = ? AND boot = ? AND seq = ?", [entry.place for entry in entries]
            )
            self._set(counter, self.counter(counter) + len(entries))

        self._transact(job)
        self._bytes -= sum(len(entry.raw) for entry in entries)

    def replace(self, old: Entry, seal: Callable[[int, int], Entry]) -> Entry:
        """Give a message a new position, in place of its old one."""

        def job() -> Entry:
            boot, seq = self.counter("boot"), self.counter(f"seq_{old.lane}")
            entry = seal(boot, seq)
            self._db.execute("DELETE FROM message WHERE lane = ? AND boot = ? AND seq = ?", old.place)
            self._insert(entry)
            self._set(f"seq_{old.lane}", seq + 1)
            return entry

        entry = self._transact(job)
        self._bytes += len(entry.raw) - len(old.raw)
        return entry

    def all(self) -> list[Entry]:
        """Every kept message, in the order in which they were sealed."""
        return [_entry(row) for row in self._query(f"SELECT {_COLUMNS} FROM message ORDER BY id")]

    def count(self) -> int:
        """How many messages are kept."""
        return int(self._query("SELECT COUNT(*) FROM message")[0][0])

    def surplus(self) -> list[Entry]:
        """The readings that must make room, oldest first; empty while there is room."""
        if self._bytes <= self._bytes_max:
            return []
        rows = self._query(f"SELECT {_COLUMNS} FROM message WHERE keep = 0 ORDER BY id LIMIT ?", (EVICT_ROWS,))
        return [_entry(row) for row in rows]

    def wipe(self) -> None:
        """Forget every message, in the file and in the journal; counters stay."""
        self._transact(lambda: self._db.execute("DELETE FROM message"))
        self._bytes = 0
        busy = self._query("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        if busy:
            raise Unavailable("spool_busy", "another program reads the spool: its journal still holds readings")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _query(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable("spool_failing", f"the spool cannot be read: {error}") from error

    def _insert(self, entry: Entry) -> None:
        self._db.execute(
            f"INSERT INTO message ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*entry.place, int(entry.keep), entry.content_type, entry.content, entry.raw, entry.hash),
        )

    def _set(self, name: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO counter (name, value) VALUES (?, ?)", (name, value))

    def _transact(self, job: Callable[[], _T]) -> _T:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                found = job()
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise Unavailable("spool_failing", f"the spool cannot be written: {error}") from error
        return found


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(
        lane=row[0],
        boot=row[1],
        seq=row[2],
        keep=bool(row[3]),
        content_type=row[4],
        content=row[5],
        raw=row[6],
        hash=row[7],
    )
