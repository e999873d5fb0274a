"""Messages on disk: as they came, each position once, and positions that stay taken when their rows are gone."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.positions import ranges_of
from gateway.store import messages, schema
from gateway.store.messages import Row
from gateway.store.writer import RECORD_FILE, Writer
from protocol.content import Gap
from protocol.errors import Unavailable
from tests.support.gatehouse import enrol, open_house
from tests.support.sealed import Sender, reading

ADA, BO = Sender("Ada"), Sender("Bo")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A record with two devices."""
    enrol(tmp_path, ADA, BO)
    made = schema.opened(tmp_path / RECORD_FILE, schema.RECORD)
    yield made
    made.close()


def row(seq: int, *, device: int = 1, lane: int = 1, boot: int = 1, raw: bytes | None = None) -> Row:
    """A message at a position."""
    data = f"{device}/{lane}/{boot}/{seq}".encode() if raw is None else raw
    digest = hashlib.sha256(data).digest()
    return Row(device=device, lane=lane, boot=boot, seq=seq, received_ms=1_000 + seq, hash=digest, raw=data)


def covered(conn: sqlite3.Connection) -> list[tuple[int, int]]:
    """The covered intervals of the first device's data lane and boot."""
    return [
        (first, last) for device, lane, boot, first, last in messages.covered(conn) if (device, lane, boot) == (1, 1, 1)
    ]


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20), min_size=1, max_size=12))
@settings(deadline=None)
def test_covered_intervals_are_the_positions_that_were_written(commits: list[list[int]]) -> None:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    conn.execute(
        "CREATE TABLE covered (device INTEGER NOT NULL, lane INTEGER NOT NULL, boot INTEGER NOT NULL,"
        " first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (device, lane, boot, first))"
    )
    for seqs in commits:
        messages.cover(conn, 1, 1, 1, ranges_of(sorted(set(seqs))))
    assert covered(conn) == ranges_of(sorted({seq for seqs in commits for seq in seqs}))
    conn.close()


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100, 137, 500])
def test_a_batch_of_any_size_is_stored_as_it_came_and_in_its_order(conn: sqlite3.Connection, count: int) -> None:
    rows = [row(seq, device=1 + seq % 2, lane=seq % 3 % 2, boot=1 + seq % 5) for seq in range(count)]
    Random(count).shuffle(rows)
    messages.insert(conn, rows)
    found = conn.execute("SELECT device, lane, boot, seq, received_ms, hash, raw FROM message ORDER BY id").fetchall()
    assert found == [
        (each.device, each.lane, each.boot, each.seq, each.received_ms, each.hash, each.raw) for each in rows
    ]
    taken = {(d, lane, b, s) for d, lane, b, first, last in messages.covered(conn) for s in range(first, last + 1)}
    assert taken == {(each.device, each.lane, each.boot, each.seq) for each in rows}
    assert sum(messages.counts(conn).values()) == count


def test_devices_lanes_and_boots_do_not_share_positions(conn: sqlite3.Connection) -> None:
    messages.insert(conn, [row(3), row(3, device=2), row(3, lane=0), row(3, boot=2), row(4, boot=2)])
    assert messages.covered(conn) == [(1, 0, 1, 3, 3), (1, 1, 1, 3, 3), (1, 1, 2, 3, 4), (2, 1, 1, 3, 3)]
    assert messages.counts(conn) == {1: 4, 2: 1}


def test_a_position_is_never_stored_twice_and_the_transaction_that_tries_writes_nothing(tmp_path: Path) -> None:
    enrol(tmp_path, ADA)
    writer = Writer(tmp_path)
    writer.submit(lambda conn: messages.insert(conn, [row(0), row(1)])).result()
    with pytest.raises(Unavailable, match="UNIQUE"):
        writer.submit(lambda conn: messages.insert(conn, [row(2), row(1, raw=b"another")])).result()
    found = writer.submit(lambda conn: (messages.counts(conn), covered(conn))).result()
    assert found == ({1: 2}, [(0, 1)])
    writer.close()


def test_the_hash_of_a_position_is_found_until_its_row_is_gone(conn: sqlite3.Connection) -> None:
    messages.insert(conn, [row(2**47)])
    assert messages.hash_at(conn, 1, 1, 1, 2**47) == row(2**47).hash
    assert messages.hash_at(conn, 1, 1, 1, 2**47 - 1) is None
    assert messages.hash_at(conn, 2, 1, 1, 2**47) is None


def test_a_second_message_at_a_position_is_kept_once_as_evidence(conn: sqlite3.Connection) -> None:
    for _ in range(2):
        messages.note_conflicts(conn, [row(0, raw=b"one"), row(0, raw=b"two")])
    assert conn.execute("SELECT seq, raw FROM conflict ORDER BY id").fetchall() == [(0, b"one"), (0, b"two")]


def test_a_gap_names_the_message_that_said_so(conn: sqlite3.Connection) -> None:
    messages.insert(conn, [row(8), row(9)])
    gap = Gap(lane=1, boot=1, ranges=((0, 3), (5, 7)), reason="evicted")
    for _ in range(2):
        messages.note_gaps(conn, 1, [gap], message=(1, 1, 9))
    found = conn.execute("SELECT lane, boot, first, last, reason, message FROM gap ORDER BY first").fetchall()
    assert found == [(1, 1, 0, 3, "evicted", 2), (1, 1, 5, 7, "evicted", 2)]
    assert covered(conn) == [(8, 9)]  # what a device no longer has is not what we have


def test_positions_stay_taken_when_their_rows_are_gone(tmp_path: Path) -> None:
    """Rows may be moved away one day; a message of then is receipted again to the device that kept it, and never taken twice."""
    enrol(tmp_path, ADA)
    raws = [ADA.seal(reading(seq), seq) for seq in range(4)]

    async def first() -> None:
        async with open_house(tmp_path) as house:
            assert [await house.sent(ADA, raw) for raw in raws] == [0] * 4
            await house.gateway.writer.run(lambda conn: conn.execute("DELETE FROM message WHERE seq < 3"))

    async def again() -> None:
        async with open_house(tmp_path) as house:
            assert await house.sent(ADA, raws[1]) == 0
            assert house.record("SELECT seq FROM message") == [(3,)]
            assert [told.ranges for told in house.receipts(ADA)] == [((1, 1),)]

    asyncio.run(first())
    asyncio.run(again())
    connection = schema.reader(tmp_path / RECORD_FILE)
    assert covered(connection) == [(0, 3)]
    connection.close()


def test_row_ids_are_never_used_again_so_that_no_batch_can_change_its_meaning(conn: sqlite3.Connection) -> None:
    messages.insert(conn, [row(0), row(1)])
    conn.execute("DELETE FROM message")
    messages.insert(conn, [row(2)])
    assert conn.execute("SELECT id FROM message").fetchall() == [(3,)]
