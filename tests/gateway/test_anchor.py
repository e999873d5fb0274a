"""Batches: every stored message is in exactly one, in the order of the rows, and each batch names the one before it."""

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import anchor
from gateway.anchor import Stored
from gateway.store import anchors, devices, messages, schema
from gateway.store.messages import Row
from gateway.store.writer import RECORD_FILE
from protocol import documents, merkle, statement, topics
from protocol.documents import Anchor
from protocol.errors import NotFound
from protocol.keys import SigningKey
from tests.support import ledgers
from tests.support.gatehouse import enrol, open_house, until
from tests.support.sealed import NOW_MS, Sender, reading

KEY = SigningKey.from_seed(b"the gateway of the batch tests..")
ADA, BO = Sender("Ada"), Sender("Bo")


def slow_root(leaves: Sequence[bytes]) -> bytes:
    """The root over entries, as RFC 9162 §2.1.1 defines it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + slow_root(leaves[:half]) + slow_root(leaves[half:])).digest()


def stored(number: int, at_ms: int = NOW_MS) -> Stored:
    return Stored(topic=ADA.up(), received_ms=at_ms, digest=hashlib.sha256(b"%d" % number).digest())


def made(count: int, *, last: bytes | None = None, at_ms: int = NOW_MS) -> anchor.Made:
    batch = [stored(number, at_ms) for number in range(count)]
    return anchor.make(KEY, batch, last=last, begun_ms=NOW_MS - 1000, now_ms=NOW_MS + 1000)


# -- one batch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
def test_a_batch_has_the_root_of_its_entries_in_order(count: int) -> None:
    found = made(count).anchor
    assert (found.size, found.root) == (count, slow_root([anchor.entry_of(stored(number)) for number in range(count)]))


def test_an_entry_is_the_four_things_that_wire_md_says() -> None:
    assert cbor2.loads(anchor.entry_of(stored(1))) == [1, ADA.up(), NOW_MS, hashlib.sha256(b"1").digest()]


def test_the_statement_is_over_the_document_and_tells_nothing_else() -> None:
    found = made(3)
    signed = statement.parse(found.statement)
    statement.verify(signed, KEY.public, thumbprint=KEY.public.thumbprint)
    statement.check_preimage(signed, found.document)
    assert signed.kid == KEY.public.thumbprint and len(signed.kid) == 32
    assert (signed.iss, signed.sub) == (KEY.public.urn, documents.anchor_subject(KEY.public.thumbprint))
    assert signed.iat_s is None
    others = [made(count).statement for count in (0, 1, 100)]
    assert {len(each) for each in others} == {len(found.statement)}, "its size must not tell how much came"
    assert {statement.parse(each).sub for each in others} == {signed.sub}


def test_the_first_has_none_before_it_and_each_other_names_the_one_before() -> None:
    first = made(2)
    second = made(0, last=first.document)
    third = made(1, last=second.document)
    assert [each.anchor.n for each in (first, second, third)] == [0, 1, 2]
    assert first.anchor.prev == bytes(32)
    assert second.anchor.prev == hashlib.sha256(first.document).digest()
    assert third.anchor.prev == hashlib.sha256(second.document).digest()
    assert Anchor.decode(third.document) == third.anchor


def test_times_cover_every_message_and_meet_whatever_the_clock_does() -> None:
    first = made(2, at_ms=NOW_MS + 50_000)  # received in a future that the clock has taken back since
    assert (first.anchor.from_ms, first.anchor.to_ms) == (NOW_MS - 1000, NOW_MS + 50_000)
    second = made(1, last=first.document, at_ms=NOW_MS - 9000)
    assert (second.anchor.from_ms, second.anchor.to_ms) == (NOW_MS - 9000, NOW_MS + 1000)
    third = made(0, last=second.document)
    assert (third.anchor.from_ms, third.anchor.to_ms) == (NOW_MS + 1000, NOW_MS + 1000)


# -- all of them -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def record(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(schema.opened(folder / RECORD_FILE, schema.RECORD)) as conn:
        yield conn


def commit(conn: sqlite3.Connection, numbers: Sequence[int], at_ms: int) -> None:
    """Some messages become durable together: of two devices, on two lanes."""
    conn.execute("BEGIN IMMEDIATE")
    batch = [
        Row(device=1 + number % 2, lane=number % 3 % 2, boot=1, seq=number, received_ms=at_ms + number,
            hash=hashlib.sha256(b"%d" % number).digest(), raw=b"%d" % number)
        for number in numbers
    ]  # fmt: skip
    messages.insert(conn, batch)
    conn.execute("COMMIT")


def take(conn: sqlite3.Connection, at_ms: int, *, stop: bool = False) -> None:
    """Make the next batch. stop: the power goes before it is written."""
    batch = anchors.prepare(conn, KEY, begun_ms=NOW_MS, now_ms=at_ms)
    conn.execute("BEGIN IMMEDIATE")
    anchors.keep(conn, batch, now_ms=at_ms)
    conn.execute("ROLLBACK" if stop else "COMMIT")


def log_all(conn: sqlite3.Connection) -> None:
    """The ledger has all that waits."""
    for each in anchors.waiting(conn, most=1000):
        anchors.registered(conn, ledgers.placed(each.digest), now_ms=NOW_MS)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 20)),
        st.tuples(st.just("anchor"), st.integers(-100_000, 100_000)),
        st.tuples(st.just("stopped"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_every_stored_message_is_in_exactly_one_batch_in_the_order_of_the_rows(steps: list[tuple[str, int]]) -> None:
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
        folder = Path(name)
        enrol(folder, ADA, BO)
        conn = held.enter_context(record(folder))
        for kind, argument in [*steps, ("anchor", 0)]:
            if kind == "commit":
                commit(conn, [next(numbers) for _ in range(argument)], NOW_MS)
            elif kind == "restart":
                held.close()
                conn = held.enter_context(record(folder))
            else:
                take(conn, NOW_MS + argument, stop=kind == "stopped")
        _check(conn, next(numbers), made=sum(kind == "anchor" for kind, _ in steps) + 1)


def _check(conn: sqlite3.Connection, count: int, *, made: int) -> None:
    rows = conn.execute(
        "SELECT m.id, d.device, m.lane, m.received_ms, m.hash, m.raw FROM message m JOIN device d ON d.id = m.device"
        " ORDER BY m.id"
    ).fetchall()
    assert [row[5] for row in rows] == [b"%d" % number for number in range(count)]
    entries = [
        documents.BatchEntry(topic=topics.up(row[1], row[2]), received_ms=row[3], digest=row[4]).encode()
        for row in rows
    ]
    found = [Anchor.decode(row[0]) for row in conn.execute("SELECT document FROM anchor ORDER BY n")]
    assert len(found) == made and sum(each.size for each in found) == count
    begin, before = 0, None
    for n, each in enumerate(found):
        assert (each.n, each.root) == (n, slow_root(entries[begin : begin + each.size]))
        assert each.prev == (hashlib.sha256(before.encode()).digest() if before else bytes(32))
        begin, before = begin + each.size, each
    queued = conn.execute("SELECT statement FROM submission WHERE kind = 'anchor' ORDER BY rowid").fetchall()
    assert [statement.parse(row[0]).payload for row in queued] == [
        hashlib.sha256(each.encode()).digest() for each in found
    ]
    log_all(conn)
    for row, entry in zip(rows, entries, strict=True):
        number = int(row[5])
        place = anchors.place(conn, row[1], row[2], 1, number)
        assert place.raw == row[5] and anchor.entry_of(place.batch[place.index]) == entry
        batch = Anchor.decode(place.document)
        merkle.verify_inclusion(
            leaf=merkle.leaf_hash(entry),
            index=place.index,
            size=batch.size,
            path=anchor.tree_of(place.batch).path(place.index),
            root=batch.root,
        )


def test_two_batches_of_one_number_cannot_both_be_kept(tmp_path: Path) -> None:
    enrol(tmp_path, ADA)
    with record(tmp_path) as conn:
        both = [anchors.prepare(conn, KEY, begun_ms=NOW_MS, now_ms=NOW_MS + late) for late in (0, 1)]
        anchors.keep(conn, both[0], now_ms=NOW_MS)
        with pytest.raises(sqlite3.IntegrityError):
            anchors.keep(conn, both[1], now_ms=NOW_MS)


def test_what_becomes_durable_while_a_batch_is_made_is_in_the_next(tmp_path: Path) -> None:
    enrol(tmp_path, ADA, BO)
    with record(tmp_path) as conn:
        commit(conn, range(3), NOW_MS)
        batch = anchors.prepare(conn, KEY, begun_ms=NOW_MS, now_ms=NOW_MS)
        commit(conn, range(3, 5), NOW_MS)
        anchors.keep(conn, batch, now_ms=NOW_MS)
        take(conn, NOW_MS)
        _check(conn, 5, made=2)
        assert [row[0] for row in conn.execute("SELECT size FROM anchor ORDER BY n")] == [3, 2]


def test_a_message_that_is_in_no_batch_yet_is_said_to_be(tmp_path: Path) -> None:
    enrol(tmp_path, ADA, BO)
    with record(tmp_path) as conn:
        take(conn, NOW_MS)  # an empty one, whose range of rows must not take in the next message
        commit(conn, [0], NOW_MS)
        (row,) = [row for row in devices.load(conn) if row.row_id == 1]
        with pytest.raises(NotFound, match="not_anchored"):
            anchors.place(conn, row.device, 0, 1, 0)
        take(conn, NOW_MS)
        with pytest.raises(NotFound, match="message_unknown"):
            anchors.place(conn, row.device, 0, 1, 1)
        with pytest.raises(NotFound, match="not_logged"):
            anchors.place(conn, row.device, 0, 1, 0)
        log_all(conn)
        assert anchors.place(conn, row.device, 0, 1, 0).index == 0


# -- on schedule -----------------------------------------------------------------------------------------------------


def test_no_number_of_messages_makes_a_batch_before_its_time(tmp_path: Path) -> None:
    enrol(tmp_path, ADA)

    async def scene() -> None:
        async with open_house(tmp_path, duties=True, anchor_every_s=3600, data_burst=10_000) as house:
            answers = [house.send(ADA, ADA.seal(reading(seq), seq)) for seq in range(600)]
            await until(lambda: all(answer == [0] for answer in answers))
            assert house.record("SELECT COUNT(*) FROM message") == [(600,)]
            assert house.record("SELECT COUNT(*) FROM anchor") == [(0,)]

    asyncio.run(scene())


def test_the_order_in_which_statements_wait_is_admission_enrolments_batches_each_by_age(tmp_path: Path) -> None:
    with record(tmp_path) as conn:
        kinds = [("anchor", 5), ("enrolment", 6), ("anchor", 1), ("admission", 9), ("enrolment", 2)]
        for kind, age in kinds:
            anchors.queue(conn, kind, b"%s %d" % (kind.encode(), age), now_ms=NOW_MS + age)
            anchors.queue(conn, kind, b"%s %d" % (kind.encode(), age), now_ms=NOW_MS + 100)  # the same again: no more
        found = anchors.waiting(conn, most=9)
        assert [each.statement.decode() for each in found] == [
            "admission 9", "enrolment 2", "enrolment 6", "anchor 1", "anchor 5",
        ]  # fmt: skip
        assert anchors.backlog(conn) == (5, NOW_MS + 1)
        assert dataclasses.replace(found[0], made_ms=0) == anchors.Submission(
            digest=hashlib.sha256(b"admission 9").digest(), kind="admission", statement=b"admission 9", made_ms=0
        )
