"""The devices in memory: made from the stores, and again when another process changed them, without losing what is ahead of disk."""

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.directory import CONNECTS, Directory
from gateway.store import devices, keys, messages, schema
from gateway.store.writer import KEYS_FILE, RECORD_FILE
from protocol import topics
from tests.support.gatehouse import enrol, until
from tests.support.sealed import NOW_MS, Sender
from tests.support.street import MALLORY, Street, Town
from tests.support.wire import reason_of

ADA, BO = Sender("Ada"), Sender("Bo")


class Stores:
    """The two databases that a directory reads, open for writing."""

    def __init__(self, state: Path) -> None:
        enrol(state, ADA, BO)
        self.record = schema.opened(state / RECORD_FILE, schema.RECORD)
        self.secrets = schema.opened(state / KEYS_FILE, schema.KEYS)
        self.directory = Directory(data_rate=(50, 500), alarm_rate=(1, 10))

    def reload(self) -> set[str]:
        """What changed, by the directory."""
        return self.directory.reload(self.record, self.secrets)

    def cover(self, sender: Sender, lane: int, boot: int, first: int, last: int) -> None:
        """Make positions durable behind the directory's back."""
        row = devices.find(self.record, sender.device).row_id
        messages.cover(self.record, row, lane, boot, [(first, last)])


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """Two paired devices."""
    made = Stores(tmp_path)
    yield made
    for connection in (made.record, made.secrets):
        connection.close()


def test_a_directory_begins_with_what_is_on_the_disk(stores: Stores) -> None:
    stores.cover(ADA, topics.DATA, 2, 0, 9)
    stores.cover(ADA, topics.DATA, 2, 20, 29)
    stores.cover(ADA, topics.ALARM, 7, 0, 0)
    assert stores.reload() == {ADA.device, BO.device}
    ada, bo = stores.directory.members[ADA.device], stores.directory.members[BO.device]
    assert {place: found.ranges() for place, found in ada.covered.items()} == {
        (topics.DATA, 2): [(0, 9), (20, 29)],
        (topics.ALARM, 7): [(0, 0)],
    }
    assert (ada.floor, bo.floor, bo.covered) == (7, 0, {}) and (ada.intervals, bo.intervals) == (3, 0)
    assert (ada.kid, ada.lk, ada.state) == (ADA.key.public.kid, ADA.lk, "active")
    assert stores.directory.lanes == {who.up(lane): lane for who in (ADA, BO) for lane in (0, 1, 2)}


def test_a_reload_keeps_positions_that_are_ahead_of_the_disk(stores: Stores) -> None:
    stores.reload()
    ada = stores.directory.members[ADA.device]
    ada.durable(topics.DATA, 3, 5)
    ada.pending[topics.DATA, 3, 6] = b"waits"
    devices.set_state(stores.record, BO.device, "suspended", now_ms=NOW_MS)
    assert stores.reload() == {BO.device}
    assert stores.directory.members[ADA.device] is ada and ada.pending
    assert stores.directory.members[BO.device].state == "suspended"
    assert stores.reload() == set()


def test_a_device_that_is_paired_anew_is_another_member_with_its_positions(stores: Stores) -> None:
    stores.reload()
    before = stores.directory.members[ADA.device]
    stores.cover(ADA, topics.DATA, 4, 0, 3)
    row = devices.find(stores.record, ADA.device)
    devices.insert(stores.record, dataclasses.replace(row, link=b"LINK"))
    keys.put(stores.secrets, ADA.device, b"another link".ljust(32), now_ms=NOW_MS)
    assert stores.reload() == {ADA.device}
    after = stores.directory.members[ADA.device]
    assert after is not before and (after.link_id, after.lk) == (b"LINK", b"another link".ljust(32))
    assert after.covered[topics.DATA, 4].ranges() == [(0, 3)] and after.floor == 4


@pytest.mark.parametrize("state", devices.STATES)
def test_a_connection_is_welcome_in_some_states_only(stores: Stores, state: str) -> None:
    devices.set_state(stores.record, ADA.device, state, now_ms=NOW_MS)
    stores.reload()
    expected = state in {"enrolled", "active", "quarantined", "erasing"}
    assert stores.directory.welcome(ADA.device) is expected is (state in CONNECTS)
    assert stores.directory.device_of(ADA.key.public.x) == (ADA.device if expected else None)
    assert stores.directory.device_of(BO.key.public.x) == BO.device


def test_nobody_else_is_welcome(stores: Stores) -> None:
    stores.reload()
    assert not stores.directory.welcome("0" * 16) and stores.directory.device_of(bytes(32)) is None


def test_a_device_without_its_secrets_is_no_member(stores: Stores) -> None:
    stores.secrets.execute("DELETE FROM enrolment WHERE device = ?", (ADA.device,))
    stores.reload()
    assert list(stores.directory.members) == [BO.device] and not stores.directory.welcome(ADA.device)
    devices.set_state(stores.record, ADA.device, "erasing", now_ms=NOW_MS)
    stores.reload()
    assert stores.directory.welcome(ADA.device), "it can say that it has erased its own"


@pytest.mark.parametrize("state", ["suspended", "revoked"])
def test_a_device_that_is_no_longer_welcome_loses_its_connections(town: Town, tmp_path: Path, state: str) -> None:
    async def scene(street: Street) -> None:
        gateway = street.house.gateway
        wires = [await street.connect(MALLORY, lane) for lane in ("alarm", "data")]

        def job(conn: sqlite3.Connection) -> None:
            devices.set_state(conn, MALLORY.device, state, now_ms=NOW_MS)

        await gateway.writer.run(job)
        gateway.reload()
        assert [reason_of(await wire.end()) for wire in wires] == [0x87, 0x87]
        again = await street.dial(MALLORY)
        assert await again.end() == []
        await until(lambda: street.counted() == {"closed_by_gateway": 2, "refused_certificate": 1})

    town.play(scene, tmp_path)
