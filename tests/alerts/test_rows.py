"""Alerts on disk: read as they were written, written once however often, in the order in which things happened."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.alerts.book import Alert, Book, Changes
from gateway.alerts.escalation import Policy
from gateway.detect.finding import finding
from gateway.store import alerts

POLICY = Policy(first=("first",), second=("second",))


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    """A database with the tables of alerts."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    for statement in alerts.SCHEMA:
        made.execute(statement)
    yield made
    made.close()


def raised(book: Book, kind: str, *, onset_ms: int, now_ms: int, silence: bool = False) -> Changes:
    """An alert of a message, or of silence."""
    found = finding(kind, "raised", onset_ms=onset_ms, at_ms=now_ms, detail={"value": 38.5, "late": 1})
    return book.consider("a" * 16, found, now_ms=now_ms, simulated=True, source=None if silence else (0, 2**40, 7))


def lived(conn: sqlite3.Connection) -> Book:
    """A book with a fall that was escalated and acknowledged, a silence, and a resolved call; all written."""
    book = Book(POLICY)
    (fall,) = raised(book, "fall", onset_ms=1, now_ms=10).alerts
    (call,) = (first := raised(book, "button", onset_ms=2, now_ms=20)).alerts
    changes = [Changes(alerts=(fall,)), first, raised(book, "device_silent", onset_ms=3, now_ms=30, silence=True)]
    changes.append(book.resolve(call.id, by="Bob", now_ms=40))
    changes.append(book.due(60_010))
    changes.append(book.acknowledge(fall.id, by="Eve", now_ms=70_000))
    for each in changes:
        alerts.write(conn, each)
    return book


def test_alerts_are_read_as_they_were_written(conn: sqlite3.Connection) -> None:
    book = lived(conn)
    rows = alerts.load(conn, most=10)
    assert [row for row in rows if row.state != "resolved"] == [replace(row, detail={"late": 1}) for row in book.open()]
    assert [row.kind for row in rows] == ["fall", "button", "device_silent"]
    assert rows[0].source == (0, 2**40, 7)
    assert rows[2].source is None


def test_a_list_has_the_newest_first_and_the_open_ones_alone_when_asked(conn: sqlite3.Connection) -> None:
    lived(conn)
    assert [row.kind for row in alerts.listed(conn, open_only=False)] == ["device_silent", "button", "fall"]
    assert [row.kind for row in alerts.listed(conn, open_only=True)] == ["device_silent", "fall"]


def test_one_alert_is_found_by_its_name(conn: sqlite3.Connection) -> None:
    first = lived(conn).open()[0]
    assert alerts.find(conn, first.id) == replace(first, detail={"late": 1})
    assert alerts.find(conn, "0" * 32) is None


def test_only_the_newest_resolved_alerts_are_loaded_and_every_open_one(conn: sqlite3.Connection) -> None:
    book = Book(POLICY)
    for n in range(6):
        changes = raised(book, "button", onset_ms=n, now_ms=n)
        alerts.write(conn, changes)
        if n < 4:
            alerts.write(conn, book.resolve(changes.alerts[0].id, by="Bob", now_ms=100 + n))
    assert [row.onset_ms for row in alerts.load(conn, most=2)] == [2, 3, 4, 5]


def test_a_history_keeps_its_order_when_a_commit_is_tried_again(conn: sqlite3.Connection) -> None:
    book = Book(POLICY)
    first = raised(book, "fall", onset_ms=1, now_ms=10)
    name = first.alerts[0].id
    steps = [first, book.due(60_010), book.acknowledge(name, by="Eve", now_ms=70_000)]
    for each in (*steps, *steps[:1]):
        alerts.write(conn, each)
    lines = alerts.history(conn, name)
    assert [(line.event, line.by) for line in lines] == [("raise", ""), ("escalate", ""), ("acknowledge", "Eve")]


def test_a_notice_that_was_sent_does_not_wait_again_when_its_commit_is_tried_again(conn: sqlite3.Connection) -> None:
    changes = raised(Book(POLICY), "fall", onset_ms=1, now_ms=10)
    alerts.write(conn, changes)
    alerts.sent(conn, changes.notices[0].id, now_ms=20)
    alerts.write(conn, changes)
    assert alerts.pending(conn) == 0
    assert not alerts.waiting(conn, "first", now_ms=10**9, most=10)


def test_a_notice_waits_for_its_own_channel_and_its_own_time(conn: sqlite3.Connection) -> None:
    changes = raised(Book(POLICY), "channel_failed", onset_ms=1, now_ms=10)
    alerts.write(conn, changes)
    assert alerts.channels(conn) == {"first", "second"}
    alerts.later(conn, changes.notices[0].id, next_ms=500, code="503")
    assert not alerts.waiting(conn, "first", now_ms=499, most=10)
    (late,) = alerts.waiting(conn, "first", now_ms=500, most=10)
    assert (late.tries, late.body) == (1, changes.notices[0].body)
    (other,) = alerts.waiting(conn, "second", now_ms=10, most=10)
    assert other.tries == 0


def test_no_reading_is_kept_in_the_clear(conn: sqlite3.Connection) -> None:
    lived(conn)
    assert "38.5" not in "\n".join(conn.iterdump())


def test_a_shown_alert_carries_no_reading(conn: sqlite3.Connection) -> None:
    shown: Alert = lived(conn).open()[0]
    assert "38.5" not in str(alerts.view(shown))
    assert "detail" not in alerts.view(shown)
