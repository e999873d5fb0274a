"""The commit: nothing is said before it, all of it or nothing is written, and what a stop at each of its steps leaves behind."""

import asyncio
import hashlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import committing
from gateway.store import alerts as alert_rows
from gateway.store.writer import KEYS_FILE, RECORD_FILE, VALUES_FILE
from protocol import delivery, documents, message, topics
from tests.support.gatehouse import House, broken, enrol, open_house, until
from tests.support.sealed import Sender, alarm, reading

ROOT = Path(__file__).parents[2]
ADA = Sender("Ada")
HOOK = "http://127.0.0.1:9/"  # nobody listens, and nobody sends: these tests run no duties
READINGS = [ADA.seal(reading(number), number) for number in range(3)]
PRESSED = ADA.seal(alarm())


@pytest.fixture(autouse=True)
def paired(tmp_path: Path) -> None:
    """One enrolled device."""
    enrol(tmp_path, ADA)


def send_all(house: House, told: Callable[[int], None] | None = None) -> list[list[int]]:
    """Everything that Ada's device has; the answers."""
    answers = [house.send(ADA, raw, answer=told) for raw in READINGS]
    return [*answers, house.send(ADA, PRESSED, lane=topics.ALARM, answer=told)]


def test_whoever_is_told_anything_finds_it_on_the_disk(tmp_path: Path) -> None:
    async def live() -> None:
        async with open_house(tmp_path, webhook_first=HOOK) as house:
            found: list[tuple[str, int, int]] = []

            def look(word: str) -> None:
                (count,) = house.record("SELECT (SELECT COUNT(*) FROM message), (SELECT COUNT(*) FROM outbox)")
                found.append((word, *count))

            publish = house.listener.publish
            house.listener.publish = lambda *told: look("receipt") or publish(*told)  # type: ignore[method-assign, func-returns-value]
            show = house.gateway.hub.publish_alert
            house.gateway.hub.publish_alert = lambda alert: look("alert") or show(alert)  # type: ignore[method-assign, func-returns-value]
            house.send(ADA, PRESSED, lane=topics.ALARM, answer=lambda _: look("answer"))
            await until(lambda: len(found) == 3)
            assert sorted(found) == [("alert", 1, 1), ("answer", 1, 1), ("receipt", 1, 1)]

    asyncio.run(live())


def test_a_transaction_that_fails_at_its_end_wrote_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "RETRY_AFTER_S", 0.02)
    failures, write = 3, alert_rows.write

    def fail(conn: sqlite3.Connection, changes: alert_rows.Changes) -> None:
        nonlocal failures
        write(conn, changes)
        failures -= 1
        if failures >= 0:
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(alert_rows, "write", fail)

    async def live() -> None:
        async with open_house(tmp_path, webhook_first=HOOK) as house:
            (answer,) = [house.send(ADA, PRESSED, lane=topics.ALARM)]
            await until(lambda: failures == 1)
            assert answer == []
            assert house.record("SELECT COUNT(*) FROM message") == house.record("SELECT COUNT(*) FROM alert") == [(0,)]
            await until(lambda: answer == [0])
            assert house.record("SELECT COUNT(*) FROM message") == [(1,)]
            assert house.record(
                "SELECT COUNT(*) FROM outbox WHERE alert IN (SELECT id FROM alert WHERE kind = 'button')"
            ) == [(1,)]

    asyncio.run(live())


def test_readings_for_curves_that_cannot_be_kept_cost_nothing_else(tmp_path: Path) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            with broken(house.gateway.writer, VALUES_FILE):
                assert await house.sent(ADA, READINGS[0]) == 0
                await until(lambda: house.gateway.metrics.store_errors._value.get() == 1)
                assert house.gateway.committing.healthy and await house.sent(ADA, READINGS[1]) == 0

    asyncio.run(live())


def test_a_gateway_that_stops_writes_what_waits_behind_the_commit_under_way(tmp_path: Path) -> None:
    async def live() -> None:
        gate = threading.Event()
        async with open_house(tmp_path) as house:
            house.gateway.writer.submit(lambda _: gate.wait(10))  # so that the commit is under way until we say
            first = house.send(ADA, PRESSED, lane=topics.ALARM)
            assert not house.gateway.committing.free
            others = [house.send(ADA, raw) for raw in READINGS]
            await asyncio.sleep(0)
            assert first == [] and house.gateway.intake.waiting == 0
            gate.set()
        assert [first, *others] == [[0]] * 4

    asyncio.run(live())


# -- a stop at each step ---------------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway import committing
from gateway.committing import Committing
from gateway.store import anchors, messages, values
from tests.gateway import test_committing as here
from tests.support.gatehouse import open_house

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(call):
    def wrapped(*arguments, **named):
        call(*arguments, **named)
        die()
    return wrapped

state, point = Path(sys.argv[1]), sys.argv[2]
owner, name, when = {
    "before anything is written": (committing, "write", "before"),
    "with the messages written": (messages, "insert", "after"),
    "with everything written": (committing, "write", "after"),
    "after the commit": (Committing, "_done", "before"),
    "before the receipts": (Committing, "_receipt", "before"),
    "before the page": (Committing, "_show", "before"),
    "before the readings for curves": (Committing, "_keep_values", "before"),
    "with the readings for curves written": (values, "keep", "after"),
    "with the batch written": (anchors, "keep", "after"),
    "after the batch": (anchors, "backlog", "before"),
}[point]
setattr(owner, name, die if when == "before" else after(getattr(owner, name)))

async def live():
    async with open_house(state, webhook_first=here.HOOK) as house:
        publish = house.listener.publish
        house.listener.publish = lambda *told: print("receipt", flush=True) or publish(*told)
        here.send_all(house, lambda reason: print("answer", reason, flush=True))
        await here.until(lambda: not house.gateway.directory.members[here.ADA.device].pending)
        await house.gateway.duties._batch()

asyncio.run(live())
"""


@dataclass(frozen=True, slots=True)
class Point:
    """A step of ARCHITECTURE.md, "A reading's way". durable: whether its commit is; answered, receipted: what the device
    heard; anchored: whether a batch is durable."""

    name: str
    durable: bool
    answered: bool = False
    receipted: bool = False
    anchored: bool = False


POINTS = (
    Point("before anything is written", durable=False),
    Point("with the messages written", durable=False),
    Point("with everything written", durable=False),
    Point("after the commit", durable=True),
    Point("before the receipts", durable=True, answered=True),
    Point("before the page", durable=True, answered=True, receipted=True),
    Point("before the readings for curves", durable=True, answered=True, receipted=True),
    Point("with the readings for curves written", durable=True, answered=True, receipted=True),
    Point("with the batch written", durable=True, answered=True, receipted=True),
    Point("after the batch", durable=True, answered=True, receipted=True, anchored=True),
)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_stop_loses_and_doubles_nothing(tmp_path: Path, point: Point) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), point.name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert ("answer 0" in killed.stdout, "receipt" in killed.stdout) == (point.answered, point.receipted)
    for file in (RECORD_FILE, VALUES_FILE, KEYS_FILE):
        connection = sqlite3.connect(tmp_path / file)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    asyncio.run(back(tmp_path, point))


async def back(state: Path, point: Point) -> None:
    """The restart, the device that sends again what it holds, and the next batches."""
    async with open_house(state, webhook_first=HOOK) as house:
        found_by_restart(house, point)
        answers = send_all(house)
        await until(lambda: all(answers))
        assert answers == [[0]] * 4
        receipted(house)
        stored_once(house)
        for _ in range(2):
            await house.gateway.duties._batch()
        anchored_once(house, batches=2 + point.anchored)


def found_by_restart(house: House, point: Point) -> None:
    """Either the alarm's whole commit is there or nothing of it; memory agrees with the disk."""
    rows = house.record("SELECT lane, boot, seq FROM message ORDER BY lane, seq")
    assert ((0, 1, 0) in rows) == point.durable
    ranges = house.gateway.directory.members[ADA.device].covered
    known = [(lane, boot, seq) for (lane, boot), r in ranges.items() for a, b in r.ranges() for seq in range(a, b + 1)]
    assert sorted(known) == rows
    assert house.record("SELECT COUNT(*), COUNT(acknowledged_ms) FROM alert") == [(int(point.durable), 0)]
    assert house.record("SELECT COUNT(*) FROM outbox WHERE state = 'waiting'") == [(int(point.durable),)]
    assert [alert.kind for alert in house.gateway.ward.book.open()] == ["button"] * point.durable
    assert house.record("SELECT COUNT(*) FROM anchor") == [(int(point.anchored),)]


def receipted(house: House) -> None:
    """The device may delete everything: each digest is that of its own messages."""
    covered: dict[int, set[int]] = {topics.ALARM: set(), topics.DATA: set()}
    for lane, raws in ((topics.ALARM, [PRESSED]), (topics.DATA, READINGS)):
        for told in house.receipts(ADA, lane):
            seqs = [seq for first, last in told.ranges for seq in range(first, last + 1)]
            assert told.digest == delivery.digest(message.message_hash(raws[seq]) for seq in seqs)
            covered[lane] |= set(seqs)
    assert covered == {topics.ALARM: {0}, topics.DATA: {0, 1, 2}}


def stored_once(house: House) -> None:
    """Every message, alarm and notice once."""
    assert sorted(row[0] for row in house.record("SELECT raw FROM message")) == sorted([*READINGS, PRESSED])
    assert house.record("SELECT kind, state, lane, boot, seq FROM alert") == [("button", "raised", 0, 1, 0)]
    assert house.record("SELECT event FROM alert_event") == [("raise",)]
    ((name,),) = house.record("SELECT id FROM alert")
    assert house.record("SELECT id, state FROM outbox") == [(f"{name}-1-first", "waiting")]


def anchored_once(house: House, *, batches: int) -> None:
    """Every message is in one batch, the batches are a chain, and each is queued for the ledger."""
    rows = house.record("SELECT n, first, last, size, document, digest FROM anchor ORDER BY n")
    assert [row[0] for row in rows] == list(range(batches))
    ids = [row[0] for row in house.record("SELECT id FROM message ORDER BY id")]
    placed = [each for _, first, last, _, _, _ in rows for each in ids if first <= each <= last]
    assert sorted(placed) == ids and sum(row[3] for row in rows) == len(ids)
    prev = documents.FIRST_PREV
    for _, _, _, _, document, digest in rows:
        assert documents.Anchor.decode(document).prev == prev
        prev = hashlib.sha256(document).digest()
        assert house.record("SELECT kind, done_ms FROM submission WHERE digest = ?", digest) == [("anchor", None)]
