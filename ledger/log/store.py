"""The ledger's database: entries, nodes of the tree, state, head and newest checkpoint, in one SQLite file.

WAL with synchronous=FULL: what `commit` has returned from is on disk. A `Store` belongs to one thread at a time.
"""

import contextlib
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import contracts, database
from ledger.log import keeping
from ledger.log.keeping import Keeping
from protocol import merkle
from protocol.errors import Unavailable
from protocol.merkle import Node

FILE = "ledger.db"
APPLICATION_ID = 0x5647_4C02  # "VGL" and 2: the file is a ledger of this layout, whose second entry is its policy
BUSY_MS = 5000  # how long a reader waits for a writer of another process
KNOWN_MAX = 65_536  # values of the state that are remembered; beyond it all are forgotten, and read again
WAL_PAGES = (
    8000  # of new pages beside the file, 32 MB, before they are moved into it: pages of the index come again in them
)
CACHE_KIB = 65_536  # of the database that the writer keeps in memory: the index over entries is written all over
TABLES = ("entry", "node", "state", "head", "checkpoint")

_SCHEMA = """
CREATE TABLE entry(
    place INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, statement BLOB NOT NULL,
    contract TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE node(
    level INTEGER NOT NULL, place INTEGER NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY(level, place)) STRICT, WITHOUT ROWID;
CREATE TABLE state(key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE head(
    one INTEGER PRIMARY KEY CHECK(one = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
    chain BLOB NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE checkpoint(one INTEGER PRIMARY KEY CHECK(one = 1), note TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log stands. root: of the tree of `size`; chain: head of the state; at_ms: of the newest entry."""

    size: int
    root: bytes
    chain: bytes
    at_ms: int


EMPTY = Head(size=0, root=merkle.EMPTY_ROOT, chain=contracts.FIRST_HEAD, at_ms=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored statement. digest: its SHA-256, the entry of the tree; contract: that judged it; at_ms: when."""

    place: int
    digest: bytes
    statement: bytes
    contract: str
    at_ms: int


class StateView(Mapping[bytes, bytes]):
    """The state as a mapping, changes of an open transaction included.

    remember: keep what was read, for who alone changes the state.
    """

    def __init__(self, db: sqlite3.Connection, *, remember: bool) -> None:
        self._db, self._remember = db, remember
        self._known: dict[bytes, bytes | None] = {}
        self.changed: dict[bytes, bytes] = {}
        """What the open transaction changed and has not yet written."""

    def __getitem__(self, key: bytes) -> bytes:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: bytes, default: object = None) -> bytes | None:  # type: ignore[override]
        """The value at a key, or None."""
        found = self.changed.get(key)
        if found is not None:
            return found
        if key in self._known:
            return self._known[key]
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        value = None if row is None else bytes(row[0])
        if self._remember:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = value
        return value

    def under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The keys that begin with `prefix`, which ends in "/", with their values, in order."""
        ends = prefix[:-1] + bytes((prefix[-1] + 1,))
        found = self._db.execute("SELECT key, value FROM state WHERE key >= ? AND key < ? ORDER BY key", (prefix, ends))
        return ((bytes(row[0]), bytes(row[1])) for row in found)

    def settle(self, *, kept: bool) -> None:
        """The transaction is over. kept: it is on disk."""
        if kept and self._remember:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known.update(self.changed)
        self.changed.clear()

    def __iter__(self) -> Iterator[bytes]:
        if self.changed:
            raise AssertionError("the whole state is read when all of it is written")
        return (row[0] for row in self._db.execute("SELECT key FROM state ORDER BY key"))

    def __len__(self) -> int:
        count: int = self._db.execute("SELECT count(*) FROM state").fetchone()[0]
        return count


class Store:
    """One connection to the database. alone: nobody else writes it while this one is open."""

    def __init__(self, db: sqlite3.Connection, *, alone: bool = False) -> None:
        self._db = db
        self.state = StateView(db, remember=alone)
        self.keeping = Keeping(db)

    @classmethod
    def open(cls, folder: Path, name: str = FILE) -> Self:
        """The database in `folder`, made when it is not there. Raises Unavailable: state_unreadable."""
        db = _connected(folder / name)
        with _refusing(db):
            database.make_durable(db)
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
            db.execute("BEGIN IMMEDIATE")
            database.lay_out(db, _SCHEMA, application_id=APPLICATION_ID)
            for one in keeping.SCHEMA.split(";\n"):
                db.execute(one)  # a ledger of an earlier release has none of these yet
            db.execute("COMMIT")
            _check(db)
        return cls(db, alone=True)

    @classmethod
    def reader(cls, folder: Path, name: str = FILE) -> Self:
        """A connection that cannot write, to a database that is there. Raises Unavailable: state_unreadable."""
        db = _connected(folder / name, mode="ro")
        with _refusing(db):
            _check(db)
            found = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not found.issuperset(keeping.TABLES):
                raise Unavailable("state_unreadable", f"{name} is of an earlier release: start the ledger once")
        return cls(db)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it is on disk when the block ends, or none of it. Raises sqlite3.Error."""
        self._db.execute("BEGIN IMMEDIATE")
        kept = False
        try:
            yield
            self._db.execute("COMMIT")
            kept = True
        finally:
            self.state.settle(kept=kept)
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read in the block is of one moment."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def head(self) -> Head:
        """Where the log stands; `EMPTY` before genesis."""
        row = self._db.execute("SELECT size, root, chain, at_ms FROM head WHERE one = 1").fetchone()
        return EMPTY if row is None else Head(size=row[0], root=row[1], chain=row[2], at_ms=row[3])

    def note(self) -> str:
        """The newest checkpoint as a note; empty before genesis."""
        row = self._db.execute("SELECT note FROM checkpoint WHERE one = 1").fetchone()
        return "" if row is None else str(row[0])

    def place_of(self, digest: bytes) -> int | None:
        """The index of the entry with this digest."""
        row = self._db.execute("SELECT place FROM entry WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])

    def statement(self, place: int) -> bytes | None:
        """The statement at an index."""
        row = self._db.execute("SELECT statement FROM entry WHERE place = ?", (place,)).fetchone()
        return None if row is None else bytes(row[0])

    def entry(self, place: int) -> Entry | None:
        """All that is stored of the entry at an index."""
        row = self._db.execute(
            "SELECT place, digest, statement, contract, at_ms FROM entry WHERE place = ?", (place,)
        ).fetchone()
        return None if row is None else _entry(row)

    def digests(self, first: int, count: int) -> list[bytes]:
        """The entries from index `first`, at most `count`, in order."""
        rows = self._db.execute(
            "SELECT digest FROM entry WHERE place >= ? AND place < ? ORDER BY place", (first, first + count)
        )
        return [row[0] for row in rows]

    def node(self, level: int, place: int) -> bytes:
        """The hash of a complete subtree. Raises Unavailable: node_missing, when the file is damaged."""
        row = self._db.execute("SELECT hash FROM node WHERE level = ? AND place = ?", (level, place)).fetchone()
        if row is None:
            raise Unavailable("node_missing", "the database lacks a node of the tree: run fsck")
        value: bytes = row[0]
        return value

    def row_of_nodes(self, level: int, first: int, count: int) -> list[bytes]:
        """The hashes at `level` from index `first`, at most `count`, in order."""
        rows = self._db.execute(
            "SELECT hash FROM node WHERE level = ? AND place >= ? AND place < ? ORDER BY place",
            (level, first, first + count),
        )
        return [row[0] for row in rows]

    def add(self, entries: Sequence[Entry], nodes: Mapping[Node, bytes]) -> None:
        """Write entries, the nodes that they complete and what they changed in the state; inside `writing`."""
        self._db.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
            [(one.place, one.digest, one.statement, one.contract, one.at_ms) for one in entries],
        )
        self._db.executemany("INSERT INTO node VALUES (?, ?, ?)", [(*node, value) for node, value in nodes.items()])
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", list(self.state.changed.items()))

    def publish(self, head: Head, note: str) -> None:
        """Write where the log stands and the checkpoint that says so; inside `writing`."""
        values = (head.size, head.root, head.chain, head.at_ms)
        self._db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?, ?)", values)
        self._db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", (note,))

    def every_entry(self) -> Iterator[Entry]:
        """All entries in order."""
        for row in self._db.execute("SELECT place, digest, statement, contract, at_ms FROM entry ORDER BY place"):
            yield _entry(row)

    def by_contract(self, name: str) -> Iterator[Entry]:
        """The entries that one contract judged, in order."""
        sql = "SELECT place, digest, statement, contract, at_ms FROM entry WHERE contract = ? ORDER BY place"
        for row in self._db.execute(sql, (name,)):
            yield _entry(row)

    def of_contract(self, name: str, first: int, end: int) -> Generator[Entry]:
        """The entries that one contract judged, from index `first` on and below `end`, in order, but for what was taken away."""
        sql = (
            "SELECT place, digest, statement, contract, at_ms FROM entry "
            "WHERE place >= ? AND place < ? AND contract = ? AND statement != ? ORDER BY place"
        )
        for row in self._db.execute(sql, (first, end, name, keeping.GONE)):
            yield _entry(row)

    def counts(self) -> Mapping[str, int]:
        """How many rows each table has."""
        return {name: self._db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}

    def damage(self) -> str:
        """What SQLite itself finds wrong with the file; empty for nothing."""
        found = str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        return "" if found == "ok" else found

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def _entry(row: tuple[int, bytes, bytes, str, int]) -> Entry:
    return Entry(place=row[0], digest=row[1], statement=row[2], contract=row[3], at_ms=row[4])


def _connected(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    except sqlite3.Error as error:
        raise Unavailable("state_unreadable", f"cannot open the ledger's database: {error}") from error


def _check(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise Unavailable("state_unreadable", f"{FILE} is not a ledger's database of this layout")


@contextlib.contextmanager
def _refusing(db: sqlite3.Connection) -> Iterator[None]:
    """Close `db` when it turns out to be unreadable, and say so."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the second: names of tables in a file that is damaged
        db.close()
        raise Unavailable("state_unreadable", f"cannot read the ledger's database: {error}") from error
    except Unavailable:
        db.close()
        raise
