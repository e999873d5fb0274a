"""Storage that fails: people are told at once, nothing is acknowledged, nothing is lost, nothing gathers, all is kept afterwards."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from gateway import committing, desk, duties, meanwhile
from gateway.ingress.session import RECEIVE_MAXIMUM
from gateway.intake import PENDING_MAX
from gateway.store.writer import RECORD_FILE
from gateway.web.hub import Subscription
from protocol import topics
from protocol.errors import Unavailable
from tests.support.gatehouse import House, broken, enrol, open_house, said_of, until
from tests.support.receiver import Receiver, receiving
from tests.support.sealed import Sender, alarm, reading
from tests.support.signals import START_MS, simulated

ADA, BO = Sender("Ada"), Sender("Bo")
QUOTA = 0x97


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Waits short enough for a test, and two enrolled devices."""
    monkeypatch.setattr(committing, "RETRY_AFTER_S", 0.03)
    monkeypatch.setattr(duties, "TICK_S", 0.02)
    monkeypatch.setattr(meanwhile, "PAUSES_S", (0.0,) + (0.02,) * 6)
    enrol(tmp_path, ADA, BO)


async def failing(house: House) -> None:
    """Something is to be written, which fails."""
    house.send(BO, BO.seal(reading(at_ms=house.now_ms())))
    await until(lambda: not house.gateway.committing.healthy)


async def healed(house: House) -> None:
    """Everything that waited is written."""
    gateway = house.gateway
    await until(lambda: gateway.committing.healthy and gateway.committing.free and not gateway.intake.batch)


async def shown(house: House) -> list[str]:
    """The kinds of alarm on a page that is opened now."""
    return [str(alert["kind"]) for alert in await house.gateway.desk.alerts(open_only=True)]


def pushed(page: Subscription) -> list[tuple[str, str]]:
    """What an open page was told of alarms: (kind, state)."""
    found = []
    while (event := page.take()) is not None:
        if event.name == "alert":
            found.append((str(event.data["kind"]), str(event.data["state"])))
    return found


def told(receiver: Receiver) -> list[str]:
    """The kinds of alarm that somebody was notified of, by the idempotency keys that end in one step and one channel."""
    return [taken.body.decode().split('"kind": "')[1].split('"')[0] for taken in receiver.taken]


def alerts(house: House) -> list[tuple[object, ...]]:
    """(kind, state) of every alert that is durable."""
    return house.record("SELECT kind, state FROM alert ORDER BY raised_ms, kind")


def test_it_is_one_alarm_at_once_durable_when_storage_works_and_then_over(tmp_path: Path) -> None:
    async def live() -> None:
        async with open_house(tmp_path, duties=True) as house:
            gateway = house.gateway
            with gateway.hub.subscribe() as page:
                with broken(gateway.writer):
                    await failing(house)
                    assert pushed(page) == [("storage_failing", "raised")]
                    assert await shown(house) == ["storage_failing"]
                    assert gateway.duties.health()[0] is False
                    failures = gateway.metrics.store_errors
                    before = failures._value.get()
                    await until(lambda: failures._value.get() > before + 3)
                    assert await shown(house) == ["storage_failing"] and alerts(house) == []
                await healed(house)
                await until(lambda: alerts(house) == [("storage_failing", "resolved")])
                assert house.record("SELECT event FROM alert_event ORDER BY id") == [("raise",), ("clear",)]
                assert pushed(page)[-1] == ("storage_failing", "resolved")
                assert await shown(house) == [] and gateway.duties.health()[0] is True

    asyncio.run(live())


async def press(house: House) -> list[list[int]]:
    """Ada presses her button."""
    return [house.send(ADA, ADA.seal(alarm(at_ms=house.now_ms())), lane=topics.ALARM)]


async def device_fall(house: House) -> list[list[int]]:
    """Ada's device says that she fell."""
    return [house.send(ADA, ADA.seal(alarm(kind="fall", at_ms=house.now_ms())), lane=topics.ALARM)]


async def signals(house: House, event: str, seconds: int) -> list[list[int]]:
    """Ada's sensors see something."""
    source, answers = simulated("simulated:seed=1", f"{event}@12"), []
    for number in range(seconds):
        at_ms = START_MS + number * 1000
        sample = source.read(at_ms, at_ms + 1000)
        answers.append(house.send(ADA, ADA.seal(said_of(sample, at_ms=at_ms), number)))
        await asyncio.sleep(0)
    return answers


async def asystole(house: House) -> list[list[int]]:
    """Her heart stops."""
    return await signals(house, "asystole", 24)


async def fall(house: House) -> list[list[int]]:
    """She falls and lies."""
    return await signals(house, "fall", 40)


@pytest.mark.parametrize(
    ("happen", "kind"), [(press, "button"), (device_fall, "device_fall"), (asystole, "asystole"), (fall, "fall")]
)
def test_an_alarm_of_a_person_is_shown_and_sent_at_once_and_raised_once(
    tmp_path: Path, happen: Callable[[House], Coroutine[object, object, list[list[int]]]], kind: str
) -> None:
    async def live() -> None:
        async with receiving() as receiver, open_house(tmp_path, duties=True, webhook_first=receiver.url) as house:
            with house.gateway.hub.subscribe() as page, broken(house.gateway.writer):
                await failing(house)
                answers = await happen(house)
                await until(lambda: kind in told(receiver))
                assert (kind, "raised") in pushed(page)
                assert kind in await shown(house)
                assert alerts(house) == [] and house.record("SELECT COUNT(*) FROM message") == [(0,)]
                assert not any(answers) and not house.listener.told
            await healed(house)
            assert all(answer == [0] for answer in answers)
            await until(lambda: house.record("SELECT COUNT(*) FROM outbox WHERE state <> 'sent'") == [(0,)])
            await asyncio.sleep(0.6)  # more than twice what the outbox waits between two looks
            assert [found for found, _ in alerts(house)].count(kind) == 1
            assert house.record("SELECT COUNT(*) FROM alert_event WHERE event = 'raise'") == [(len(alerts(house)),)]
            keys = [taken.key for taken in receiver.taken]
            assert len(keys) == len(set(keys)) and told(receiver).count(kind) == 1

    asyncio.run(live())


def test_a_notice_that_no_channel_took_meanwhile_waits_in_the_outbox(tmp_path: Path) -> None:
    async def live() -> None:
        working = False
        async with (
            receiving(lambda _: (204, {}) if working else (500, {})) as receiver,
            open_house(tmp_path, duties=True, webhook_first=receiver.url) as house,
        ):
            with broken(house.gateway.writer):
                await failing(house)
                await press(house)
                await until(lambda: told(receiver).count("button") > 2)
            working = True
            await healed(house)
            await until(lambda: house.record("SELECT COUNT(*) FROM outbox WHERE state = 'waiting'") == [(0,)])
            assert len({taken.key for taken in receiver.taken if b"button" in taken.body}) == 1

    asyncio.run(live())


def test_nobody_who_answers_means_the_next_step_also_while_storage_fails(tmp_path: Path) -> None:
    async def live() -> None:
        async with receiving() as first, receiving() as second:
            hooks = {"webhook_first": first.url, "webhook_second": second.url}
            async with open_house(tmp_path, duties=True, escalate_after_s=0.1, ends_after_s=60.0, **hooks) as house:
                with broken(house.gateway.writer):
                    await failing(house)
                    await press(house)
                    await until(lambda: "button" in told(second))
                    assert told(first).count("button") == 1
                await healed(house)
                await until(lambda: ("button", "escalated") in alerts(house))

    asyncio.run(live())


def test_what_waited_when_it_began_is_told_too(tmp_path: Path) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            with house.gateway.hub.subscribe() as page, broken(house.gateway.writer):
                house.send(
                    BO, BO.seal(alarm(at_ms=house.now_ms())), lane=topics.ALARM
                )  # its commit is the one that fails
                house.send(ADA, ADA.seal(alarm(at_ms=house.now_ms())), lane=topics.ALARM)  # waits for the next
                assert pushed(page) == []
                await until(lambda: not house.gateway.committing.healthy)
                assert sorted(kind for kind, _ in pushed(page)) == ["button", "button", "storage_failing"]

    asyncio.run(live())


def test_a_disk_that_hangs_is_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "STALLED_AFTER_S", 0.1)

    async def live() -> None:
        async with open_house(tmp_path, duties=True) as house:
            hangs = threading.Event()
            house.gateway.writer._thread.submit(hangs.wait)
            try:
                (answer,) = await press(house)
                await until(lambda: not house.gateway.committing.healthy)
                assert set(await shown(house)) == {"button", "storage_failing"}
                assert answer == []
            finally:
                hangs.set()
            await healed(house)
            await until(lambda: ("storage_failing", "resolved") in alerts(house))
            assert answer == [0] and house.record("SELECT COUNT(*) FROM message") == [(1,)]

    asyncio.run(live())


def test_everything_is_stored_once_acknowledged_and_receipted_when_it_works(tmp_path: Path) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            with broken(house.gateway.writer):
                await failing(house)
                raws = [ADA.seal(reading(number, at_ms=house.now_ms()), number) for number in range(RECEIVE_MAXIMUM)]
                answers = [house.send(ADA, raw) for raw in raws]
                again = [house.send(ADA, raw) for raw in raws]
                await asyncio.sleep(0.1)
                assert not any(answers) and again == [[QUOTA]] * len(raws) and not house.listener.told
            await healed(house)
            assert answers == [[0]] * len(raws)
            stored = house.record(
                "SELECT seq, raw FROM message m JOIN device d ON d.id = m.device WHERE d.device = ?", ADA.device
            )
            assert stored == list(enumerate(raws))
            assert [
                seq for told in house.receipts(ADA) for seq in range(told.ranges[0][0], told.ranges[-1][1] + 1)
            ] == [*range(RECEIVE_MAXIMUM)]

    asyncio.run(live())


def test_a_disk_without_room_loses_nothing(tmp_path: Path) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            gateway = house.gateway
            connection = gateway.writer._connections[RECORD_FILE]

            def limit(pages: int) -> None:
                gateway.writer._thread.submit(connection.execute, f"PRAGMA max_page_count = {pages}").result()

            limit(connection.execute("PRAGMA page_count").fetchone()[0] + 8)
            raws = [ADA.seal(reading(number, at_ms=house.now_ms()), number) for number in range(400)]
            answers = []
            for raw in raws:
                answers.append(house.send(ADA, raw))
                await asyncio.sleep(0.001)
            await until(lambda: not gateway.committing.healthy)
            acknowledged = [number for number, answer in enumerate(answers) if answer]
            kept = [row[0] for row in house.record("SELECT seq FROM message ORDER BY id")]
            assert acknowledged == kept and 0 < len(kept) < 400
            assert "storage_failing" in await shown(house)
            limit(100_000)
            await healed(house)
            assert answers == [[0]] * 400
            assert [row[0] for row in house.record("SELECT raw FROM message ORDER BY id")] == raws

    asyncio.run(live())


def gathered(house: House) -> int:
    """How many things wait in memory for a commit."""
    gateway = house.gateway
    found = [gateway.intake.batch, gateway.committing._busy]
    receipts = sum(len(told.kept) + len(told.refused) for b in found if b for told in b.receipts._told.values())
    lists = sum(len(b.rows) + len(b.entrants) + len(b.answers) + len(b.shown) + len(b.conflicts) for b in found if b)
    return receipts + lists + gateway.intake.waiting + sum(len(m.pending) for m in gateway.directory.members.values())


def test_nothing_gathers_that_devices_send_again_and_again(tmp_path: Path) -> None:
    """A device has at most Receive Maximum messages on their way on each connection; it may connect again as often as it
    likes, and sends the same ones."""

    async def live() -> None:
        async with open_house(tmp_path, data_rate_per_s=1e9, data_burst=1e9) as house:
            with broken(house.gateway.writer):
                await failing(house)
                raws = [ADA.seal(reading(number, at_ms=house.now_ms()), number) for number in range(RECEIVE_MAXIMUM)]
                for raw in raws:
                    house.send(ADA, raw)
                await until(lambda: house.gateway.intake.waiting == 0)
                before = gathered(house)
                for _ in range(50):
                    for raw in raws:
                        assert house.send(ADA, raw) == [QUOTA]
                await asyncio.sleep(0.05)
                assert gathered(house) == before

    asyncio.run(live())


BAD: dict[str, Callable[[int], bytes]] = {
    "new": lambda number: ADA.seal(reading(number), number),
    "conflict": lambda number: ADA.seal(reading(number + 1)),
    "bad content": lambda number: ADA.signed(ADA.inner(plaintext=b"\xa0"), seq=number),
    "alarms": lambda number: ADA.seal(alarm(number), number),
}
ALL = {
    f"{lane}_{what}": 1e9 for lane in ("data", "alarm") for what in ("rate_per_s", "burst")
}  # the buckets do not help


@pytest.mark.parametrize("sort", BAD)
def test_nothing_gathers_without_bound_that_a_hostile_device_sends(tmp_path: Path, sort: str) -> None:
    async def live() -> None:
        async with open_house(tmp_path, **ALL) as house:
            if sort == "conflict":
                assert await house.sent(ADA, ADA.seal(reading())) == 0
            with broken(house.gateway.writer):
                await failing(house)
                answers = []
                for number in range(PENDING_MAX + 500):
                    lane = topics.ALARM if sort == "alarms" else topics.DATA
                    answers.append(house.send(ADA, BAD[sort](number), lane=lane))
                    await asyncio.sleep(0)
                await until(lambda: house.gateway.intake.waiting == 0)
                if sort in ("new", "alarms"):
                    assert answers[-400:].count([QUOTA]) >= 398  # of alarm ids some hundreds are remembered
                    assert len(house.gateway.directory.members[ADA.device].pending) <= PENDING_MAX + 100
                else:
                    assert gathered(house) < 20
                fallen = house.send(ADA, ADA.seal(alarm(9_999, kind="fall"), 9_999), lane=topics.ALARM)
                assert "device_fall" in await shown(house) and fallen == []  # who fills it can still call for help

    asyncio.run(live())


def test_an_acknowledgement_is_not_confirmed_before_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "WRITTEN_WITHIN_S", 0.1)

    async def live() -> None:
        async with open_house(tmp_path) as house:
            gateway = house.gateway
            with broken(gateway.writer):
                await failing(house)
                await press(house)
                (name,) = [alert.id for alert in gateway.ward.book.open() if alert.kind == "button"]
                with pytest.raises(Unavailable, match="store_failing"):
                    await gateway.desk.acknowledge(name, "Eve")
                assert all(alert.next_ms is None for alert in gateway.ward.book.open())  # nobody else is sent for
            await healed(house)
            assert house.record("SELECT state, acknowledged_by FROM alert WHERE id = ?", name) == [
                ("acknowledged", "Eve")
            ]

    asyncio.run(live())


def test_what_only_memory_knew_when_the_gateway_was_killed_comes_again_and_is_raised_once(tmp_path: Path) -> None:
    raw = ADA.seal(alarm(at_ms=START_MS))

    async def killed() -> None:
        house = House(tmp_path)
        with broken(house.gateway.writer):
            house.send(ADA, raw, lane=topics.ALARM)
            await until(lambda: not house.gateway.committing.healthy)
            assert set(await shown(house)) == {"button", "storage_failing"}
            house.gateway.writer.submit = _never  # type: ignore[method-assign, assignment]
        house.gateway.writer.close()

    async def back() -> None:
        async with open_house(tmp_path, duties=True) as house:
            assert await shown(house) == []
            assert await house.sent(ADA, raw, lane=topics.ALARM) == 0
            assert await house.sent(ADA, raw, lane=topics.ALARM) == 0
            assert alerts(house) == [("button", "raised")]

    asyncio.run(killed())
    asyncio.run(back())


def _never(*_: object, **__: object) -> object:
    raise RuntimeError("the process is dead")


def test_an_alarm_that_storage_fails_outlives_a_restart_and_then_ends(tmp_path: Path) -> None:
    async def first() -> None:
        async with open_house(tmp_path) as house:
            with broken(house.gateway.writer):
                await failing(house)
            await until(lambda: house.record("SELECT COUNT(*) FROM alert") == [(1,)])

    async def second() -> None:
        async with open_house(tmp_path, duties=True) as house:
            await until(lambda: alerts(house) == [("storage_failing", "resolved")])

    asyncio.run(first())
    connection = sqlite3.connect(tmp_path / RECORD_FILE)
    connection.execute("UPDATE alert SET state = 'raised', cleared_ms = NULL")  # as if killed between the two
    connection.commit()
    connection.close()
    asyncio.run(second())


def test_a_request_of_people_does_not_stop_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "WRITTEN_WITHIN_S", 3.0)

    async def live() -> None:
        async with open_house(tmp_path, duties=True, escalate_after_s=0.2) as house:
            gateway = house.gateway
            await press(house)
            await until(lambda: alerts(house) == [("button", "raised")])
            name = house.record("SELECT id FROM alert")[0][0]
            sql = "INSERT INTO asked (kind, argument, by, made_ms) VALUES ('resolve', ?, 'Eve', 1)"
            with broken(gateway.writer):
                other = sqlite3.connect(tmp_path / RECORD_FILE)
                other.execute(sql, (name,))
                other.commit()
                other.close()
                await failing(house)
                await asyncio.sleep(0.1)
                house.send(BO, BO.seal(alarm(at_ms=house.now_ms())), lane=topics.ALARM)
                await until(lambda: any(a.state == "escalated" for a in gateway.ward.book.open()), within_s=2.0)
            await healed(house)

    asyncio.run(live())


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record cannot be read."""

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("gateway.store.alerts.listed", refuse)
    monkeypatch.setattr("gateway.store.messages.hash_at", refuse)


def test_a_record_that_cannot_be_read_hides_no_alarm_and_receipts_nothing(tmp_path: Path, unreadable: None) -> None:
    async def live() -> None:
        async with open_house(tmp_path) as house:
            raw = ADA.seal(alarm(at_ms=house.now_ms()))
            assert await house.sent(ADA, raw, lane=topics.ALARM) == 0
            assert await shown(house) == ["button"]
            receipts = len(house.receipts(ADA, topics.ALARM))
            assert house.send(ADA, raw, lane=topics.ALARM) == [QUOTA]
            await asyncio.sleep(0.05)
            assert len(house.receipts(ADA, topics.ALARM)) == receipts == 1

    asyncio.run(live())
