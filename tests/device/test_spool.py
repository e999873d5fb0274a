"""The spool: durable before it is sent, bounded, readable by its owner only, and clear about a disk that fails."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from device_sim.agent import Agent
from device_sim.spool import EVICT_ROWS, Spool
from protocol import topics
from protocol.errors import Unavailable
from tests.support import devices

LARGE = 1 << 30
Open = Callable[..., Spool]


@pytest.fixture
def spool_at(tmp_path: Path) -> Iterator[Open]:
    opened: list[Spool] = []

    def open_(*, bytes_max: int = LARGE) -> Spool:
        opened.append(Spool(tmp_path / "spool.db", bytes_max=bytes_max))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def agent_on(spool: Spool) -> Agent:
    return Agent(devices.LINK, spool, rng=Random(1))


def fill(agent: Agent, count: int) -> None:
    for number in range(count):
        agent.read(devices.reading(number), clock=devices.clock(), simulated=True)


def test_a_sealed_message_is_there_when_the_spool_is_opened_again(spool_at: Open) -> None:
    spool = spool_at()
    fill(agent_on(spool), 3)
    before = spool.all()
    spool.close()
    assert spool_at().all() == before


def test_every_start_takes_a_boot_number_that_no_start_took(spool_at: Open) -> None:
    boots = []
    for _ in range(3):
        spool = spool_at()
        boots.append(agent_on(spool).boot)
        spool.close()
    assert boots == [1, 2, 3]


def test_a_boot_number_is_on_the_disk_before_a_message_bears_it(spool_at: Open, tmp_path: Path) -> None:
    agent = agent_on(spool_at())
    other = sqlite3.connect(tmp_path / "spool.db")
    assert other.execute("SELECT value FROM counter WHERE name = 'boot'").fetchone() == (agent.boot,)
    other.close()


def test_the_disk_is_waited_for_at_every_commit(spool_at: Open) -> None:
    spool = spool_at()
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_lost_boot_counter_does_not_go_below_the_messages_that_are_kept(spool_at: Open) -> None:
    spool = spool_at()
    agent_on(spool)
    agent = agent_on(spool)
    fill(agent, 1)
    spool._db.execute("DELETE FROM counter")
    assert agent_on(spool).boot == agent.boot + 1


def test_a_kill_between_seal_and_send_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    script = (
        "import os, signal, sys; from pathlib import Path; from tests.device import test_spool as t\n"
        "spool = t.Spool(Path(sys.argv[1]), bytes_max=t.LARGE); t.fill(t.agent_on(spool), 5)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, check=False, timeout=30)
    assert ended.returncode == -9
    spool = Spool(path, bytes_max=LARGE)
    agent = agent_on(spool)
    assert agent.boot == 2
    assert [entry.place for entry in agent.due(topics.DATA, now_ms=0)] == [(1, 1, seq) for seq in range(5)]
    assert spool.counter("sealed") == 5
    spool.close()


def test_only_the_owner_reads_the_spool_and_its_journal(spool_at: Open, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        fill(agent_on(spool_at()), 1)
    finally:
        os.umask(mask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"spool.db": 0o600, "spool.db-wal": 0o600, "spool.db-shm": 0o600}


def test_a_wiped_spool_holds_no_reading_in_any_of_its_files(spool_at: Open, tmp_path: Path) -> None:
    spool = spool_at()
    fill(agent_on(spool), 50)
    inside = [entry.content[:40] for entry in spool.all()]
    spool.wipe()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(piece in left for piece in inside)
    assert spool.count() == 0
    assert spool.counter("sealed") == 50


def test_a_wipe_says_so_when_another_program_holds_the_journal(spool_at: Open, tmp_path: Path) -> None:
    spool = spool_at()
    fill(agent_on(spool), 1)
    spool._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT COUNT(*) FROM message").fetchone()
    with pytest.raises(Unavailable, match="spool_busy"):
        spool.wipe()
    other.close()
    spool.wipe()


def test_a_full_spool_evicts_the_oldest_readings_and_never_an_alarm(spool_at: Open) -> None:
    spool = spool_at(bytes_max=60_000)
    agent = agent_on(spool)
    agent.read(devices.reading(0, alarm=True), clock=devices.clock(), simulated=True)
    fill(agent, 400)
    kept = spool.all()
    assert sum(len(entry.raw) for entry in kept) <= 60_000
    assert [entry.lane for entry in kept].count(topics.ALARM) == 1
    assert spool.counter("evicted") >= EVICT_ROWS
    gone = spool.counter("evicted")
    newest = [entry.seq for entry in kept if entry.lane == topics.DATA and not entry.keep]
    assert newest == sorted(newest)
    assert newest[0] >= gone


def test_the_bytes_of_a_spool_are_counted_anew_when_it_is_opened(spool_at: Open) -> None:
    spool = spool_at()
    fill(agent_on(spool), 20)
    spool.close()
    assert spool_at(bytes_max=1000).surplus() != []


def test_messages_that_are_sealed_anew_are_counted_as_they_are(spool_at: Open) -> None:
    spool = spool_at()
    agent = agent_on(spool)
    fill(agent, 3)
    conflicting = [(entry, "conflict") for entry in spool.all()]
    agent.on_receipt(devices.receipt([], refused=conflicting, floor=1 << 30))  # a longer number: longer messages
    assert spool._bytes == sum(len(entry.raw) for entry in spool.all())


def test_an_order_of_many_messages_is_found_without_sorting_them(spool_at: Open) -> None:
    spool = spool_at()
    plan = spool._db.execute(
        "EXPLAIN QUERY PLAN SELECT raw FROM message INDEXED BY message_order WHERE lane = 1 ORDER BY id LIMIT 40"
    ).fetchall()
    assert "TEMP B-TREE" not in str(plan)


def test_a_failed_write_changes_nothing_and_says_spool_failing(spool_at: Open) -> None:
    spool = spool_at()
    agent = agent_on(spool)
    fill(agent, 1)
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")  # what a full disk looks like
    with pytest.raises(Unavailable, match="spool_failing"):
        fill(agent, 100)
    kept = [entry.seq for entry in spool.all()]
    assert kept == list(range(len(kept)))
    assert spool.counter("sealed") == len(kept)
    assert spool.counter("seq_1") == len(kept)


def test_a_spool_that_cannot_be_read_says_so_by_its_code(spool_at: Open) -> None:
    spool = spool_at()
    spool.close()
    for ask in (spool.count, spool.all, spool.highest_boot, lambda: spool.oldest(1, 1, frozenset())):
        with pytest.raises(Unavailable, match="spool_failing"):
            ask()


def test_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(Unavailable, match="spool_unreadable"):
        Spool(path, bytes_max=LARGE)
