"""A disk without room, as the kernel has it: what was acknowledged survives, and the program goes on when there is room again."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from device_sim.agent import Agent
from device_sim.spool import Spool
from gateway import committing, duties
from ledger.log import fsck
from protocol import content, merkle, receipt, statement, topics
from protocol.errors import Unavailable
from tests.support import devices, ledgers
from tests.support.disks import Ballast, small_disk
from tests.support.gatehouse import House, enrol, open_house, rows, until
from tests.support.receiver import receiving
from tests.support.sealed import Sender, alarm, reading

pytestmark = pytest.mark.faults

ADA = Sender("Ada")


def stored(state: Path) -> list[bytes]:
    """The messages on the disk, in the order of their commits."""
    return [row[0] for row in rows(state / "gateway.db", "SELECT raw FROM message ORDER BY id")]


def test_a_gateway_tells_people_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(committing, "RETRY_AFTER_S", 0.05)
    monkeypatch.setattr(duties, "TICK_S", 0.05)

    async def live(state: Path) -> None:
        ballast = Ballast(state)
        async with receiving() as receiver, open_house(state, duties=True, webhook_first=receiver.url) as house:
            raws = [ADA.seal(reading(number, at_ms=house.now_ms()), number) for number in range(60)]
            answers = [house.send(ADA, raw) for raw in raws[:20]]
            await until(lambda: all(answers))
            ballast.fill()
            for raw in raws[20:]:
                answers.append(house.send(ADA, raw))
                await asyncio.sleep(0.002)
            call = ADA.seal(alarm(at_ms=house.now_ms()))
            pressed = house.send(ADA, call, lane=topics.ALARM)
            await until(lambda: not house.gateway.committing.healthy)
            assert "disk is full" in caplog.text or "disk I/O error" in caplog.text
            await until(lambda: any(b"button" in taken.body for taken in receiver.taken))
            shown = {str(alert["kind"]) for alert in await house.gateway.desk.alerts(open_only=True)}
            assert {"button", "storage_failing"} <= shown
            acknowledged = [raw for raw, answer in zip(raws, answers, strict=True) if answer]
            assert stored(state) == acknowledged and len(acknowledged) < 60 and pressed == []
            await asyncio.to_thread(crashed, state, tmp_path / "crashed", len(acknowledged))
            ballast.throw_out()
            await until(lambda: house.gateway.committing.healthy and all(answers) and bool(pressed))
            assert answers == [[0]] * 60 and pressed == [0]
            assert sorted(stored(state)) == sorted([*raws, call])
            await until(
                lambda: house.record("SELECT state FROM alert WHERE kind = 'storage_failing'") == [("resolved",)]
            )
            assert house.record("SELECT COUNT(*) FROM alert WHERE kind = 'button'") == [(1,)]

    with small_disk(tmp_path / "disk", kib=2048) as state:
        enrol(state, ADA)
        asyncio.run(live(state))


def crashed(state: Path, copy: Path, acknowledged: int) -> None:
    """A gateway that is killed while the disk is full finds all that it acknowledged when it starts elsewhere."""
    shutil.copytree(state, copy, ignore=shutil.ignore_patterns("ballast", "*-shm", "gateway.lock"))

    async def start() -> None:
        house = House(copy)
        covered = house.gateway.directory.members[ADA.device].covered.get((topics.DATA, 1))
        assert covered is not None and covered.ranges() == [(0, acknowledged - 1)]
        await house.gateway.close()

    asyncio.run(start())


def test_a_gateway_that_starts_on_a_full_disk_tells_people_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "RETRY_AFTER_S", 0.05)
    first, second = (ADA.seal(reading(number), number) for number in range(2))

    async def before(state: Path) -> None:
        async with open_house(state) as house:
            assert await house.sent(ADA, first) == 0

    async def full(state: Path, ballast: Ballast) -> None:
        async with open_house(state, duties=True) as house:
            answers = house.send(ADA, second)
            await until(lambda: not house.gateway.committing.healthy)
            shown = [alert["kind"] for alert in await house.gateway.desk.alerts(open_only=True)]
            assert shown == ["storage_failing"] and answers == [] and stored(state) == [first]
            ballast.throw_out()
            await until(lambda: answers == [0])

    with small_disk(tmp_path / "disk", kib=2048) as state:
        enrol(state, ADA)
        asyncio.run(before(state))
        ballast = Ballast(state)
        ballast.fill()
        asyncio.run(full(state, ballast))
        assert stored(state) == [first, second]


def test_a_ledger_keeps_what_it_answered_for_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=2048) as folder:
        answered: list[tuple[bytes, bytes]] = []
        with ledgers.checked(folder) as engine:
            engine.register(ledgers.admission(folder))
            before = engine.size
            ballast = Ballast(folder)
            ballast.fill()
            with pytest.raises(Unavailable, match="storage_failed"):  # noqa: PT012 - which one is SQLite's affair
                for number in range(200):
                    raw = ledgers.anchor(number)
                    answered.append((raw, engine.register(raw).receipt))
            refused = len(answered)
            with pytest.raises(Unavailable, match="storage_failed"):
                engine.register(ledgers.anchor(refused))
            ballast.throw_out()
            for number in range(refused, refused + 5):
                raw = ledgers.anchor(number)
                answered.append((raw, engine.register(raw).receipt))
        key = ledgers.log_key(folder)
        with closing(ledgers.opened(folder)) as engine:
            entries = [statement.entry(engine.statement(index)) for index in range(engine.size)]
            tree = merkle.Tree([merkle.leaf_hash(entry) for entry in entries])
            assert engine.size == before + len(answered)
            for raw, proof in answered:
                found = receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
                assert engine.statement(found.index) == raw
                assert receipt.verify(found, entry=statement.entry(raw), key=key) == tree.root(found.size)
        fsck.check(folder)


def test_a_devices_spool_keeps_what_it_sealed_and_seals_the_rest_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=1024) as folder:
        spool = Spool(folder / "spool.db", bytes_max=1 << 30)
        agent = Agent(devices.LINK, spool, rng=Random(1))
        ballast = Ballast(folder)
        ballast.fill()
        with pytest.raises(Unavailable, match="spool_failing"):  # noqa: PT012 - which one is SQLite's affair
            for number in range(500):
                agent.read(devices.reading(number), clock=devices.clock(), simulated=True)
        sealed = spool.all()
        shutil.copytree(folder, tmp_path / "crashed", ignore=shutil.ignore_patterns("ballast", "*-shm"))
        ballast.throw_out()
        agent.read(devices.reading(500), clock=devices.clock(), simulated=True)
        kept = spool.all()
        assert kept[: len(sealed)] == sealed and [entry.seq for entry in kept] == list(range(len(kept)))
        said = [devices.opened(entry.raw, topics.DATA) for entry in kept]
        times = [vital.at_ms for each in said if isinstance(each, content.Data) for vital in each.vitals]
        assert times == [devices.START_MS + 1000 * number for number in (*range(len(kept) - 1), 500)]
        spool.close()
        after = Spool(tmp_path / "crashed" / "spool.db", bytes_max=1 << 30)
        assert after.all() == sealed
        after.close()
