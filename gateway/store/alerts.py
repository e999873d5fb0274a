"""Rows of alerts, their history, and what is to be sent; written with the messages that caused them."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.alerts.book import Alert, Changes, Happened
from gateway.detect.finding import KINDS

SCHEMA = (
    "CREATE TABLE alert (id TEXT PRIMARY KEY, device TEXT NOT NULL, kind TEXT NOT NULL, priority TEXT NOT NULL,"
    " technical INTEGER NOT NULL, state TEXT NOT NULL, onset_ms INTEGER NOT NULL, raised_ms INTEGER NOT NULL,"
    " changed_ms INTEGER NOT NULL, acknowledged_ms INTEGER, acknowledged_by TEXT, cleared_ms INTEGER,"
    " simulated INTEGER NOT NULL, detail TEXT NOT NULL, step INTEGER NOT NULL, next_ms INTEGER, lane INTEGER,"
    " boot INTEGER, seq INTEGER)",
    "CREATE INDEX alert_open ON alert(raised_ms) WHERE state <> 'resolved'",
    "CREATE TABLE alert_event (id INTEGER PRIMARY KEY, alert TEXT NOT NULL REFERENCES alert(id), event TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL, by TEXT NOT NULL)",
    "CREATE UNIQUE INDEX alert_event_once ON alert_event(alert, at_ms, event, by)",
    "CREATE TABLE outbox (id TEXT PRIMARY KEY, alert TEXT NOT NULL, channel TEXT NOT NULL, body BLOB NOT NULL,"
    " made_ms INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL, state TEXT NOT NULL"
    " DEFAULT 'waiting', done_ms INTEGER, code TEXT)",
    "CREATE INDEX outbox_waiting ON outbox(channel, next_ms) WHERE state = 'waiting'",
)
_COLUMNS = (
    "id, device, kind, priority, technical, state, onset_ms, raised_ms, changed_ms, acknowledged_ms, acknowledged_by,"
    " cleared_ms, simulated, detail, step, next_ms, lane, boot, seq"
)
_MARKS = ", ".join("?" * 19)
LISTED_MAX = 500  # alerts in one list; the newest
STRIP_BEFORE_MS, STRIP_AFTER_MS = (
    30_000,
    60_000,
)  # kept around an alarm until erased: before its onset, after its raising
STRIP_ONSET_MS = 600_000  # an onset lies at most so long before the raising; a device's clock may say anything
KEPT_DETAILS = frozenset({"coalesced", "late", "reason", "silent_s", "stream"})  # readings are kept sealed only


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A notice that is to be sent. tries: made so far."""

    id: str
    alert: str
    channel: str
    body: bytes
    made_ms: int
    tries: int


def write(conn: sqlite3.Connection, changes: Changes) -> None:
    """Put the rows of `changes`; the same again changes nothing more, as when a commit that was durable is tried again."""
    conn.executemany(
        f"INSERT OR REPLACE INTO alert ({_COLUMNS}) VALUES ({_MARKS})", [_values(alert) for alert in changes.alerts]
    )
    conn.executemany(
        "INSERT OR IGNORE INTO alert_event (alert, event, at_ms, by) VALUES (?, ?, ?, ?)",
        [(line.alert, line.event, line.at_ms, line.by) for line in changes.history],
    )
    conn.executemany(
        "INSERT OR IGNORE INTO outbox (id, alert, channel, body, made_ms, next_ms) VALUES (?, ?, ?, ?, ?, ?)",
        [(n.id, n.alert, n.channel, n.body, n.made_ms, n.made_ms) for n in changes.notices],
    )


def load(conn: sqlite3.Connection, *, most: int) -> list[Alert]:
    """Every open alert and the newest resolved ones, oldest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM alert WHERE state <> 'resolved' UNION ALL SELECT * FROM (SELECT {_COLUMNS} FROM alert"
        " WHERE state = 'resolved' ORDER BY changed_ms DESC LIMIT ?) ORDER BY raised_ms",
        (most,),
    )
    return [_alert(row) for row in rows]


def listed(conn: sqlite3.Connection, *, open_only: bool) -> list[Alert]:
    """Alerts for people, the newest first."""
    where = "WHERE state <> 'resolved'" if open_only else ""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM alert {where} ORDER BY raised_ms DESC LIMIT ?", (LISTED_MAX,))
    return [_alert(row) for row in rows]


def strips(conn: sqlite3.Connection, *, from_ms: int) -> list[tuple[int, int, int]]:
    """(device row id, from, to) around each alarm of a person that was raised at `from_ms` or later, Unix ms of receiving."""
    rows = conn.execute(
        "SELECT d.id, a.onset_ms, a.raised_ms FROM alert a JOIN device d ON d.device = a.device"
        " WHERE a.technical = 0 AND a.raised_ms >= ?",
        (from_ms,),
    ).fetchall()
    return [
        (row, max(min(onset_ms, raised_ms), raised_ms - STRIP_ONSET_MS) - STRIP_BEFORE_MS, raised_ms + STRIP_AFTER_MS)
        for row, onset_ms, raised_ms in rows
    ]


def find(conn: sqlite3.Connection, name: str) -> Alert | None:
    """One alert by its id."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM alert WHERE id = ?", (name,)).fetchone()
    return None if row is None else _alert(row)


def history(conn: sqlite3.Connection, name: str) -> list[Happened]:
    """What happened to an alert, in order."""
    rows = conn.execute("SELECT alert, event, at_ms, by FROM alert_event WHERE alert = ? ORDER BY id", (name,))
    return [Happened(alert=row[0], event=row[1], at_ms=row[2], by=row[3]) for row in rows]


def channels(conn: sqlite3.Connection) -> set[str]:
    """Channels that a notice waits for."""
    return {str(row[0]) for row in conn.execute("SELECT DISTINCT channel FROM outbox WHERE state = 'waiting'")}


def waiting(conn: sqlite3.Connection, channel: str, *, now_ms: int, most: int) -> list[Waiting]:
    """A channel's notices whose time has come: those never tried first, then the oldest, so that a new alarm does not
    queue behind what has failed."""
    rows = conn.execute(
        "SELECT id, alert, channel, body, made_ms, tries FROM outbox WHERE state = 'waiting' AND channel = ?"
        " AND next_ms <= ? ORDER BY tries > 0, made_ms, id LIMIT ?",
        (channel, now_ms, most),
    )
    names = ("id", "alert", "channel", "body", "made_ms", "tries")
    return [Waiting(**dict(zip(names, row, strict=True))) for row in rows]


def pending(conn: sqlite3.Connection) -> int:
    """How many notices wait."""
    return int(conn.execute("SELECT COUNT(*) FROM outbox WHERE state = 'waiting'").fetchone()[0])


def sent(conn: sqlite3.Connection, notice: str, *, now_ms: int) -> None:
    """A channel took the notice."""
    conn.execute("UPDATE outbox SET state = 'sent', done_ms = ?, tries = tries + 1 WHERE id = ?", (now_ms, notice))


def later(conn: sqlite3.Connection, notice: str, *, next_ms: int, code: str) -> None:
    """A channel did not take it now."""
    conn.execute("UPDATE outbox SET tries = tries + 1, next_ms = ?, code = ? WHERE id = ?", (next_ms, code, notice))


def dead(conn: sqlite3.Connection, notice: str, *, now_ms: int, code: str) -> None:
    """A channel will not take it: given up."""
    conn.execute(
        "UPDATE outbox SET state = 'dead', tries = tries + 1, done_ms = ?, code = ? WHERE id = ?",
        (now_ms, code, notice),
    )


def bury(conn: sqlite3.Connection, *, channel: str, now_ms: int, code: str) -> None:
    """Give up everything that waits for a channel."""
    conn.execute(
        "UPDATE outbox SET state = 'dead', done_ms = ?, code = ? WHERE state = 'waiting' AND channel = ?",
        (now_ms, code, channel),
    )


def view(alert: Alert) -> Mapping[str, object]:
    """An alert for a page or a program."""
    return {
        "id": alert.id,
        "device": alert.device,
        "kind": alert.kind,
        "text": KINDS[alert.kind].text,
        "priority": alert.priority,
        "technical": alert.technical,
        "state": alert.state,
        "onset_ms": alert.onset_ms,
        "raised_ms": alert.raised_ms,
        "acknowledged_ms": alert.acknowledged_ms,
        "acknowledged_by": alert.acknowledged_by,
        "cleared_ms": alert.cleared_ms,
        "simulated": alert.simulated,
    }


def _values(alert: Alert) -> tuple[object, ...]:
    return (
        alert.id,
        alert.device,
        alert.kind,
        alert.priority,
        int(alert.technical),
        alert.state,
        alert.onset_ms,
        alert.raised_ms,
        alert.changed_ms,
        alert.acknowledged_ms,
        alert.acknowledged_by,
        alert.cleared_ms,
        int(alert.simulated),
        json.dumps({key: value for key, value in alert.detail.items() if key in KEPT_DETAILS}, sort_keys=True),
        alert.step,
        alert.next_ms,
        *(alert.source or (None, None, None)),
    )


def _alert(row: tuple[object, ...]) -> Alert:
    body = dict(zip(_COLUMNS.split(", "), row, strict=True))
    place = (body.pop("lane"), body.pop("boot"), body.pop("seq"))
    body["technical"], body["simulated"] = bool(body["technical"]), bool(body["simulated"])
    body["detail"] = json.loads(str(body["detail"]))
    return Alert(**body, source=None if place[0] is None else place)  # type: ignore[arg-type]
