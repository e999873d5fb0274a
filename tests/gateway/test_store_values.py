"""Sealed decoded readings: samples apart from vitals, pruned each at its time, kept around alarms, gone when they are gone."""

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import schema, values
from gateway.store.values import Kept
from gateway.store.writer import VALUES_FILE, Writer
from protocol import content
from protocol.content import Clock, Data
from protocol.errors import BadSignature
from protocol.senml import Vital
from protocol.waves import Wave
from tests.support import contents

KEY, NAME = bytes(range(32)), "00112233445566aa"
AT_MS = 1_700_000_000_000
DATA = content.CONTENT_TYPES[1]


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new values.db."""
    made = schema.opened(tmp_path / VALUES_FILE, schema.VALUES, full=False)
    yield made
    made.close()


def both(at_ms: int = AT_MS) -> Data:
    """A second with a pulse and a stretch of ECG."""
    samples = bytes(range(100)) * 2
    wave = Wave(stream="ecg", t0_ms=at_ms, rate_mhz=100_000, scale=0.01, place="II", n=100, samples=samples)
    vital = Vital(name="MDC_ECG_HEART_RATE", value=61, at_ms=at_ms)
    return Data(clock=Clock(up_ms=1, wall_ms=at_ms, synced=True), simulated=False, vitals=(vital,), waves=(wave,))


def kept(said: content.Content, at_ms: int = AT_MS) -> Kept:
    """As a batch holds it."""
    return at_ms, contents.content_type(said), content.encode(said)


def keep(conn: sqlite3.Connection, *times_ms: int, device: int = 1) -> None:
    """A second of readings received at each of these times, each in a commit of its own."""
    for at_ms in times_ms:
        values.keep(conn, device, NAME, KEY, [kept(both(at_ms), at_ms)])


def read(conn: sqlite3.Connection, device: int = 1) -> tuple[list[int], list[int]]:
    """When the vital signs and the samples that are there were received."""
    found = [(at_ms, said) for at_ms, said in values.since(conn, device, NAME, KEY, from_ms=0)]
    datas = [(at_ms, said) for at_ms, said in found if isinstance(said, Data)]
    return [at_ms for at_ms, said in datas if said.vitals], [at_ms for at_ms, said in datas if said.waves]


def joined(said: list[Data]) -> tuple[object, ...]:
    """What contents say together."""
    return (
        [vital for each in said for vital in each.vitals],
        [wave for each in said for wave in each.waves],
        [gap for each in said for gap in each.gaps],
        {(each.clock, each.simulated) for each in said},
    )


@given(contents.data)
def test_taken_apart_a_content_says_the_same(said: Data) -> None:
    rest, samples = values.split([kept(said)])
    parts = [content.decode(data, content_type=kind) for _, kind, data in (*rest, *samples)]
    assert joined([part for part in parts if isinstance(part, Data)]) == joined([said])
    assert all(
        not isinstance(content.decode(data, content_type=DATA), Data) or not both_in(data) for _, _, data in rest
    )
    assert len(samples) == (1 if said.waves else 0)


def both_in(data: bytes) -> bool:
    """Whether a content has samples."""
    said = content.decode(data, content_type=DATA)
    return isinstance(said, Data) and bool(said.waves)


@given(st.one_of(contents.alarms, contents.states, contents.data.filter(lambda said: not said.waves)))
def test_a_content_without_samples_is_kept_as_it_came(said: content.Content) -> None:
    assert values.split([kept(said)]) == ([kept(said)], [])


def test_what_is_kept_is_read_in_the_order_of_receiving(conn: sqlite3.Connection) -> None:
    keep(conn, AT_MS + 2_000, AT_MS, AT_MS + 1_000)
    assert read(conn) == ([AT_MS, AT_MS + 1_000, AT_MS + 2_000],) * 2
    assert values.since(conn, 1, NAME, KEY, from_ms=AT_MS + 2_001) == []
    assert values.since(conn, 2, NAME, KEY, from_ms=0) == []


def test_a_row_is_bound_to_its_device_and_its_key(conn: sqlite3.Connection) -> None:
    keep(conn, AT_MS)
    for name, key in (("f" * 16, KEY), (NAME, bytes(32))):
        with pytest.raises(BadSignature):
            values.since(conn, 1, name, key, from_ms=0)


@pytest.mark.parametrize("step_ms", [1, -1, 700])
def test_a_commit_that_was_tried_for_hours_makes_rows_of_a_minute(conn: sqlite3.Connection, step_ms: int) -> None:
    batch = [kept(both(), AT_MS + number * step_ms) for number in range(400)]
    values.keep(conn, 1, NAME, KEY, batch)
    spans = [last - first for first, last in conn.execute("SELECT first_ms, last_ms FROM value")]
    assert max(spans) <= values.SPAN_MS
    assert read(conn)[0] == sorted(at_ms for at_ms, _, _ in batch)


def test_samples_and_vitals_go_each_at_its_own_time_and_not_a_millisecond_before(conn: sqlite3.Connection) -> None:
    keep(conn, AT_MS, AT_MS + 1_000)
    assert values.prune(conn, samples=True, before_ms=AT_MS) == 0
    assert values.prune(conn, samples=True, before_ms=AT_MS + 1) == 1
    assert read(conn) == ([AT_MS, AT_MS + 1_000], [AT_MS + 1_000])
    assert values.prune(conn, samples=False, before_ms=AT_MS + 1_001) == 2
    assert read(conn) == ([], [AT_MS + 1_000])


def test_a_row_that_is_not_over_stays_whole(conn: sqlite3.Connection) -> None:
    values.keep(conn, 1, NAME, KEY, [kept(both(), AT_MS), kept(both(), AT_MS + 1_000)])
    assert values.prune(conn, samples=True, before_ms=AT_MS + 1_000) == 0
    assert read(conn)[1] == [AT_MS, AT_MS + 1_000]


def test_pruning_takes_a_few_rows_at_a_time(conn: sqlite3.Connection) -> None:
    keep(conn, *range(AT_MS, AT_MS + 7))
    counts = [values.prune(conn, samples=True, before_ms=AT_MS + 100, most=3) for _ in range(4)]
    assert counts == [3, 3, 1, 0]


def test_what_is_held_outlives_pruning_and_ends_with_erasure(conn: sqlite3.Connection) -> None:
    keep(conn, *range(AT_MS, AT_MS + 10_000, 1_000))
    keep(conn, AT_MS + 5_000, device=2)
    values.hold(conn, [(1, AT_MS + 3_000, AT_MS + 5_000)])
    for samples in (True, False):
        values.prune(conn, samples=samples, before_ms=AT_MS + 10**9)
    held = [AT_MS + 3_000, AT_MS + 4_000, AT_MS + 5_000]
    assert read(conn) == (held, held)
    assert read(conn, device=2) == ([], [])
    assert values.oldest(conn) is None
    values.erase(conn, 1)
    assert read(conn) == ([], [])


def test_a_row_that_only_touches_what_is_held_is_held(conn: sqlite3.Connection) -> None:
    values.keep(conn, 1, NAME, KEY, [kept(both(), AT_MS), kept(both(), AT_MS + 1_000)])
    for span in ((1, AT_MS - 9, AT_MS - 1), (1, AT_MS + 1_001, AT_MS + 9_000), (2, AT_MS, AT_MS)):
        values.hold(conn, [span])
        assert conn.execute("SELECT SUM(strip) FROM value").fetchone() == (0,)
    values.hold(conn, [(1, AT_MS - 9, AT_MS)])
    assert conn.execute("SELECT MIN(strip) FROM value").fetchone() == (1,)


def test_the_oldest_row_is_found_in_the_index(conn: sqlite3.Connection) -> None:
    assert values.oldest(conn) is None
    keep(conn, AT_MS + 1, AT_MS)
    assert values.oldest(conn) == AT_MS
    plan = str(
        conn.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM value WHERE strip = 0 AND samples = 1 AND last_ms < 5 LIMIT 3"
        ).fetchall()
    )
    assert "value_age" in plan


def test_what_is_pruned_is_in_no_byte_of_the_files(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    times = range(AT_MS, AT_MS + 50_000, 1_000)
    writer.submit(lambda conn: keep(conn, *times), file=VALUES_FILE).result()
    rows = writer.submit(
        lambda conn: conn.execute("SELECT sealed FROM value ORDER BY id").fetchall(), file=VALUES_FILE
    ).result()
    gone, stays = [row[0][-64:] for row in rows[:-2]], [row[0][-64:] for row in rows[-2:]]
    assert all(any(piece in data for data in files(tmp_path)) for piece in gone)
    for samples in (True, False):
        writer.submit(partial(values.prune, samples=samples, before_ms=times[-1]), file=VALUES_FILE).result()
    writer.scrub(VALUES_FILE).result()
    assert not any(piece in data for piece in gone for data in files(tmp_path))
    assert all(any(piece in data for data in files(tmp_path)) for piece in stays)
    writer.close()


def files(folder: Path) -> list[bytes]:
    """Every byte of values.db and its journal."""
    return [path.read_bytes() for path in sorted(folder.glob(f"{VALUES_FILE}*")) if not path.name.endswith("-shm")]


def test_rows_of_before_samples_were_kept_apart_go_when_samples_go(tmp_path: Path) -> None:
    database = sqlite_utils.Database(tmp_path / VALUES_FILE)
    schema.VALUES.apply(database, stop_before="retention")
    sealed = values.seal(KEY, NAME, [kept(both())])
    database.conn.execute(
        "INSERT INTO value (device, first_ms, last_ms, sealed) VALUES (1, ?, ?, ?)", (AT_MS, AT_MS, sealed)
    )
    database.conn.commit()
    database.close()
    conn = schema.opened(tmp_path / VALUES_FILE, schema.VALUES)
    assert read(conn) == ([AT_MS], [AT_MS])
    assert values.prune(conn, samples=True, before_ms=AT_MS + 1) == 1
    conn.close()
