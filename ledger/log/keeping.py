"""What the database holds beside the log: snapshots of the state, marks of work under way, the newest checkpoint that witnesses
cosigned; and how old parts leave it."""

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator

from protocol.merkle import Node

TABLES = ("snapshot", "snapshot_state", "mark", "cosigned")
SCHEMA = """
CREATE TABLE IF NOT EXISTS snapshot(size INTEGER PRIMARY KEY, signed BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS snapshot_state(
    size INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(size, key)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mark(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cosigned(one INTEGER PRIMARY KEY CHECK(one = 1), note TEXT NOT NULL) STRICT;
"""
GONE = b""  # the body of a statement that was taken away: no statement is empty
ROWS_MAX = 10_000  # rows looked at in one transaction that takes some away: the file beside the database stays small

MINIMUM = "minimum"  # mark: the minimum index in force; what is below may have gone
SWEEP = "sweep"  # mark: what is below the minimum is still being taken away
SCRUB = "scrub"  # mark: a body has left its row, and its bytes may still lie somewhere in the files
CLOSED = "closed"  # mark: the epoch that follows this one; nothing is added here any more


class Keeping:
    """The tables of one connection; every change is made within its `writing` unless it says so."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def mark(self, name: str) -> int:
        """The value of a mark, 0 for none."""
        row = self._db.execute("SELECT value FROM mark WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def set_mark(self, name: str, value: int) -> None:
        """Set a mark; 0 takes it away."""
        if value:
            self._db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, value))
        else:
            self._db.execute("DELETE FROM mark WHERE name = ?", (name,))

    def cosigned(self) -> str:
        """The newest checkpoint that enough witnesses cosigned; empty before the first."""
        row = self._db.execute("SELECT note FROM cosigned WHERE one = 1").fetchone()
        return "" if row is None else str(row[0])

    def put_cosigned(self, note: str) -> None:
        """Keep `note` in its place."""
        self._db.execute("INSERT OR REPLACE INTO cosigned VALUES (1, ?)", (note,))

    def state(self, prefix: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Keys and values of the state in order, those whose key begins with `prefix`."""
        rows = self._db.execute("SELECT key, value FROM state WHERE key >= ? ORDER BY key", (prefix,))
        found = []
        for key, value in rows:
            if not key.startswith(prefix):
                break
            found.append((key, value))
        return found

    def put_state(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin with this state."""
        self._db.executemany("INSERT INTO state VALUES (?, ?)", items)

    def put_snapshot(self, size: int, signed: bytes, state: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep a snapshot of the state at `size`, in place of one that is there."""
        self.drop_snapshot(size)
        self._db.execute("INSERT INTO snapshot VALUES (?, ?)", (size, signed))
        self._db.executemany("INSERT INTO snapshot_state VALUES (?, ?, ?)", ((size, *item) for item in state))

    def drop_snapshot(self, size: int) -> None:
        """Forget the snapshot at `size`."""
        self._db.execute("DELETE FROM snapshot WHERE size = ?", (size,))
        self._db.execute("DELETE FROM snapshot_state WHERE size = ?", (size,))

    def snapshots(self) -> list[tuple[int, bytes]]:
        """(size, signed snapshot) of all that are kept, in order."""
        return self._db.execute("SELECT size, signed FROM snapshot ORDER BY size").fetchall()

    def snapshot_state(self, size: int) -> list[tuple[bytes, bytes]]:
        """Keys and values of the snapshot at `size`, in order."""
        return self._db.execute("SELECT key, value FROM snapshot_state WHERE size = ? ORDER BY key", (size,)).fetchall()

    def places(self, contracts: Collection[str], below: int) -> list[int]:
        """The indexes below `below` whose statements one of `contracts` judged, in order."""
        rows = self._db.execute("SELECT place, contract FROM entry WHERE place < ? ORDER BY place", (below,))
        return [place for place, contract in rows if contract in contracts]

    def first_since(self, at_ms: int, below: int) -> int:
        """The index of the first entry below `below` that is not older than `at_ms`, else `below`: times never go back."""
        low, high = 0, below
        while low < high:
            middle = (low + high) // 2
            row = self._db.execute("SELECT at_ms FROM entry WHERE place = ?", (middle,)).fetchone()
            if row is None or row[0] >= at_ms:
                high = middle
            else:
                low = middle + 1
        return low

    def erase(self, place: int) -> None:
        """Take the body at `place` away; its bytes are overwritten where it lay (scrub does the rest)."""
        self._db.execute("UPDATE entry SET statement = ? WHERE place = ?", (GONE, place))
        self.set_mark(SCRUB, 1)

    def bodies(self, first: int, end: int, kept: Collection[str]) -> list[int]:
        """The indexes from `first` on and below `end` of statements that are there, judged by none of the contracts `kept`."""
        rows = self._db.execute(
            "SELECT place, contract FROM entry WHERE place >= ? AND place < ? AND statement != ?", (first, end, GONE)
        )
        return [place for place, contract in rows if contract not in kept]

    def take_bodies(self, places: Iterable[int]) -> None:
        """Take these bodies away."""
        self._db.executemany("UPDATE entry SET statement = ? WHERE place = ?", ((GONE, place) for place in places))

    def nodes(self, level: int, first: int, end: int) -> list[int]:
        """At most ROWS_MAX places of the nodes that are there at `level`, from `first` on and below `end`, in order."""
        rows = self._db.execute(
            "SELECT place FROM node WHERE level = ? AND place >= ? AND place < ? ORDER BY place LIMIT ?",
            (level, first, end, ROWS_MAX),
        )
        return [row[0] for row in rows]

    def take_nodes(self, nodes: Iterable[Node]) -> None:
        """Take these nodes away."""
        self._db.executemany("DELETE FROM node WHERE level = ? AND place = ?", nodes)

    @contextlib.contextmanager
    def overwriting(self) -> Iterator[None]:
        """Within the block, the room of what is deleted is cleared; outside any transaction."""
        before = int(self._db.execute("PRAGMA secure_delete").fetchone()[0])
        self._db.execute("PRAGMA secure_delete = 1").fetchone()
        try:
            yield
        finally:
            self._db.execute(f"PRAGMA secure_delete = {before:d}").fetchone()

    def scrub(self) -> bool:
        """Write the database anew and empty the file beside it, outside any transaction. Whether nobody was in the way.

        What left its row stays in no page, free page or log of the files then: the new file has rows only (VACUUM), and the
        write-ahead log ends empty (TRUNCATE).
        Raises sqlite3.Error: no room for the second copy, most likely.
        """
        self._db.execute("VACUUM")
        return not self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
