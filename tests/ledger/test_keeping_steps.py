"""A ledger that is killed at each durable step of a redaction, a pruning and a roll-over: nothing acknowledged is lost, what was
ordered is done, and never do two logs grow."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.log import custody, epochs
from ledger.log.engine import Engine
from ledger.log.keeping import CLOSED
from ledger.log.store import Store
from protocol import receipt, statement
from protocol.errors import ConfigError, NotFound
from tests.support import ledgers, letters
from tests.support.killing import killed_at

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the ledger is killed in a process of its own"),
]

STEPS_MAX = 400  # far above what the work takes; reaching it would mean that it never ends
BODY = b"what nobody may read any more " * 100
PLACE, MINIMUM = 8, 9


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of twelve entries, one of them with the body."""
    folder = tmp_path_factory.mktemp("grown") / "ledger"
    with letters.checked(folder) as engine:
        engine.register(ledgers.admission(folder))
        while engine.size < 12:
            engine.register(letters.letter(BODY if engine.size == PLACE else b"letter %d" % engine.size))
    return folder


def stopped(grown: Path, work: Callable[[Path], None], copies: Path) -> Iterator[tuple[Path, bool]]:
    """The ledger as each stop leaves it, and whether there was one: the last time there is none."""
    for step in range(STEPS_MAX):
        folder = copies / str(step)
        shutil.copytree(grown, folder)
        dead = killed_at(step, lambda here=folder: work(here))  # type: ignore[misc]
        letters.check(folder)  # a stop leaves a whole ledger, before anybody takes it up
        yield folder, dead
        if not dead:
            assert step > 20, "a kill at so few steps shows nothing"
            return
        shutil.rmtree(folder)
    pytest.fail("the work never ends")


def what_was_there(grown: Path) -> list[tuple[bytes, bytes]]:
    with contextlib.closing(letters.opened(grown)) as engine:
        return [(engine.statement(index), engine.receipt(index)) for index in range(engine.size)]


def check_acknowledged(engine: Engine, kept: list[tuple[bytes, bytes]], *, gone: set[int]) -> None:
    """Every receipt that was ever given still proves its statement, which is there unless it is `gone`, and is not taken twice."""
    size = engine.size
    for index, (raw, _) in enumerate(kept):
        shelf, place = engine.locate(f"1.{index}")
        if index in gone:
            with pytest.raises(NotFound):
                shelf.statement(place)
            continue
        assert shelf.statement(place) == raw
        assert receipt.read(shelf.receipt(place)).index == index
        again = engine.register(raw)
        assert (again.entry_id, again.new) == (f"1.{index}", False)
    assert engine.size == size


def test_a_stop_at_any_step_of_a_redaction(grown: Path, tmp_path: Path) -> None:
    kept, seen = what_was_there(grown), set()

    def work(folder: Path) -> None:
        with contextlib.closing(letters.opened(folder)) as engine:
            custody.redact(engine, letters.root(folder), index=PLACE, reason="court-order")

    for folder, dead in stopped(grown, work, tmp_path):
        with letters.checked(folder) as engine:
            ordered = engine.size > 12
            seen.add((ordered, dead))
            check_acknowledged(engine, kept, gone={PLACE} if ordered else set())
            assert not ordered or not traces(folder)
            if not ordered:
                custody.redact(engine, letters.root(folder), index=PLACE, reason="court-order")
            assert engine.register(letters.letter(b"later")).index == 13
        assert not traces(folder)
    assert seen == {(False, True), (True, True), (True, False)}


def traces(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if BODY[:30] in path.read_bytes()]


def test_a_stop_at_any_step_of_a_pruning(grown: Path, tmp_path: Path) -> None:
    kept, seen = what_was_there(grown), set()
    below = set(range(3, MINIMUM))

    def work(folder: Path) -> None:
        with contextlib.closing(letters.opened(folder)) as engine:
            custody.prune(engine, letters.root(folder), minimum=MINIMUM)

    for folder, dead in stopped(grown, work, tmp_path):
        with letters.checked(folder) as engine:
            ordered = engine.size > 12
            seen.add((ordered, dead))
            assert engine.minimum == (MINIMUM if ordered else 0)
            check_acknowledged(engine, kept, gone=below if ordered else set())
            if not ordered:
                custody.prune(engine, letters.root(folder), minimum=MINIMUM)
            assert engine.register(letters.letter(b"later")).index == 13
            check_acknowledged(engine, kept, gone=below)
    assert seen == {(False, True), (True, True), (True, False)}


def test_a_stop_at_any_step_of_a_roll_over(grown: Path, tmp_path: Path) -> None:
    kept, seen = what_was_there(grown), set()

    def work(folder: Path) -> None:
        with contextlib.closing(letters.opened(folder)) as engine:
            roll(folder, engine)

    for folder, dead in stopped(grown, work, tmp_path):
        with letters.checked(folder) as engine:
            seen.add((engine.epoch, dead))
            assert not list(folder.glob(f"*{epochs.FRESH}*")), "an unfinished epoch is removed"
            check_acknowledged(engine, kept, gone=set())
            found = engine.register(letters.letter(b"after the stop"))
            assert found.new and found.entry_id == ("1.12" if engine.epoch == 1 else "2.2")
            if engine.epoch == 1:
                roll(folder, engine)
        with letters.checked(folder) as engine:
            assert engine.epoch == 2
            check_acknowledged(engine, kept, gone=set())
            assert not engine.register(letters.letter(b"after the stop")).new
            first = [statement.parse(engine.statement(index)).content_type for index in range(2)]
            assert first == ["application/vigil-genesis+cbor", "application/vigil-policy+cbor"]
        with contextlib.closing(Store.reader(folder)) as store:
            assert store.keeping.mark(CLOSED) == 2, "the old log does not grow any more"
    assert seen == {(1, True), (2, True), (2, False)}


def roll(folder: Path, engine: Engine) -> None:
    origin = epochs.next_origin(engine.origin)
    custody.roll_over(engine, folder, letters.root(folder), origin=origin, note=engine.signed(), now_ms=ledgers.Clock())


def test_a_second_writer_is_refused_whatever_the_epoch(grown: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(grown, folder)
    for _ in range(2):
        with letters.checked(folder) as engine:
            with pytest.raises(ConfigError) as refused:
                letters.opened(folder)
            assert refused.value.code == "state_in_use"
            roll(folder, engine)
