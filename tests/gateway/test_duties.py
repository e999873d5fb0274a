"""What a gateway does by the clock and on request: technical alarms once and over restarts, batches on schedule, people's answers."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from gateway import commands, duties
from gateway.alerts import sender
from gateway.duties import LEDGER_BEHIND_MS, REFUSED_AGAIN_MS
from gateway.store import anchors
from gateway.ward import Ward
from protocol import documents, topics
from protocol.errors import NotFound, Unavailable, VigilError
from tests.support import ledgers
from tests.support.gatehouse import House, broken, enrol, open_house, until
from tests.support.receiver import Answer, receiving
from tests.support.sealed import Sender, alarm
from tests.support.signals import START_MS

ADA, BO = Sender("Ada"), Sender("Bo")


class Clock:
    """The gateway's, which a test moves."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def __call__(self) -> int:
        return self.at_ms


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock, two enrolled devices, and duties that do not wait long."""
    enrol(tmp_path, ADA, BO)
    monkeypatch.setattr(duties, "TICK_S", 0.02)
    monkeypatch.setattr(sender, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(sender, "BACKOFF_MIN_S", 0.0)
    monkeypatch.setattr(sender, "BACKOFF_MAX_S", 0.0)
    return Clock()


def alerts(house: House) -> list[tuple[str, str, bool]]:
    """(kind, state, whether it has ended) of every alert, oldest first."""
    found = house.record("SELECT kind, state, cleared_ms FROM alert ORDER BY raised_ms")
    return [(kind, state, cleared_ms is not None) for kind, state, cleared_ms in found]


async def written(house: House) -> None:
    """Everything that waits for a commit is durable."""
    house.gateway.intake.soon()
    await until(lambda: house.gateway.committing.free and not house.gateway.intake.batch)


async def pressed(house: House, number: int = 0) -> str:
    """Ada presses her button; the alarm's id."""
    raw = ADA.seal(alarm(number, at_ms=house.now_ms()), number)
    assert await house.sent(ADA, raw, lane=topics.ALARM) == 0
    return str(house.record("SELECT id FROM alert ORDER BY raised_ms DESC LIMIT 1")[0][0])


# -- technical alarms ------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_behind_is_one_alarm_over_restarts_and_over_when_it_answers(
    tmp_path: Path, clock: Clock
) -> None:
    async def life(later_ms: int, wanted: list[tuple[str, str, bool]], *, answered: bool = False) -> None:
        clock.at_ms += later_ms
        async with open_house(tmp_path, now_ms=clock) as house:
            if answered:
                await house.gateway.writer.run(answer)
            for _ in range(2):
                await house.gateway.duties._batch()
                await written(house)
            assert alerts(house) == wanted

    def answer(conn: sqlite3.Connection) -> None:
        for each in anchors.waiting(conn, most=100):
            anchors.registered(conn, ledgers.placed(each.digest), now_ms=clock())

    asyncio.run(life(0, []))
    asyncio.run(life(LEDGER_BEHIND_MS, []))
    asyncio.run(life(1, [("ledger_behind", "raised", False)]))
    asyncio.run(life(60_000, [("ledger_behind", "raised", False)]))
    asyncio.run(life(60_000, [("ledger_behind", "resolved", True)], answered=True))
    asyncio.run(life(LEDGER_BEHIND_MS + 1, [("ledger_behind", "resolved", True), ("ledger_behind", "raised", False)]))


def test_what_was_refused_is_an_alarm_and_is_sent_again_later(tmp_path: Path, clock: Clock) -> None:
    """Nobody signs a refusal: whoever made it, it is not for good."""

    def refuse(conn: sqlite3.Connection) -> None:
        for each in anchors.waiting(conn, most=100):
            anchors.refused(conn, each.digest, code="subject_wrong", now_ms=clock())

    async def life() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await house.gateway.duties._batch()
            await house.gateway.writer.run(refuse)
            clock.at_ms += REFUSED_AGAIN_MS - 10_000
            await house.gateway.duties._batch()
            await written(house)
            assert alerts(house) == [("ledger_behind", "raised", False)]
            assert await house.gateway.writer.run(anchors.count_refused) == 1
            clock.at_ms += 10_000
            await house.gateway.duties._batch()
            assert (await house.gateway.writer.run(anchors.count_refused), len(alerts(house))) == (0, 1)
            assert (await house.gateway.writer.run(anchors.backlog))[0] == 3

    asyncio.run(life())


def test_a_channel_that_fails_is_one_alarm_over_restarts_and_ends_when_it_works(tmp_path: Path, clock: Clock) -> None:
    tried = 0
    works = False

    def reply(_: int) -> Answer:
        nonlocal tried
        tried += 1
        return (204, {}) if works else (500, {})

    async def life(act: Callable[[House], Coroutine[object, object, None]]) -> None:
        async with (
            receiving(reply) as receiver,
            open_house(tmp_path, duties=True, webhook_first=receiver.url) as house,
        ):
            await act(house)

    async def first(house: House) -> None:
        await pressed(house)
        await until(lambda: ("channel_failed", "raised", False) in alerts(house))

    async def second(house: House) -> None:
        before = tried
        await until(lambda: tried > before + 20)
        assert [kind for kind, _, _ in alerts(house)] == ["button", "channel_failed"]

    async def third(house: House) -> None:
        nonlocal works
        works = True
        await until(lambda: ("channel_failed", "raised", True) in alerts(house))
        assert len(alerts(house)) == 2
        assert house.record("SELECT event FROM alert_event WHERE alert IN (SELECT id FROM alert WHERE technical)") == [
            ("raise",),
            ("clear",),
        ]

    for act in (first, second, third):
        asyncio.run(life(act))


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_is_made_on_schedule_also_when_nothing_came(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path, duties=True, anchor_every_s=0.05) as house:
            await until(lambda: house.record("SELECT COUNT(*) FROM anchor")[0][0] >= 3)
            sizes = house.record("SELECT size, document FROM anchor ORDER BY n LIMIT 3")
            assert [size for size, _ in sizes] == [0, 0, 0]
            times = [documents.Anchor.decode(document) for _, document in sizes]
            assert [each.from_ms for each in times[1:]] == [each.to_ms for each in times[:-1]]

    asyncio.run(live())


def test_no_commit_waits_for_a_batch_that_is_being_made_and_what_comes_meanwhile_is_in_the_next(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, held, make = threading.Event(), threading.Event(), anchors.make

    def slow(*given: object, **named: object) -> object:
        begun.set()
        assert held.wait(10)
        return make(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(anchors, "make", slow)

    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await pressed(house)
            batch = asyncio.create_task(house.gateway.duties._batch())
            try:
                await until(begun.is_set)
                await pressed(house, 1)
                assert house.record("SELECT COUNT(*) FROM anchor") == [(0,)]
            finally:
                held.set()
            await batch
            await house.gateway.duties._batch()
            assert house.record("SELECT n, first, last, size FROM anchor ORDER BY n") == [(0, 1, 1, 1), (1, 2, 2, 1)]

    asyncio.run(live())


def test_a_batch_that_cannot_be_written_is_made_later(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            await pressed(house)
            with broken(house.gateway.writer), pytest.raises(Unavailable, match="store_failing"):
                await house.gateway.duties._batch()
            await house.gateway.duties._batch()
            assert house.record("SELECT n, size FROM anchor") == [(0, 1)]

    asyncio.run(live())


def test_a_duty_that_dies_of_a_fault_of_ours_ends_the_gateway_and_does_not_stop_in_silence(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.ward.Ward.tick", fail)

    async def live() -> None:
        async with open_house(tmp_path, duties=True):
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as died:
        asyncio.run(asyncio.wait_for(live(), 5))
    assert died.group_contains(ZeroDivisionError)


def test_a_commit_that_dies_of_a_fault_of_ours_ends_the_gateway_too(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.committing.write", fail)
    monkeypatch.setattr("gateway.service.DRAIN_S", 0.1)

    async def live() -> None:
        async with open_house(tmp_path, duties=True) as house:
            await pressed(house)  # never answered

    with pytest.raises(ExceptionGroup) as died:
        asyncio.run(asyncio.wait_for(live(), 20))
    assert died.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("error", [Unavailable("store_failing", ""), sqlite3.OperationalError("disk I/O error")])
def test_a_duty_that_storage_fails_goes_on(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: VigilError | sqlite3.Error
) -> None:
    monkeypatch.setattr(duties, "AGAIN_S", 0.01)
    failures, tick = 3, Ward.tick

    def fail(*given: object, **named: object) -> bool:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise error
        return tick(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("gateway.ward.Ward.tick", fail)

    async def live() -> None:
        async with open_house(tmp_path, duties=True, escalate_after_s=0.05) as house:
            await pressed(house)
            await until(lambda: ("button", "escalated", False) in alerts(house))

    asyncio.run(live())


def test_a_failure_that_lasts_is_told_now_and_then_and_another_one_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "AGAIN_S", 0.0)
    errors = [Unavailable("store_failing", "one")] * 20 + [Unavailable("store_failing", "two")] * 20

    async def job() -> None:
        if errors:
            raise errors.pop(0)
        await asyncio.Event().wait()

    async def live() -> None:
        task = asyncio.create_task(duties._forever("a duty", job))
        await until(lambda: not errors)
        task.cancel()

    asyncio.run(live())
    assert [record.getMessage() for record in caplog.records] == [
        "a duty: store_failing: one",
        "a duty: store_failing: two",
    ]


# -- requests of people ----------------------------------------------------------------------------------------------


def test_a_running_gateway_does_what_people_ask_and_says_when_it_cannot(tmp_path: Path, clock: Clock) -> None:
    async def ask(kind: str, argument: str) -> None:
        await asyncio.to_thread(commands.ask, tmp_path, kind, argument, by="Eve", now_ms=START_MS)

    async def live() -> None:
        with commands.sole(tmp_path):
            async with open_house(tmp_path, duties=True) as house:
                name = await pressed(house)
                await ask("acknowledge", name)
                assert house.record("SELECT state, acknowledged_by FROM alert") == [("acknowledged", "Eve")]
                await ask("acknowledge", name)  # again: nothing changes, nothing is wrong
                await ask("resolve", name)
                assert house.record("SELECT state FROM alert") == [("resolved",)]
                assert [alert.id for alert in house.gateway.ward.book.open()] == []
                for kind, argument, code in (
                    ("acknowledge", "0" * 32, "alert_unknown"),
                    ("acknowledge", name, "alert_event_refused"),
                    ("erase", "f" * 16, "device_unknown"),
                ):
                    with pytest.raises(VigilError, match=code):
                        await ask(kind, argument)
                await ask("test", "first")
                assert house.record("SELECT channel, alert FROM outbox WHERE alert = 'test'") == [("first", "test")]

    asyncio.run(live())


def test_without_a_running_gateway_a_request_is_done_at_once(tmp_path: Path, clock: Clock) -> None:
    async def live() -> str:
        async with open_house(tmp_path) as house:
            return await pressed(house)

    name = asyncio.run(live())
    commands.ask(tmp_path, "acknowledge", name, by="Eve", now_ms=START_MS)
    with pytest.raises(NotFound):
        commands.ask(tmp_path, "resolve", "0" * 32, by="Eve", now_ms=START_MS)

    async def back() -> None:
        async with open_house(tmp_path) as house:
            assert house.record("SELECT state, acknowledged_by FROM alert") == [("acknowledged", "Eve")]
            assert [alert.state for alert in house.gateway.ward.book.open()] == ["acknowledged"]

    asyncio.run(back())


def test_two_gateways_never_have_one_folder(tmp_path: Path) -> None:
    with commands.sole(tmp_path), pytest.raises(VigilError, match="state_in_use"), commands.sole(tmp_path):
        pass
    with commands.sole(tmp_path):
        pass


# -- the caregivers' desk --------------------------------------------------------------------------------------------


def test_an_acknowledgement_is_answered_when_it_is_on_the_disk(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            name, held = await pressed(house), threading.Event()
            house.gateway.writer._thread.submit(held.wait)
            answer = asyncio.create_task(house.gateway.desk.acknowledge(name, "Eve"))
            try:
                await asyncio.sleep(0.1)
                assert not answer.done() and house.record("SELECT state FROM alert") == [("raised",)]
            finally:
                held.set()
            found = await answer
            assert (found["state"], found["acknowledged_by"]) == ("acknowledged", "Eve")
            assert house.record("SELECT state, acknowledged_by FROM alert") == [("acknowledged", "Eve")]
            assert (await house.gateway.desk.acknowledge(name, "Bob"))["acknowledged_by"] == "Eve"

    asyncio.run(live())


def test_what_is_not_there_cannot_be_acknowledged(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            with pytest.raises(NotFound, match="alert_unknown"):
                await house.gateway.desk.acknowledge("0" * 32, "Eve")
            assert house.record("SELECT COUNT(*) FROM alert_event") == [(0,)]

    asyncio.run(live())


def test_the_desk_shows_every_home_and_what_is_open(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            desk = house.gateway.desk
            first = await pressed(house)
            clock.at_ms += 120_000
            second = await pressed(house, 1)
            homes = await desk.homes()
            assert [(home["name"], home["last_ms"]) for home in homes] == [
                ("Home of Ada", clock.at_ms),
                ("Home of Bo", None),
            ]
            await desk.commit(house.gateway.ward.book.resolve(first, by="Eve", now_ms=clock()))
            assert [alert["id"] for alert in await desk.alerts(open_only=True)] == [second]
            assert [alert["id"] for alert in await desk.alerts(open_only=False)] == [second, first]

    asyncio.run(live())
