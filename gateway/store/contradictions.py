"""Rows of what a log said that contradicts what it had said before: evidence, kept as the files that are handed out."""

import sqlite3
from dataclasses import dataclass

from protocol.conflict import Conflict, Kind
from protocol.errors import NotFound

KEPT_MAX = (
    32  # of all logs; the first ones are nearest to what happened and stay, and the newest takes the last one's place
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """One of them. file: as `vigil verify` reads it; seen_ms: Unix ms, also the onset of its alarm."""

    number: int
    kind: Kind
    origin: str
    seen_ms: int
    file: bytes


def keep(conn: sqlite3.Connection, found: Conflict, *, kind: Kind, origin: str) -> None:
    """Keep one more."""
    conn.execute(
        "DELETE FROM contradiction WHERE id IN (SELECT id FROM contradiction ORDER BY id LIMIT -1 OFFSET ?)",
        (KEPT_MAX - 1,),
    )
    conn.execute(
        "INSERT INTO contradiction (kind, origin, seen_ms, file) VALUES (?, ?, ?, ?)",
        (kind, origin, found.later.at_ms, found.encode()),
    )


def newest(conn: sqlite3.Connection, *, seen_ms: int | None = None) -> Contradiction:
    """The newest one, or that of the alarm that began then. Raises NotFound: contradiction_none."""
    row = conn.execute(
        "SELECT id, kind, origin, seen_ms, file FROM contradiction WHERE ? IS NULL OR seen_ms = ? ORDER BY id DESC LIMIT 1",
        (seen_ms, seen_ms),
    ).fetchone()
    if row is None:
        raise NotFound("contradiction_none", "no ledger has contradicted itself here, as far as this gateway knows")
    return Contradiction(number=row[0], kind=row[1], origin=row[2], seen_ms=row[3], file=bytes(row[4]))
