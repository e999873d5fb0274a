"""The device as a process of parts: what it says and does when its disk fails, a part dies, or it is erased."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from device_sim import clock, enrolment, service
from device_sim.enrolment import Enrolment
from device_sim.service import Course, Service
from device_sim.sources import DeviceAlarm, Sample
from device_sim.spool import Spool
from protocol import topics
from protocol.errors import Unavailable
from tests.support import devices

FOUND = Enrolment(
    device=devices.DEVICE,
    gateway_key=devices.GATEWAY.public.x,
    lk=devices.LINK.lk,
    link_id=devices.LINK.link_id,
    mqtt="127.0.0.1:1",
)
SPEED = 200.0  # a second of readings in 5 ms
WITHIN_S = 10.0


class Readings:
    """Some seconds of readings, with a pressed button in the one numbered `alarm`."""

    simulated = True

    def __init__(self, seconds: int, *, alarm: int = -1) -> None:
        self.seconds, self.alarm = seconds, alarm

    def read(self, from_ms: int, to_ms: int) -> Sample:
        number = (from_ms - devices.START_MS) // 1000
        return devices.reading(number, alarm=number == self.alarm)

    def ended(self, at_ms: int) -> bool:
        return at_ms >= devices.START_MS + 1000 * self.seconds


class House:
    """A device without a gateway, on a spool that can be made to fail."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.spool = Spool(state / "spool.db", bytes_max=1 << 30)
        self.told: list[Mapping[str, object]] = []

    def device(self, source: Readings, *, drain_s: float = 0.0, for_s: float | None = 1000.0) -> Service:
        course = Course(source=source, start_ms=devices.START_MS, speed=SPEED, for_s=for_s, drain_s=drain_s)
        return Service(self.state, FOUND, self.spool, course, tell=self.told.append)

    def fill_disk(self) -> None:
        pages = self.spool._db.execute("PRAGMA page_count").fetchone()[0]
        self.spool._db.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(1000):  # what is free in the pages that are there
            try:
                self.spool.put(**{f"filler_{number:0500}": 1})
            except Unavailable:
                return

    def empty_disk(self) -> None:
        self.spool._db.execute("PRAGMA max_page_count = 100000")

    @property
    def events(self) -> list[object]:
        return [fact["event"] for fact in self.told]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    enrolment.keep(tmp_path / "device.key", devices.KEY.pem().encode())
    enrolment.save(tmp_path, FOUND, certificate="", ca="")
    monkeypatch.setattr(service, "context", lambda _: None)
    made = House(tmp_path)
    yield made
    made.spool.close()


def finish(device: Service) -> None:
    async def scene() -> None:
        async with asyncio.timeout(WITHIN_S):
            await device.run()

    asyncio.run(scene())


def test_a_device_without_a_gateway_keeps_all_it_read(house: House) -> None:
    finish(house.device(Readings(5, alarm=2)))
    assert house.events == ["ready", "finished"]
    assert house.told[-1]["sent"] == 6
    assert house.told[-1]["waiting"] == 6


def test_a_device_says_of_its_clock_what_the_kernel_says_and_asks_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True, False]
    monkeypatch.setattr(service, "ASK_CLOCK_S", 0.0)
    monkeypatch.setattr(clock, "synced", lambda: answers.pop(0))
    device = house.device(Readings(1))
    assert [device._clock().synced, device._clock().synced] == [True, False]
    monkeypatch.setattr(service, "ASK_CLOCK_S", 60.0)
    answers += [True]
    assert [device._clock().synced, device._clock().synced] == [True, True], "and not for every message"


@pytest.mark.parametrize(
    ("state", "marked", "synced"),
    [(0, False, True), (4, False, True), (5, True, False), (-1, False, False), (-1, True, True)],
)
def test_a_clock_that_nobody_keeps_is_not_synced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: int, marked: bool, synced: bool
) -> None:
    class Library:
        def __init__(self, _: None) -> None:
            pass

        def adjtimex(self, buffer: Any) -> int:
            assert not any(buffer.raw), "nothing is set"
            return state

    monkeypatch.setattr(clock.ctypes, "CDLL", Library)
    monkeypatch.setattr(clock, "MARK", tmp_path / "synchronized")
    if marked:
        clock.MARK.touch()
    assert clock.synced() is synced
    monkeypatch.delattr(Library, "adjtimex")
    assert clock.synced() is marked


def test_a_full_disk_is_told_once_and_what_was_read_meanwhile_is_kept_afterwards(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SPOOL_S", 0.0)
    source = Readings(40)
    device = house.device(source, drain_s=1.0)
    house.fill_disk()
    tell = house.told.append

    def told(fact: Mapping[str, object]) -> None:
        tell(fact)
        if fact["event"] == "spool_failing":
            asyncio.get_running_loop().call_later(0.05, house.empty_disk)

    device._tell = told
    finish(device)
    assert house.events == ["ready", "spool_failing", "spool_recovered", "finished"]
    assert house.told[-1]["sent"] == 40
    seconds = [entry.seq for entry in house.spool.all()]
    assert seconds == list(range(40))


def test_what_waits_in_memory_is_kept_also_when_no_more_readings_come(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SPOOL_S", 0.0)
    device = house.device(Readings(10), drain_s=0.6)
    house.fill_disk()
    heal = device._drain

    async def healed(most_s: float | None) -> None:
        assert device.agent.unsealed > 0
        house.empty_disk()
        await heal(most_s)

    monkeypatch.setattr(device, "_drain", healed)
    finish(device)
    assert house.told[-1]["sent"] == 10
    assert device.agent.unsealed == 0


def test_a_disk_that_stays_full_does_not_stop_the_device(house: House) -> None:
    device = house.device(Readings(150))
    house.fill_disk()
    finish(device)
    assert house.events == ["ready", "spool_failing", "finished"]
    assert device.agent.unsealed > 100


def test_a_part_that_dies_ends_the_device_with_its_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    device = house.device(Readings(1_000_000), for_s=None)

    def broken(_: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(device, "_publish_due", broken)
    with pytest.raises(ZeroDivisionError):
        finish(device)


def test_a_connection_that_forgets_that_it_was_cancelled_does_not_keep_the_device_from_ending(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = house.device(Readings(1))
    forgotten: list[bool] = []

    async def forgetful() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if forgotten:
                    raise
                forgotten.append(True)

    monkeypatch.setattr(device._connections["alarm"], "run", forgetful)
    finish(device)
    assert forgotten == [True]
    assert house.events == ["ready", "finished"]


def test_an_alarm_hurries_its_connection_and_no_reading_does(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    device = house.device(Readings(1))
    hurried: list[str] = []
    for kind, each in device._connections.items():
        monkeypatch.setattr(each, "hurry", lambda kind=kind: hurried.append(kind))
    device._seal(devices.reading())
    assert hurried == []
    device._seal(Sample(alarms=(DeviceAlarm(kind="fall", at_ms=devices.START_MS, detail={}),)))
    assert hurried == ["alarm"]


def test_an_erased_device_repeats_its_answer_until_it_is_acknowledged_and_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = house.device(Readings(1_000_000), drain_s=WITHIN_S, for_s=None)
    tries: list[bytes] = []

    async def publish(topic: str, raw: bytes) -> int | None:
        assert topic == topics.up(devices.DEVICE, topics.STATE)
        tries.append(raw)
        return (None, 0x97, 0)[len(tries) - 1]

    monkeypatch.setattr(device._connections["data"], "publish", publish)

    async def scene() -> None:
        running = asyncio.create_task(device.run())
        order = devices.order("erase", expires_ms=1 << 52)
        await device._heard(topics.down_command(devices.DEVICE), order)
        async with asyncio.timeout(WITHIN_S):
            await running

    asyncio.run(scene())
    assert len(tries) == 3
    assert len(set(tries)) == 1
    assert "erased" in house.events
    assert not (house.state / "enrolment.cbor").exists()
    assert house.spool.count() == 0


def test_an_erasure_that_the_folder_refuses_is_not_answered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    device = house.device(Readings(1))

    def refuse(_: Path) -> None:
        raise Unavailable("state_unwritable", "read-only")

    monkeypatch.setattr(enrolment, "erase", refuse)
    order = devices.order("erase", expires_ms=1 << 52)
    asyncio.run(device._heard(topics.down_command(devices.DEVICE), order))
    assert "erased" not in house.events
    assert device._sending == set()


def test_what_another_signed_is_not_believed_and_does_not_end_the_device(house: House) -> None:
    device = house.device(Readings(1))
    for topic in (topics.down_receipt(devices.DEVICE), topics.down_command(devices.DEVICE), "elsewhere"):
        for raw in (b"", b"\xd2\x84", b"\xff" * 9000):
            asyncio.run(device._heard(topic, raw))
