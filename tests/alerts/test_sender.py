"""The outbox is drained: again and again until a channel took a notice, and never without a word when it does not."""

import asyncio
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.alerts import sender as sender_module
from gateway.alerts.book import Book, Changes, Notice
from gateway.alerts.escalation import Policy
from gateway.alerts.sender import BACKOFF_MAX_S, BACKOFF_MIN_S, GIVEN_UP_MS, GIVEN_UP_TRIES, TROUBLE_AFTER, Sender
from gateway.alerts.webhook import Outcome, Webhook
from gateway.detect.finding import finding
from gateway.store import alerts
from gateway.store.writer import RECORD_FILE, Job, Writer
from protocol.errors import Unavailable
from protocol.keys import SigningKey
from tests.support.receiver import Answer, check, receiving

KEY = SigningKey.from_seed(bytes(range(32)))
ROOT = Path(__file__).parents[2]
START_MS = 1_790_000_000_000


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Scripted:
    """A channel that answers what it is told to, and remembers what it was given."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)
        self.keys: list[str] = []

    async def send(self, body: bytes, *, idempotency_key: str, now_s: int) -> tuple[Outcome, str]:
        self.keys.append(idempotency_key)
        return (self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]), "said"


class Desk:
    """A sender and what it said."""

    def __init__(self, writer: Writer, **channels: Scripted | Webhook) -> None:
        self.clock, self.failed, self.trouble = Clock(), Counter[str](), list[tuple[str, bool]]()
        self.works = asyncio.Event()
        self.sender = Sender(
            writer=writer,
            channels=channels,
            now_ms=self.clock,
            rng=random.Random(1),
            failed=lambda name: self.failed.update([name]),
            trouble=self._heard,
        )

    def _heard(self, channel: str, failing: bool) -> None:
        self.trouble.append((channel, failing))
        if not failing:
            self.works.set()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """The store of a gateway."""
    made = Writer(tmp_path)
    yield made
    made.close()


def put(writer: Writer, *ids: str, channel: str = "first", made_ms: int = START_MS) -> None:
    """Notices into the outbox."""
    notices = tuple(Notice(id=name, alert="a", channel=channel, body=b"{}", made_ms=made_ms) for name in ids)
    writer.submit(lambda conn: alerts.write(conn, Changes(notices=notices))).result()


def row(writer: Writer, name: str) -> tuple[str, int, int, str | None]:
    """(state, tries, next_ms, code) of a notice."""

    def read(conn: sqlite3.Connection) -> tuple[str, int, int, str | None]:
        found = conn.execute("SELECT state, tries, next_ms, code FROM outbox WHERE id = ?", (name,)).fetchone()
        return (found[0], found[1], found[2], found[3])

    return writer.submit(read).result()


def test_a_notice_that_was_taken_is_sent_once(writer: Writer) -> None:
    put(writer, "n")
    channel = Scripted("sent")
    desk = Desk(writer, first=channel)
    assert asyncio.run(desk.sender.turn("first")) == 1
    assert asyncio.run(desk.sender.turn("first")) == 0
    assert channel.keys == ["n"]
    assert row(writer, "n")[:2] == ("sent", 1)


def test_a_notice_that_was_not_taken_is_tried_again_under_the_same_key_and_not_at_once(writer: Writer) -> None:
    put(writer, "n")
    channel = Scripted("later", "later", "sent")
    desk = Desk(writer, first=channel)
    for _ in range(3):
        asyncio.run(desk.sender.turn("first"))
        assert asyncio.run(desk.sender.turn("first")) == 0
        desk.clock.now_ms += round(BACKOFF_MAX_S * 1000)
    assert channel.keys == ["n", "n", "n"]
    assert row(writer, "n")[:2] == ("sent", 3)
    assert desk.failed == {"first": 2}


def test_waits_between_tries_grow_within_their_bounds_and_differ(writer: Writer) -> None:
    put(writer, *(f"n{i}" for i in range(10)))
    desk = Desk(writer, first=Scripted("later"))
    highest = []
    for round_ in range(7):
        asyncio.run(desk.sender.turn("first"))
        waits = [row(writer, f"n{i}")[2] - desk.clock.now_ms for i in range(10)]
        assert len(set(waits)) > 5
        bound_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** (round_ + 1))
        assert all(BACKOFF_MIN_S * 1000 <= wait <= bound_s * 1000 for wait in waits)
        highest.append(max(waits))
        desk.clock.now_ms += round(BACKOFF_MAX_S * 1000)
    assert highest[0] < highest[3] < BACKOFF_MAX_S * 1000


def test_a_notice_is_given_up_after_its_time_and_its_tries(writer: Writer) -> None:
    put(writer, "n")
    desk = Desk(writer, first=Scripted("later"))
    while row(writer, "n")[0] == "waiting":
        asyncio.run(desk.sender.turn("first"))
        desk.clock.now_ms += round(BACKOFF_MAX_S * 1000)
    state, tries, _, code = row(writer, "n")
    assert (state, code) == ("dead", "said")
    assert tries * BACKOFF_MAX_S * 1000 > GIVEN_UP_MS


def test_a_gateway_that_was_off_for_long_still_tries_what_waited(writer: Writer) -> None:
    put(writer, "n", made_ms=START_MS - 10 * GIVEN_UP_MS)
    desk = Desk(writer, first=Scripted("later"))
    for tries in range(1, GIVEN_UP_TRIES + 1):
        asyncio.run(desk.sender.turn("first"))
        assert row(writer, "n")[:2] == ("waiting" if tries < GIVEN_UP_TRIES else "dead", tries)
        desk.clock.now_ms += round(BACKOFF_MAX_S * 1000)


def test_a_channel_that_fails_is_told_once_and_told_again_when_it_works(writer: Writer) -> None:
    put(writer, "n")
    desk = Desk(writer, first=Scripted(*["later"] * (TROUBLE_AFTER + 2), "sent"))
    for tries in range(1, TROUBLE_AFTER + 3):
        asyncio.run(desk.sender.turn("first"))
        assert desk.trouble == ([] if tries < TROUBLE_AFTER else [("first", True)])
        desk.clock.now_ms += round(BACKOFF_MAX_S * 1000)
    asyncio.run(desk.sender.turn("first"))
    assert desk.trouble == [("first", True), ("first", False)]


def test_a_notice_that_will_never_be_taken_is_an_alarm_at_once(writer: Writer) -> None:
    put(writer, "n")
    desk = Desk(writer, first=Scripted("dead"))
    asyncio.run(desk.sender.turn("first"))
    assert desk.trouble == [("first", True)]
    assert row(writer, "n")[0] == "dead"


def test_the_first_success_after_a_start_says_that_the_channel_works(writer: Writer) -> None:
    put(writer, "n", "m")
    desk = Desk(writer, first=Scripted("sent"))
    asyncio.run(desk.sender.turn("first"))
    assert desk.trouble == [("first", False)]


def test_what_waits_for_a_channel_that_the_settings_lost_is_an_alarm_and_not_silence(writer: Writer) -> None:
    put(writer, "n", channel="gone")
    desk = Desk(writer, first=Scripted("sent"))
    asyncio.run(desk.sender.bury())
    assert row(writer, "n") == ("dead", 0, START_MS, "no_such_channel")
    assert desk.trouble == [("gone", True), ("gone", False)]
    asyncio.run(desk.sender.bury())
    assert len(desk.trouble) == 2


def test_a_new_alarm_does_not_queue_behind_what_has_failed(writer: Writer) -> None:
    put(writer, *(f"old{i:02}" for i in range(40)))
    desk = Desk(writer, first=Scripted("later"))
    for _ in range(3):
        asyncio.run(desk.sender.turn("first"))
    desk.clock.now_ms += round(BACKOFF_MAX_S * 1000)
    put(writer, "new", made_ms=desk.clock.now_ms)
    asyncio.run(desk.sender.turn("first"))
    assert row(writer, "new")[1] == 1


def test_a_sender_that_is_stopped_midway_sends_again_under_the_same_key(writer: Writer) -> None:
    put(writer, "n")

    async def stopped() -> list[str]:
        async with receiving(lambda n: "hang" if n == 0 else (204, {})) as receiver:
            hook = Webhook(url=receiver.url, key=KEY)
            turn = asyncio.create_task(Desk(writer, first=hook).sender.turn("first"))
            await receiver.arrived.wait()
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)
            assert row(writer, "n")[0] == "waiting"
            await Desk(writer, first=hook).sender.turn("first")
            await hook.close()
            return [taken.key for taken in receiver.taken]

    assert asyncio.run(stopped()) == ["n", "n"]
    assert row(writer, "n")[0] == "sent"


KILLED = """
import asyncio, random, sys, time
from pathlib import Path
from gateway.alerts.sender import Sender
from gateway.alerts.webhook import Webhook
from gateway.store.writer import Writer
from protocol.keys import SigningKey

async def main():
    hook = Webhook(url=sys.argv[2], key=SigningKey.from_seed(bytes(range(32))))
    await Sender(writer=Writer(Path(sys.argv[1])), channels={"first": hook}, now_ms=lambda: time.time_ns() // 1_000_000,
        rng=random.Random(), failed=lambda _: None, trouble=lambda *_: None).run()

asyncio.run(main())
"""


@pytest.mark.faults
def test_a_process_that_is_killed_while_it_sends_sends_again_when_it_is_back(writer: Writer, tmp_path: Path) -> None:
    put(writer, "n")

    async def killed_twice() -> list[str]:
        async with receiving(lambda n: "hang" if n < 2 else (204, {})) as receiver:
            for _ in range(3):
                receiver.arrived.clear()
                arguments = ("-c", KILLED, str(tmp_path), receiver.url)
                process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT)
                try:
                    async with asyncio.timeout(20):
                        await receiver.arrived.wait()
                    if len(receiver.taken) < 3:
                        assert row(writer, "n")[0] == "waiting"
                    else:
                        await asyncio.to_thread(until_sent)
                finally:
                    process.kill()
                    await process.wait()
            return [taken.key for taken in receiver.taken]

    def until_sent() -> None:
        ends_s = time.monotonic() + 10
        while row(writer, "n")[0] != "sent":
            assert time.monotonic() < ends_s
            time.sleep(0.01)

    assert asyncio.run(killed_twice()) == ["n", "n", "n"]


class Failing(Writer):
    """A store whose next jobs fail, with nothing of them written."""

    failures = 0

    def submit(self, job: Job[Any], *, file: str = RECORD_FILE) -> "Future[Any]":
        if not self.failures:
            return super().submit(job, file=file)
        self.failures -= 1
        failed = Future[Any]()
        failed.set_exception(Unavailable("store_failing", "the disk is full"))
        return failed


@pytest.mark.parametrize(("outcome", "state"), [("sent", "sent"), ("later", "waiting"), ("dead", "dead")])
def test_what_became_of_a_notice_is_written_however_long_storage_fails_and_it_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, state: str
) -> None:
    monkeypatch.setattr(sender_module, "STORE_RETRY_S", 0.01)
    store = Failing(tmp_path)
    put(store, "n")

    class Breaking(Scripted):
        async def send(self, body: bytes, *, idempotency_key: str, now_s: int) -> tuple[Outcome, str]:
            store.failures = 5
            return await super().send(body, idempotency_key=idempotency_key, now_s=now_s)

    channel = Breaking(outcome)
    asyncio.run(Desk(store, first=channel).sender.turn("first"))
    assert store.failures == 0
    assert channel.keys == ["n"]
    assert row(store, "n")[:2] == (state, 1)
    store.close()


def test_the_sender_outlives_a_store_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    store = Failing(tmp_path)
    put(store, "n")
    store.failures = 7

    async def meet() -> None:
        desk = Desk(store, first=Scripted("sent"))
        async with draining(desk), asyncio.timeout(3):
            await desk.works.wait()

    asyncio.run(meet())
    assert row(store, "n")[0] == "sent"
    store.close()


@asynccontextmanager
async def draining(desk: Desk) -> AsyncIterator[None]:
    """The sender's task while the block runs."""
    task = asyncio.create_task(desk.sender.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits short enough for a test on the real clock."""
    monkeypatch.setattr(sender_module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(sender_module, "BACKOFF_MIN_S", 0.0)
    monkeypatch.setattr(sender_module, "BACKOFF_MAX_S", 0.0)


def test_a_channel_that_hangs_does_not_hold_up_the_other(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    put(writer, *(f"slow{i}" for i in range(50)))
    put(writer, "n", channel="second")

    async def meet() -> None:
        async with receiving(lambda _: "hang") as bad, receiving() as good:
            first, second = Webhook(url=bad.url, key=KEY), Webhook(url=good.url, key=KEY)
            async with draining(Desk(writer, first=first, second=second)), asyncio.timeout(3):
                await good.arrived.wait()
            await first.close()
            await second.close()

    asyncio.run(meet())


def unreliable(n: int) -> Answer:
    """Fails in every way that a receiver can, then works."""
    answers: list[Answer] = [(500, {}), "drop", (503, {"retry-after": "1"}), (429, {}), "drop", (500, {})]
    return answers[n] if n < len(answers) else (204, {})


def test_an_alarm_reaches_a_receiver_that_fails_often_and_once_it_worked_only_once(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    book = Book(Policy(first=("first",)))
    found = finding("fall", "raised", onset_ms=START_MS, at_ms=START_MS, detail={})
    changes = book.consider("d" * 16, found, now_ms=START_MS, simulated=False)
    writer.submit(lambda conn: alerts.write(conn, changes)).result()
    (notice,) = changes.notices

    async def meet() -> None:
        async with receiving(unreliable) as receiver:
            hook = Webhook(url=receiver.url, key=KEY)
            desk = Desk(writer, first=hook)
            async with draining(desk), asyncio.timeout(10):
                await desk.works.wait()
                await asyncio.sleep(0.1)
            await hook.close()
            assert [taken.key for taken in receiver.taken] == [notice.id] * 7
            for taken in receiver.taken:
                check(taken, authority=receiver.authority, public_key=KEY.public.x)
            assert desk.trouble == [("first", True), ("first", False)]

    asyncio.run(meet())
    assert row(writer, notice.id)[:2] == ("sent", 7)


Chosen = Callable[[int], Answer]


@pytest.mark.parametrize("answer", [lambda _: (302, {"location": "/"}), lambda _: (410, {})], ids=["redirect", "gone"])
def test_a_receiver_that_will_never_take_a_notice_is_asked_once(writer: Writer, answer: Chosen) -> None:
    put(writer, "n")

    async def meet() -> None:
        async with receiving(answer) as receiver:
            hook = Webhook(url=receiver.url, key=KEY)
            desk = Desk(writer, first=hook)
            await desk.sender.turn("first")
            await hook.close()
            assert len(receiver.taken) == 1
            assert desk.trouble == [("first", True)]

    asyncio.run(meet())
    assert row(writer, "n")[0] == "dead"
