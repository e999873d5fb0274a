"""The check of a ledger: it is quiet about a whole one, and finds a changed byte in every column of every table."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.log import fsck
from ledger.log.engine import Engine
from ledger.log.store import FILE, TABLES
from protocol import merkle, notes, statement
from protocol.errors import Unavailable, VerificationFailed
from tests.support import ledgers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of nine entries, at rest."""
    clock = ledgers.Clock()
    with ledgers.checked(tmp_path, clock) as engine:
        engine.register(ledgers.admission(tmp_path))
        for n in range(6):
            clock.at_ms += 1000
            engine.register(ledgers.anchor(n))
        engine.register(ledgers.enrolment(1))
    return tmp_path


@contextlib.contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database as whoever holds the disk can write it."""
    with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
        yield db
        db.commit()


def found(folder: Path) -> str:
    """The code that the check ends with."""
    with pytest.raises(VerificationFailed) as failed:
        fsck.check(folder)
    return failed.value.code


def test_a_whole_ledger_is_whole_and_its_head_is_told(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    whole = fsck.check(folder, lambda done, size: seen.append((done, size)))
    assert (whole.size, whole.origin) == (10, ledgers.ORIGIN)
    assert seen == [(10, 10)]
    with database(folder) as db:
        entries = [row[0] for row in db.execute("SELECT digest FROM entry ORDER BY place")]
    assert whole.root == merkle.tree_root([merkle.leaf_hash(entry) for entry in entries])


def test_a_ledger_at_work_can_be_checked(folder: Path) -> None:
    with ledgers.checked(folder) as engine:
        engine.register(ledgers.anchor(100))
        assert fsck.check(folder).size == 11
        engine.register(ledgers.anchor(101))


CHANGES = {
    "a statement": (
        "UPDATE entry SET statement = CAST(substr(statement, 1, length(statement) - 1) || X'00' AS BLOB) WHERE place = 3",
        "entry_digest",
    ),
    "an entry": ("UPDATE entry SET digest = zeroblob(32) WHERE place = 3", "entry_digest"),
    "an entry's contract": ("UPDATE entry SET contract = 'devices' WHERE place = 3", "entry_contract"),
    "an entry's time": ("UPDATE entry SET at_ms = at_ms + 1 WHERE place = 3", "head_wrong"),
    "an entry's time, backwards": ("UPDATE entry SET at_ms = 0 WHERE place = 3", "entry_time"),
    "an entry's place": ("UPDATE entry SET place = 99 WHERE place = 3", "entry_missing"),
    "a missing entry": ("DELETE FROM entry WHERE place = 3", "entry_missing"),
    "a missing end": ("DELETE FROM entry WHERE place = 9", "node_extra"),
    "all entries missing": ("DELETE FROM entry", "genesis_missing"),
    "a missing genesis": ("DELETE FROM entry WHERE place = 0", "entry_missing"),
    "a leaf": ("UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND place = 3", "node_wrong"),
    "an inner node": ("UPDATE node SET hash = zeroblob(32) WHERE level = 3", "node_wrong"),
    "a missing node": ("DELETE FROM node WHERE level = 2 AND place = 1", "node_wrong"),
    "a node too many": ("INSERT INTO node VALUES (0, 77, zeroblob(32))", "node_extra"),
    "a role": ("UPDATE state SET value = zeroblob(32) WHERE key = CAST('root' AS BLOB)", "state_wrong"),
    "a missing value": ("DELETE FROM state WHERE key = CAST('log-keys' AS BLOB)", "state_wrong"),
    "a value too many": ("INSERT INTO state VALUES (CAST('x' AS BLOB), X'00')", "state_wrong"),
    "a renamed value": ("UPDATE state SET key = CAST('x' AS BLOB) WHERE key = CAST('log-keys' AS BLOB)", "state_wrong"),
    "the head's size": ("UPDATE head SET size = 8", "head_wrong"),
    "the head's root": ("UPDATE head SET root = zeroblob(32)", "head_wrong"),
    "the head's chain": ("UPDATE head SET chain = zeroblob(32)", "head_wrong"),
    "the head's time": ("UPDATE head SET at_ms = at_ms + 1", "head_wrong"),
    "the head's number": ("PRAGMA ignore_check_constraints = 1; UPDATE head SET one = 5", "head_wrong"),
    "the checkpoint's number": ("PRAGMA ignore_check_constraints = 1; UPDATE checkpoint SET one = 5", "checkpoint_bad"),
    "a second head": (
        "PRAGMA ignore_check_constraints = 1; INSERT INTO head SELECT 2, size, root, chain, at_ms FROM head",
        "head_wrong",
    ),
    "a second checkpoint": (
        "PRAGMA ignore_check_constraints = 1; INSERT INTO checkpoint SELECT 2, note FROM checkpoint",
        "checkpoint_bad",
    ),
    "a missing head": ("DELETE FROM head", "head_wrong"),
    "the checkpoint's size": (
        "UPDATE checkpoint SET note = replace(note, char(10) || '10' || char(10), char(10) || '11' || char(10))",
        "checkpoint_bad",
    ),
    "the checkpoint's name": (
        f"UPDATE checkpoint SET note = replace(note, '{ledgers.ORIGIN}', 'log.example/other')",
        "checkpoint_bad",
    ),
    "the checkpoint cut short": ("UPDATE checkpoint SET note = substr(note, 1, 40)", "checkpoint_bad"),
    "a missing checkpoint": ("DELETE FROM checkpoint", "checkpoint_bad"),
}


@pytest.mark.parametrize(("change", "code"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_found(folder: Path, change: str, code: str) -> None:
    with database(folder) as db:
        *before, last = change.split("; ")
        for one in before:
            db.execute(one)
        assert db.execute(last).rowcount > 0
    assert found(folder) == code


def test_one_changed_bit_is_found_wherever_it_is(folder: Path) -> None:
    with database(folder) as db:
        columns = [(table, row[1]) for table in TABLES for row in db.execute(f"PRAGMA table_info({table})")]
        cells = [
            (table, column, keys, value)
            for table, column in columns
            for keys, value in _cells(db, table, column)
            if isinstance(value, bytes | str)
        ]
    assert {table for table, *_ in cells} == set(TABLES)
    for table, column, where, value in cells:
        data = value.encode() if isinstance(value, str) else value
        place = len(data) // 2
        changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        _set(folder, table, column, where, changed.decode() if isinstance(value, str) else changed)
        assert found(folder), (table, column, where)
        _set(folder, table, column, (where[0], changed if where[0] == column else where[1]), value)
    fsck.check(folder)


def _cells(db: sqlite3.Connection, table: str, column: str) -> list[tuple[tuple[str, object], object]]:
    """Each value in a column with a column and value that finds it."""
    name = {"entry": "place", "node": "hash", "state": "key", "head": "one", "checkpoint": "one"}[table]
    rows = db.execute(f"SELECT {name}, {column} FROM {table} LIMIT 4").fetchall()
    return [((name, row[0]), row[1]) for row in rows]


def _set(folder: Path, table: str, column: str, where: tuple[str, object], value: object) -> None:
    with database(folder) as db:
        assert db.execute(f"UPDATE {table} SET {column} = ? WHERE {where[0]} = ?", (value, where[1])).rowcount == 1


def test_a_checkpoint_by_another_key_is_found(folder: Path) -> None:
    with database(folder) as db:
        note = notes.parse(db.execute("SELECT note FROM checkpoint").fetchone()[0])
        line = notes.sign(note.text, name=ledgers.ORIGIN, key=ledgers.STRANGER)
        db.execute("UPDATE checkpoint SET note = ?", (notes.Note(text=note.text, lines=(line,)).whole(),))
    assert found(folder) == "checkpoint_bad"


def test_an_older_checkpoint_of_the_same_log_is_found(folder: Path) -> None:
    with database(folder) as db:
        older = db.execute("SELECT note FROM checkpoint").fetchone()[0]
    with ledgers.checked(folder) as engine:
        engine.register(ledgers.anchor(50))
    with database(folder) as db:
        db.execute("UPDATE checkpoint SET note = ?", (older,))
    assert found(folder) == "checkpoint_wrong"


def test_a_statement_that_the_rules_refuse_is_found_even_in_a_tree_that_fits(folder: Path) -> None:
    with database(folder) as db:
        size = db.execute("SELECT count(*) FROM entry").fetchone()[0]
        raw = ledgers.anchor(1, ledgers.STRANGER)
        row = (size, statement.entry(raw), raw, "anchors", ledgers.NOW_MS * 2)
        db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", row)
    assert found(folder) == "entry_refused"


def test_a_damaged_file_is_found(folder: Path) -> None:
    with database(folder) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entry'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    with (folder / FILE).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    assert found(folder) == "file_damaged"


def test_a_folder_without_a_ledger_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as failed:
        fsck.check(tmp_path)
    assert failed.value.code == "state_unreadable"
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsck, "PROGRESS_EVERY", 2)
    seen: list[tuple[int, int]] = []
    with contextlib.closing(Engine.open(tmp_path, now_ms=ledgers.Clock(), origin=ledgers.ORIGIN)) as engine:
        engine.register(ledgers.admission(tmp_path))
        for n in range(3):
            engine.register(ledgers.anchor(n))
    fsck.check(tmp_path, lambda done, size: seen.append((done, size)))
    assert seen == [(2, 6), (4, 6), (6, 6), (6, 6)]
