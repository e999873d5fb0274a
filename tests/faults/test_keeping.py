"""Redaction, pruning and roll-over as commands that are killed at any moment, and on a disk without room."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.log import custody, epochs
from ledger.log.engine import Engine
from protocol import receipt, statement
from protocol.errors import NotFound, Unavailable
from tests.support import ledgers, letters
from tests.support.disks import Ballast, small_disk

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
ROUNDS = 12  # kills of each command, between its start and a little after it would have ended
SIZE = 2000
SECRET = b"what nobody may read any more " * 60


def enrolments(folder: Path, count: int) -> None:
    """A ledger of `count` enrolments, of a type that may be redacted."""
    with ledgers.checked(folder) as engine:
        engine.register(ledgers.admission(folder))
        engine.register_many([ledgers.enrolment(n) for n in range(count)])


def command(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    whole = [sys.executable, "-m", "vigil", "ledger", *words, "--state", str(folder), "--yes", "--json"]
    return subprocess.Popen(whole, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    "words",
    [("redact", "1.50", "--reason", "court-order"), ("prune", "--before", "1500"), ("roll-over",)],
    ids=["redact", "prune", "roll-over"],
)
@pytest.mark.timeout(600)
def test_a_command_that_is_killed_leaves_a_whole_ledger_and_nothing_acknowledged_lost(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}: run again with SEED={seed}")
    rng = random.Random(seed)
    enrolments(tmp_path / "grown", SIZE - 3)
    with contextlib.closing(ledgers.opened(tmp_path / "grown")) as engine:
        kept = {index: engine.statement(index) for index in (*range(0, 100, 7), 50, 1499, *range(1500, SIZE, 50))}
    shutil.copytree(tmp_path / "grown", tmp_path / "timed")
    before_s = time.monotonic()
    done = command(tmp_path / "timed", *words)
    assert done.communicate()[0] and done.returncode == 0
    takes_s = time.monotonic() - before_s
    for round_ in range(ROUNDS):
        folder = tmp_path / str(round_)
        shutil.copytree(tmp_path / "grown", folder)
        process = command(folder, *words)
        time.sleep(rng.uniform(0.3, 1.05) * takes_s)
        process.kill()
        process.communicate()
        with ledgers.checked(folder) as engine:
            for index, raw in kept.items():
                shelf, place = engine.locate(f"1.{index}")
                assert shelf.index_of(statement.entry(raw)) == index
                if index < shelf.minimum and index not in (0, 1, 2):
                    with pytest.raises(NotFound, match="entry_pruned"):
                        shelf.statement(place)
                    continue
                assert receipt.read(shelf.receipt(place)).index == index
                if index == 50 and words[0] == "redact" and engine.size > SIZE:
                    with pytest.raises(NotFound, match="statement_redacted"):
                        shelf.statement(place)
                else:
                    assert shelf.statement(place) == raw
            assert engine.register(ledgers.enrolment(99_999)).new
        shutil.rmtree(folder)


Deed = Callable[[Path, Engine], object]
DEEDS: dict[str, Deed] = {
    "redact": lambda folder, engine: custody.redact(engine, letters.root(folder), index=10, reason="court-order"),
    "prune": lambda folder, engine: custody.prune(engine, letters.root(folder), minimum=200),
    "roll-over": lambda folder, engine: custody.roll_over(
        engine,
        folder,
        letters.root(folder),
        origin=epochs.next_origin(engine.origin),
        note=engine.signed(),
        now_ms=ledgers.Clock(),
    ),
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
@pytest.mark.parametrize("pages", [0, 4, 20, 60])
def test_on_a_full_disk_it_is_refused_or_goes_on_later_and_nothing_is_lost(
    tmp_path: Path, deed: Deed, pages: int
) -> None:
    """pages: how much room is left, so that it ends at another step each time."""
    with small_disk(tmp_path / "disk", kib=8192) as folder:
        with letters.checked(folder) as engine:
            engine.register(ledgers.admission(folder))
            engine.register_many([letters.letter(SECRET if n == 10 else b"letter %d" % n) for n in range(3, 301)])
            raws = [engine.statement(index) for index in range(engine.size)]
        ballast = Ballast(folder)
        with contextlib.closing(letters.opened(folder)) as engine:
            room = folder / "room"
            room.write_bytes(bytes(4096 * pages))
            ballast.fill()
            room.unlink()
            with contextlib.suppress(Unavailable):
                deed(folder, engine)
        ballast.throw_out()
        with letters.checked(folder) as engine:
            first = engine.shelf(1)
            for index, raw in enumerate(raws):
                if index >= first.minimum and index != 10:
                    assert first.statement(index) == raw
                assert first.index_of(statement.entry(raw)) == index
            if engine.epoch == 1 and engine.size == len(raws):
                deed(folder, engine)
        with letters.checked(folder) as engine:
            assert engine.register(letters.letter(b"on it goes")).new
