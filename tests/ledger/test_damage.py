"""Damage to a ledger's files, byte by byte: it is found, or nothing that anybody reads has changed."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from ledger.log import fsck
from ledger.log.store import FILE, TABLES
from protocol.errors import VigilError
from tests.support import ledgers

WAL = FILE + "-wal"
PAGE_STEP = 53  # bytes between two that are changed in the quick run: no divisor of a page's size


def content(folder: Path) -> list[list[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as db:
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]


def changed_bytes_are_found(folder: Path, step: int) -> None:
    with ledgers.checked(folder) as engine:
        engine.register(ledgers.admission(folder))
        engine.register(ledgers.anchor(1))
        engine.register(ledgers.enrolment(2))
    whole, before = (folder / FILE).read_bytes(), content(folder)
    found = 0
    for place in range(0, len(whole), step):
        (folder / FILE).write_bytes(whole[:place] + bytes((whole[place] ^ 1 << place % 8,)) + whole[place + 1 :])
        try:
            fsck.check(folder)
        except VigilError:
            found += 1
        else:
            assert content(folder) == before, place
    assert found
    (folder / FILE).write_bytes(whole)
    fsck.check(folder)


def test_a_changed_byte_of_the_file_is_found_or_changes_nothing(tmp_path: Path) -> None:
    changed_bytes_are_found(tmp_path, PAGE_STEP)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_changed_byte_of_the_file_is_found_or_changes_nothing(tmp_path: Path) -> None:
    changed_bytes_are_found(tmp_path, 1)


def logged(folder: Path) -> tuple[Path, list[bytes], bytes]:
    """(a copy of a ledger's folder from the middle of its work, its statements, the part of it not yet in the file)."""
    with ledgers.checked(folder / "at-work") as engine:
        engine.register(ledgers.admission(folder / "at-work"))
        for n in range(3):
            engine.register(ledgers.anchor(n))
        raws = [engine.statement(index) for index in range(engine.size)]
        shutil.copytree(folder / "at-work", folder / "copy")
    (folder / "copy" / (FILE + "-shm")).unlink(missing_ok=True)
    return folder / "copy", raws, (folder / "copy" / WAL).read_bytes()


def taken_up(folder: Path, raws: list[bytes]) -> int:
    """How many entries are there after a start: the first ones, whole, to which the others can be added again."""
    with ledgers.checked(folder) as engine:
        size = engine.size
        assert [engine.statement(index) for index in range(size)] == raws[:size]
        for index in range(1, len(raws)):
            found = engine.register(raws[index])
            assert (found.index, found.new) == (index, index >= size)
    return size


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_write_that_power_cut_short_leaves_a_whole_ledger_of_before_or_after(tmp_path: Path, damage: str) -> None:
    """Some first part of what was written last is there, or the rest of it is not what was written."""
    copy, raws, wal = logged(tmp_path)
    sizes = set()
    for place in range(0, len(wal), 1999):
        folder = tmp_path / str(place)
        shutil.copytree(copy, folder)
        rest = b"" if damage == "cut" else bytes((wal[place] ^ 4,)) + wal[place + 1 :]
        (folder / WAL).write_bytes(wal[:place] + rest)
        sizes.add(taken_up(folder, raws))
        shutil.rmtree(folder)
    assert sizes >= {2, 3, 4, 5}
