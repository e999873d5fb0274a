"""How long decoded readings stay: samples three days, vital signs ninety, what lies around an alarm until it is erased."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway import commands
from gateway.store import values
from gateway.store.alerts import STRIP_AFTER_MS, STRIP_BEFORE_MS, STRIP_ONSET_MS
from gateway.store.keys import load
from gateway.store.writer import KEYS_FILE, VALUES_FILE
from protocol import topics
from protocol.content import Alarm, Data
from tests.support.gatehouse import House, enrol, open_house, said_of
from tests.support.sealed import Sender, alarm
from tests.support.signals import START_MS, simulated

ADA = Sender("Ada")
HOUR_MS = 3_600_000
EVERY_MS = 10_000
PRUNE = values.prune


class Clock:
    """The gateway's, which a test moves."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def __call__(self) -> int:
        return self.at_ms


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock, and one enrolled device."""
    enrol(tmp_path, ADA)
    return Clock()


async def read(house: House, clock: Clock, times_ms: Sequence[int], *, first: int = 0) -> None:
    """Ada's device sends a second of vital signs and samples at each of these times."""
    source = simulated("simulated:seed=1")
    for seq, at_ms in enumerate(times_ms, first):
        clock.at_ms = at_ms
        sample = source.read(at_ms, at_ms + 1000)
        assert sample.vitals and sample.waves
        assert await house.sent(ADA, ADA.seal(said_of(sample, at_ms=at_ms), seq)) == 0


async def left(house: House) -> tuple[list[int], list[int]]:
    """When the vital signs and the samples that are still there were received."""
    key = house.gateway.directory.secrets[ADA.device].store_key
    row = house.gateway.directory.members[ADA.device].row
    await house.gateway.writer.run(lambda _: None, file=VALUES_FILE)  # what was to be kept is
    found = values.since(house.gateway.values, row, ADA.device, key, from_ms=0)
    datas = [(at_ms, said) for at_ms, said in found if isinstance(said, Data)]
    return [at_ms for at_ms, said in datas if said.vitals], [at_ms for at_ms, said in datas if said.waves]


@pytest.mark.parametrize(
    ("settings", "waves_ms", "vitals_ms"),
    [
        ({}, 72 * HOUR_MS, 90 * 24 * HOUR_MS),
        ({"keep_waves_hours": 0.5, "keep_vitals_days": 1.0}, HOUR_MS // 2, 24 * HOUR_MS),
    ],
    ids=["as delivered", "as set"],
)
def test_each_goes_at_its_time_and_not_before(
    tmp_path: Path, clock: Clock, settings: dict[str, float], waves_ms: int, vitals_ms: int
) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock, **settings) as house:
            prune = house.gateway.duties.prune
            await prune()
            await read(house, clock, [START_MS])
            for later_ms, vitals, samples in (
                (waves_ms, [START_MS], [START_MS]),
                (waves_ms + 1, [START_MS], []),
                (vitals_ms, [START_MS], []),
                (vitals_ms + 1, [], []),
            ):
                clock.at_ms = START_MS + later_ms
                await prune()
                assert await left(house) == (vitals, samples)
            assert house.record("SELECT COUNT(*) FROM message") == [(1,)]  # the record itself is not pruned

    asyncio.run(live())


def test_more_than_one_transaction_takes_is_pruned_too(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "prune", lambda conn, **named: PRUNE(conn, **named, most=2))

    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await read(house, clock, range(START_MS, START_MS + 7 * EVERY_MS, EVERY_MS))
            clock.at_ms += 91 * 24 * HOUR_MS
            await house.gateway.duties.prune()
            assert await left(house) == ([], [])
            assert (tmp_path / f"{VALUES_FILE}-wal").stat().st_size == 0

    asyncio.run(live())


async def press(house: House, said: Alarm) -> None:
    """Ada's device sends an alarm."""
    assert await house.sent(ADA, ADA.seal(said), lane=topics.ALARM) == 0


async def after_years(house: House, clock: Clock) -> list[int]:
    """What is left when everything is over; vital signs and samples alike. Seconds after the start."""
    clock.at_ms += 500 * 24 * HOUR_MS
    await house.gateway.duties.prune()
    vitals, samples = await left(house)
    assert set(samples) <= set(vitals)  # the alarm itself has no samples
    return [(at_ms - START_MS) // 1000 for at_ms in samples]


def test_what_lies_around_an_alarm_stays_until_it_is_erased(tmp_path: Path, clock: Clock) -> None:
    raised_ms = START_MS + 120_000

    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await read(house, clock, range(START_MS, raised_ms, EVERY_MS))
            clock.at_ms = raised_ms
            await press(house, alarm(at_ms=raised_ms - 5_000))
            await read(house, clock, range(raised_ms, raised_ms + 120_000, EVERY_MS), first=100)
            strip = range(120 - (5_000 + STRIP_BEFORE_MS) // 1000, 120 + STRIP_AFTER_MS // 1000 + 1)
            assert await after_years(house, clock) == [second for second in range(0, 240, 10) if second in strip]
            assert await after_years(house, clock) == [second for second in range(0, 240, 10) if second in strip]
        for file, job in commands.erase_steps(ADA.device, now_ms=clock()):
            async with open_house(tmp_path, now_ms=clock) as house:
                await house.gateway.writer.run(job, file=file)
        async with open_house(tmp_path, now_ms=clock) as house:
            found = await house.gateway.writer.run(
                lambda conn: conn.execute("SELECT COUNT(*) FROM value").fetchone(), file=VALUES_FILE
            )
            assert found == (0,)

    asyncio.run(live())


def test_an_alarm_about_the_equipment_keeps_nothing(tmp_path: Path, clock: Clock) -> None:
    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await read(house, clock, [START_MS])
            await press(house, alarm(kind="low_battery", at_ms=START_MS))
            assert await after_years(house, clock) == []

    asyncio.run(live())


@pytest.mark.parametrize("onset_ms", [1, START_MS + 10**10], ids=["long ago", "in the future"])
def test_a_device_whose_clock_is_wrong_keeps_no_more_than_others(tmp_path: Path, clock: Clock, onset_ms: int) -> None:
    raised_ms = START_MS + STRIP_ONSET_MS + 120_000

    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await read(house, clock, [START_MS, raised_ms - 1_000])
            clock.at_ms = raised_ms
            await press(house, alarm(at_ms=onset_ms))
            await read(house, clock, [raised_ms + STRIP_AFTER_MS + 2 * values.SPAN_MS], first=10)
            assert await after_years(house, clock) == [(raised_ms - 1_000 - START_MS) // 1000]

    asyncio.run(live())


def test_another_homes_alarm_keeps_nothing_here(tmp_path: Path, clock: Clock) -> None:
    bo = Sender("Bo")
    enrol(tmp_path, bo)

    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            await read(house, clock, [START_MS])
            assert await house.sent(bo, bo.seal(alarm(at_ms=START_MS)), lane=topics.ALARM) == 0
            assert await after_years(house, clock) == []

    asyncio.run(live())


def test_every_enrolment_has_a_store_key_of_its_own(tmp_path: Path, clock: Clock) -> None:
    enrol(tmp_path, Sender("Bo"))

    async def live() -> None:
        async with open_house(tmp_path, now_ms=clock) as house:
            found = await house.gateway.writer.run(load, file=KEYS_FILE)
            assert len({keys.store_key for keys in found.values()}) == 2

    asyncio.run(live())
