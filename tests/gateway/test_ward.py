"""The ward over restarts: detectors see the last minute and a half again, and nobody is called a second time for what is known."""

import asyncio
from pathlib import Path

import pytest

from gateway.batch import Batch
from gateway.store.writer import VALUES_FILE
from gateway.ward import WARM_S
from protocol import topics
from tests.support.gatehouse import House, enrol, open_house, said_of, until
from tests.support.sealed import Sender, alarm, heartbeat
from tests.support.signals import START_MS, simulated

ADA, BO = Sender("Ada"), Sender("Bo")
SILENT_MS = 35_000


class Clock:
    """The gateway's, which a test moves."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def __call__(self) -> int:
        return self.at_ms


class Home:
    """Ada's sensors, and how far they were read."""

    def __init__(self, *events: str) -> None:
        self.source, self.second = simulated("simulated:seed=1", *events), 0

    async def live(self, house: House, clock: Clock, *, until_s: int, marked: bool = False) -> None:
        """Every second is sent, and the clock ticks. marked: the device says that it is simulated."""
        for second in range(self.second, until_s):
            at_ms = START_MS + second * 1000
            clock.at_ms = at_ms + 1000
            said = said_of(self.source.read(at_ms, at_ms + 1000), at_ms=at_ms, marked=marked)
            assert await house.sent(ADA, ADA.seal(said, second)) == 0
            tick(house, clock)
        self.second = until_s
        await written(house)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock, and two enrolled devices, of which one is heard."""
    enrol(tmp_path, ADA, BO)
    return Clock()


def tick(house: House, clock: Clock, *senders: Sender) -> None:
    """What the passing of time brings."""
    devices = [sender.device for sender in senders or (ADA,)]
    if house.gateway.ward.tick(devices, now_ms=clock(), batch=house.gateway.intake.batch):
        house.gateway.intake.soon()


async def written(house: House) -> None:
    """Everything that waits for a commit is durable, and the readings for curves too."""
    house.gateway.intake.soon()
    await until(lambda: house.gateway.committing.free and not house.gateway.intake.batch)
    await house.gateway.writer.run(lambda _: None, file=VALUES_FILE)


def alerts(house: House) -> list[tuple[str, bool]]:
    """(kind, whether it has ended) of every alert, oldest first."""
    found = house.record("SELECT kind, cleared_ms FROM alert ORDER BY raised_ms")
    return [(kind, cleared_ms is not None) for kind, cleared_ms in found]


@pytest.mark.parametrize(
    ("event", "kind", "stop_s"),
    [
        ("asystole@12", "asystole", 15),  # seconds after the last beat, before the decision
        ("asystole@12", "asystole", 24),  # in the episode
        ("tachycardia@12+30", "extreme_tachycardia", 15),
        ("tachycardia@12+30", "extreme_tachycardia", 30),
        ("fall@12", "fall", 20),
        ("fall@12", "fall", 45),
    ],
)
def test_a_restart_in_the_middle_is_one_alarm(tmp_path: Path, clock: Clock, event: str, kind: str, stop_s: int) -> None:
    home = Home(event)

    async def first() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await home.live(house, clock, until_s=stop_s)

    async def second() -> None:
        clock.at_ms += 1_500
        async with open_house(tmp_path, now_ms=clock) as house:
            assert not house.gateway.intake.batch and not house.listener.told  # being warmed says nothing to anybody
            await home.live(house, clock, until_s=60)
            assert [found for found, _ in alerts(house)] == [kind]
            assert house.record("SELECT event FROM alert_event ORDER BY id")[0] == ("raise",)
            assert house.record("SELECT COUNT(*) FROM alert_event WHERE event = 'raise'") == [(1,)]

    asyncio.run(first())
    asyncio.run(second())


def test_what_began_before_a_restart_ends_after_it(tmp_path: Path, clock: Clock) -> None:
    home = Home("asystole@12")

    async def first() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await home.live(house, clock, until_s=24)
            assert alerts(house) == [("asystole", False)]

    async def second() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await home.live(house, clock, until_s=60)
            assert alerts(house) == [("asystole", True)]

    asyncio.run(first())
    asyncio.run(second())


def test_when_nothing_kept_can_be_opened_the_detectors_start_cold_and_the_gateway_starts(
    tmp_path: Path, clock: Clock
) -> None:
    async def first() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await Home().live(house, clock, until_s=5)
            await house.gateway.writer.run(lambda conn: conn.execute("UPDATE message SET raw = zeroblob(60)"))

    async def second() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            pressed = ADA.seal(alarm(at_ms=clock()))
            assert await house.sent(ADA, pressed, lane=topics.ALARM) == 0
            await written(house)
            assert alerts(house) == [("button", False)]

    asyncio.run(first())
    asyncio.run(second())


def test_only_the_last_minute_and_a_half_is_seen_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await Home().live(house, clock, until_s=8)

    async def second(later_s: int) -> int:
        clock.at_ms = START_MS + 1000 + later_s * 1000
        async with open_house(tmp_path, now_ms=clock):
            return len(seen)

    asyncio.run(first())
    seen: list[int] = []
    monkeypatch.setattr("gateway.detect.watch.Watch.feed", lambda _, __, received_ms: seen.append(received_ms) or [])
    assert asyncio.run(second(WARM_S)) == 8  # a message a second, the first on the edge
    seen.clear()
    assert asyncio.run(second(WARM_S + 2)) == 6


@pytest.mark.parametrize("demo", [False, True])
def test_what_is_simulated_raises_alarms_in_a_demo_only_and_is_marked_there(
    tmp_path: Path, clock: Clock, demo: bool
) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock, demo=demo) as house:
            await Home("asystole@12").live(house, clock, until_s=24, marked=True)
            assert house.record("SELECT kind, simulated FROM alert") == [("asystole", 1)] * demo
            assert house.record("SELECT COUNT(*) FROM message") == [(24,)]

    asyncio.run(live())


def test_a_device_that_falls_silent_is_one_alarm_that_its_next_word_ends(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            tick(house, clock)
            assert await house.sent(ADA, ADA.seal(heartbeat(), 0), lane=topics.STATE) == 0
            for later_ms, count in ((SILENT_MS - 1, 0), (SILENT_MS, 1), (3 * SILENT_MS, 1)):
                clock.at_ms = START_MS + later_ms
                tick(house, clock)
                await written(house)
                assert len(alerts(house)) == count
            assert await house.sent(ADA, ADA.seal(heartbeat(), 1), lane=topics.STATE) == 0
            await written(house)
            assert alerts(house) == [("device_silent", True)]

    asyncio.run(live())


@pytest.mark.parametrize("silent_before", [False, True])
def test_after_a_start_a_device_has_its_time_to_come_back(tmp_path: Path, clock: Clock, silent_before: bool) -> None:
    async def first() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await Home().live(house, clock, until_s=2)
            clock.at_ms += 10 * SILENT_MS * silent_before
            tick(house, clock)
            await written(house)

    async def second() -> None:
        clock.at_ms += SILENT_MS + 5_000
        async with open_house(tmp_path, now_ms=clock) as house:
            began_ms = clock()
            for later_ms, count in ((0, 0), (SILENT_MS - 1, 0), (SILENT_MS, 1), (3 * SILENT_MS, 1)):
                clock.at_ms = began_ms + later_ms
                tick(house, clock)
                await written(house)
                assert len(alerts(house)) == max(count, int(silent_before))

    asyncio.run(first())
    asyncio.run(second())


def test_nobody_waits_for_a_device_that_was_forgotten(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            tick(house, clock, ADA, BO)
            house.gateway.ward.forget(BO.device)
            clock.at_ms += 2 * SILENT_MS
            tick(house, clock, ADA, BO)
            await written(house)
            assert house.record("SELECT device, kind FROM alert") == [(ADA.device, "device_silent")]

    asyncio.run(live())


def test_alarms_that_say_nothing_new_are_counted_with_the_next_tick(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            ward, member = house.gateway.ward, house.gateway.directory.members[ADA.device]
            assert await house.sent(ADA, ADA.seal(alarm(at_ms=clock())), lane=topics.ALARM) == 0
            for _ in range(3):
                ward.repeated(member, alarm(at_ms=clock()))
            batch = Batch()
            ward.tick([], now_ms=clock(), batch=batch)
            assert [row.detail["coalesced"] for changes in batch.changes for row in changes.alerts] == [3]
            house.gateway.intake.batch.changes += batch.changes
            await written(house)
            assert house.record("SELECT detail FROM alert") == [('{"coalesced": 3}',)]

    asyncio.run(live())
