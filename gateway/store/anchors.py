"""Rows of batches, and of statements on their way to the ledger."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.anchor import Made, Stored, make
from protocol import growth, statement, topics
from protocol.errors import NotFound
from protocol.growth import Placed
from protocol.keys import SigningKey
from protocol.notes import Checkpoint

RANKS = {"admission": 0, "enrolment": 1, "anchor": 2}  # the ledger refuses an anchor before its gateway's admission


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A statement that waits for the ledger. digest: SHA-256 of it."""

    digest: bytes
    kind: str
    statement: bytes
    made_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A statement in the log, its place there, and the receipt of it."""

    statement: bytes
    epoch: int
    index: int
    receipt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A checkpoint of a log. note: as it was signed; at_ms: when it was seen, Unix ms; ended: the size at which the log ended,
    None when no next epoch of it was seen."""

    checkpoint: Checkpoint
    note: str
    at_ms: int
    ended: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A new batch and the rows in it. first, last: row ids; first is above last when there are none."""

    made: Made
    first: int
    last: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A message's place in its batch. batch: everything in it, in order."""

    row_id: int
    raw: bytes
    device: str
    lane: int
    boot: int
    seq: int
    index: int
    batch: tuple[Stored, ...]
    document: bytes
    statement: bytes


def prepare(conn: sqlite3.Connection, key: SigningKey, *, begun_ms: int, now_ms: int) -> Batch:
    """The next batch, of everything that is in none. It only reads, and may take long: not in the writer's thread, where
    an alarm's commit would wait for it. Rows that become durable meanwhile have higher ids and are the next batch's."""
    last = conn.execute("SELECT n, last, document FROM anchor ORDER BY n DESC LIMIT 1").fetchone()
    after = 0 if last is None else last[1]
    rows = conn.execute(
        "SELECT m.id, d.device, m.lane, m.received_ms, m.hash FROM message m JOIN device d ON d.id = m.device"
        " WHERE m.id > ? ORDER BY m.id",
        (after,),
    ).fetchall()
    stored = [Stored(topic=topics.up(row[1], row[2]), received_ms=row[3], digest=row[4]) for row in rows]
    return Batch(
        made=make(key, stored, last=None if last is None else last[2], begun_ms=begun_ms, now_ms=now_ms),
        first=rows[0][0] if rows else after + 1,
        last=rows[-1][0] if rows else after,
        size=len(rows),
    )


def keep(conn: sqlite3.Connection, batch: Batch, *, now_ms: int) -> None:
    """Write a batch and queue its statement, in the caller's transaction. Two of one number are refused by the table."""
    made = batch.made
    digest = statement.entry(made.statement)
    conn.execute(
        "INSERT INTO anchor (n, first, last, size, from_ms, to_ms, document, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            made.anchor.n,
            batch.first,
            batch.last,
            batch.size,
            made.anchor.from_ms,
            made.anchor.to_ms,
            made.document,
            digest,
        ),
    )
    queue(conn, "anchor", made.statement, now_ms=now_ms)


def queue(conn: sqlite3.Connection, kind: str, raw: bytes, *, now_ms: int) -> None:
    """Queue a statement for the ledger; the same again changes nothing. An admission may have been registered by others."""
    conn.execute(
        "INSERT OR IGNORE INTO submission (digest, rank, kind, statement, made_ms, older) VALUES (?, ?, ?, ?, ?, ?)",
        (statement.entry(raw), RANKS[kind], kind, raw, now_ms, kind == "admission"),
    )


def waiting(conn: sqlite3.Connection, *, most: int) -> list[Submission]:
    """Statements that the ledger has not answered, in the order to send them."""
    rows = conn.execute(
        "SELECT digest, kind, statement, made_ms FROM submission WHERE done_ms IS NULL ORDER BY rank, made_ms, rowid LIMIT ?",
        (most,),
    )
    return [Submission(digest=row[0], kind=row[1], statement=row[2], made_ms=row[3]) for row in rows]


def backlog(conn: sqlite3.Connection) -> tuple[int, int | None]:
    """(statements that wait, when the oldest was made)."""
    count, oldest = conn.execute("SELECT COUNT(*), MIN(made_ms) FROM submission WHERE done_ms IS NULL").fetchone()
    return int(count), oldest


def registered(conn: sqlite3.Connection, placed: Placed, *, now_ms: int) -> None:
    """The ledger holds the statement."""
    conn.execute(
        "UPDATE submission SET entry_id = ?, idx = ?, size = ?, receipt = ?, done_ms = ? WHERE digest = ?",
        (placed.entry_id, placed.index, placed.size, placed.receipt, now_ms, placed.digest),
    )


def refused(conn: sqlite3.Connection, digest: bytes, *, code: str, now_ms: int) -> None:
    """The ledger will not take the statement; it is not sent again before `reopen`."""
    conn.execute("UPDATE submission SET refused = ?, done_ms = ? WHERE digest = ?", (code, now_ms, digest))


def count_refused(conn: sqlite3.Connection) -> int:
    """Statements about enrolments and batches that the ledger refused: what they say cannot be proved."""
    row = conn.execute("SELECT COUNT(*) FROM submission WHERE refused IS NOT NULL AND kind != 'admission'").fetchone()
    return int(row[0])


def reopen(conn: sqlite3.Connection) -> None:
    """Let what was refused wait again: it may have been the wrong ledger, or one that has learnt since. No log signs a refusal:
    it may be somebody's on the way, and the statement be in the log all the same; its place there then shows no roll back."""
    conn.execute("UPDATE submission SET refused = NULL, done_ms = NULL, older = 1 WHERE refused IS NOT NULL")


def reopen_admission(conn: sqlite3.Connection) -> None:
    """Let the admissions that the ledger held wait again: it says that it does not know this gateway, so it has lost them."""
    conn.execute("UPDATE submission SET done_ms = NULL, refused = NULL WHERE kind = 'admission' AND idx IS NOT NULL")


def head(conn: sqlite3.Connection, origin: str) -> Head | None:
    """The newest checkpoint of a log that was verified, None before the first."""
    row = conn.execute("SELECT size, root, note, at_ms, ended FROM head WHERE origin = ?", (origin,)).fetchone()
    if row is None:
        return None
    checkpoint = Checkpoint(origin=origin, size=row[0], root=bytes(row[1]))
    return Head(checkpoint=checkpoint, note=row[2], at_ms=row[3], ended=row[4])


def heads(conn: sqlite3.Connection) -> dict[str, Head]:
    """The newest checkpoint of each log, by its origin."""
    origins = [str(row[0]) for row in conn.execute("SELECT origin FROM head")]
    return {origin: found for origin in origins if (found := head(conn, origin)) is not None}


def keep_head(conn: sqlite3.Connection, head: Head) -> None:
    """Keep a verified checkpoint in the place of that of a smaller tree. What waits by now may be in the tree."""
    kept = conn.execute(
        "INSERT INTO head (origin, size, root, note, at_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE"
        " SET size = excluded.size, root = excluded.root, note = excluded.note, at_ms = excluded.at_ms"
        " WHERE excluded.size > size",
        (head.checkpoint.origin, head.checkpoint.size, head.checkpoint.root, head.note, head.at_ms),
    )
    if kept.rowcount:
        conn.execute("UPDATE submission SET older = 1 WHERE done_ms IS NULL AND older = 0")


def end(conn: sqlite3.Connection, last: Checkpoint) -> None:
    """A log ended with this checkpoint: the next one goes on from there, and nothing more of this one counts."""
    conn.execute("UPDATE head SET ended = ? WHERE origin = ?", (last.size, last.origin))


def younger(conn: sqlite3.Connection, digests: Sequence[bytes]) -> set[bytes]:
    """Which of these statements were made after the newest checkpoint was kept, so that no log can have had them by then."""
    rows = (conn.execute("SELECT older FROM submission WHERE digest = ?", (each,)).fetchone() for each in digests)
    return {digest for digest, row in zip(digests, rows, strict=True) if row is not None and not row[0]}


def logged(conn: sqlite3.Connection, digest: bytes) -> Logged:
    """A registered statement and its place. Raises NotFound: not_logged."""
    row = conn.execute("SELECT statement, entry_id, receipt FROM submission WHERE digest = ?", (digest,)).fetchone()
    if row is None or row[1] is None:
        raise NotFound("not_logged", "the ledger does not hold this yet; wait for the next batch and try again")
    epoch, index = growth.place_of(row[1])
    return Logged(statement=bytes(row[0]), epoch=epoch, index=index, receipt=bytes(row[2]))


def admission(conn: sqlite3.Connection, *, before: tuple[int, int]) -> Logged:
    """The newest admission of this gateway that the log held before a place, (epoch, index). Raises NotFound: not_logged."""
    rows = conn.execute("SELECT digest FROM submission WHERE kind = 'admission' AND idx IS NOT NULL").fetchall()
    found = [each for each in (logged(conn, bytes(row[0])) for row in rows) if (each.epoch, each.index) < before]
    if not found:
        raise NotFound("not_logged", "the ledger does not hold this gateway's admission")
    return max(found, key=lambda each: (each.epoch, each.index))


def place(conn: sqlite3.Connection, device: str, lane: int, boot: int, seq: int) -> Place:
    """Where a message stands. Raises NotFound: message_unknown, not_anchored."""
    row = conn.execute(
        "SELECT m.id, m.raw FROM message m JOIN device d ON d.id = m.device"
        " WHERE d.device = ? AND m.lane = ? AND m.boot = ? AND m.seq = ?",
        (device, lane, boot, seq),
    ).fetchone()
    if row is None:
        raise NotFound("message_unknown", f"there is no message {device}/{topics.LANE_NAMES[lane]}/{boot}/{seq}")
    found = conn.execute(
        "SELECT first, last, document, digest FROM anchor WHERE first <= ? AND last >= ?", (row[0], row[0])
    ).fetchone()
    if found is None:
        raise NotFound("not_anchored", "the message is in no batch yet; wait for the next one and try again")
    first, last, document, digest = found
    rows = conn.execute(
        "SELECT m.id, d.device, m.lane, m.received_ms, m.hash FROM message m JOIN device d ON d.id = m.device"
        " WHERE m.id BETWEEN ? AND ? ORDER BY m.id",
        (first, last),
    ).fetchall()
    return Place(
        row_id=row[0],
        raw=row[1],
        device=device,
        lane=lane,
        boot=boot,
        seq=seq,
        index=[each[0] for each in rows].index(row[0]),
        batch=tuple(Stored(topic=topics.up(r[1], r[2]), received_ms=r[3], digest=r[4]) for r in rows),
        document=document,
        statement=logged(conn, digest).statement,
    )


def anchored(conn: sqlite3.Connection) -> tuple[int, int]:
    """(messages in batches that the ledger holds, size of its tree by the newest receipt)."""
    messages = conn.execute(
        "SELECT COALESCE(SUM(a.size), 0) FROM anchor a JOIN submission s ON s.digest = a.digest WHERE s.idx IS NOT NULL"
    ).fetchone()[0]
    size = conn.execute("SELECT COALESCE(MAX(size), 0) FROM submission").fetchone()[0]
    return int(messages), int(size)
