"""Rows of messages and covered positions, written inside a transaction that the writer has begun."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from gateway.positions import Range, ranges_of
from protocol.content import Gap


class Row(NamedTuple):
    """One message to keep, in the order of its columns. device: row id; hash: SHA-256 of raw."""

    device: int
    lane: int
    boot: int
    seq: int
    received_ms: int
    hash: bytes
    raw: bytes


ROWS_AT_ONCE = 50
"""Rows in one statement: Python gives its lock away and takes it back at each, which costs more than the row."""
_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_INSERT_ONE = f"INSERT INTO message (device, lane, boot, seq, received_ms, hash, raw) VALUES {_ROW}"
_INSERT_MANY = _INSERT_ONE + f", {_ROW}" * (ROWS_AT_ONCE - 1)


def insert(conn: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Keep messages and cover their positions."""
    full = len(rows) - len(rows) % ROWS_AT_ONCE
    for first in range(0, full, ROWS_AT_ONCE):
        conn.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[first : first + ROWS_AT_ONCE])))
    conn.executemany(_INSERT_ONE, rows[full:])
    touched: dict[tuple[int, int, int], list[int]] = {}
    for row in rows:
        touched.setdefault((row.device, row.lane, row.boot), []).append(row.seq)
    for (device, lane, boot), seqs in touched.items():
        seqs.sort()
        cover(conn, device, lane, boot, ranges_of(seqs))


def cover(conn: sqlite3.Connection, device: int, lane: int, boot: int, ranges: Sequence[Range]) -> None:
    """Join ascending `ranges` with the covered intervals of a lane and boot."""
    place = (device, lane, boot, ranges[0][0] - 1, ranges[-1][1] + 1)
    where = "WHERE device = ? AND lane = ? AND boot = ? AND last >= ? AND first <= ?"
    old = conn.execute(f"SELECT first, last FROM covered {where}", place).fetchall()
    if old == [tuple(pair) for pair in ranges]:
        return
    joined: list[list[int]] = []
    for first, last in sorted([*old, *ranges]):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    conn.execute(f"DELETE FROM covered {where}", place)
    conn.executemany(
        "INSERT INTO covered (device, lane, boot, first, last) VALUES (?, ?, ?, ?, ?)",
        [(device, lane, boot, first, last) for first, last in joined],
    )


def note_conflicts(conn: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Keep a second message under a taken position as evidence; the same one again changes nothing."""
    conn.executemany(
        "INSERT OR IGNORE INTO conflict (device, lane, boot, seq, received_ms, hash, raw) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def note_gaps(conn: sqlite3.Connection, device: int, gaps: Iterable[Gap], *, message: tuple[int, int, int]) -> None:
    """Keep what a device says it no longer has. message: (lane, boot, seq) of the message that says so."""
    found = conn.execute(
        "SELECT id FROM message WHERE device = ? AND lane = ? AND boot = ? AND seq = ?", (device, *message)
    ).fetchone()
    conn.executemany(
        "INSERT OR IGNORE INTO gap (device, lane, boot, first, last, reason, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(device, gap.lane, gap.boot, first, last, gap.reason, found[0]) for gap in gaps for first, last in gap.ranges],
    )


def covered(conn: sqlite3.Connection) -> list[tuple[int, int, int, int, int]]:
    """All covered intervals: (device, lane, boot, first, last), ascending."""
    return conn.execute(
        "SELECT device, lane, boot, first, last FROM covered ORDER BY device, lane, boot, first"
    ).fetchall()


def hash_at(conn: sqlite3.Connection, device: int, lane: int, boot: int, seq: int) -> bytes | None:
    """SHA-256 of the message at a position; None when its row is gone."""
    found = conn.execute(
        "SELECT hash FROM message WHERE device = ? AND lane = ? AND boot = ? AND seq = ?", (device, lane, boot, seq)
    ).fetchone()
    return None if found is None else bytes(found[0])


def since(conn: sqlite3.Connection, *, from_ms: int) -> Iterator[tuple[int, int, int, bytes]]:
    """(device, lane, received_ms, raw) of every message received from `from_ms` on, in the order of its rows."""
    first = None
    for row_id, received_ms in conn.execute("SELECT id, received_ms FROM message ORDER BY id DESC"):
        if received_ms < from_ms:
            break
        first = row_id
    if first is not None:
        yield from conn.execute(
            "SELECT device, lane, received_ms, raw FROM message WHERE id >= ? ORDER BY id", (first,)
        )


def counts(conn: sqlite3.Connection) -> dict[int, int]:
    """Stored messages of each device (row id)."""
    return dict(conn.execute("SELECT device, COUNT(*) FROM message GROUP BY device").fetchall())
