"""Rows of keys.db: what opens an enrolment's messages, and the pairing offers that are still good."""

import secrets
import sqlite3
from dataclasses import dataclass, field

from protocol.errors import VigilError

KEY_SIZE = 32
OFFERS_MAX = 64  # offers that nobody has used yet; one more is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentKeys:
    """lk: opens messages; store_key: opens decoded readings. 32 bytes each."""

    lk: bytes = field(repr=False)
    store_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """A pairing offer. request, answer: of the exchange that used it, kept so that a lost answer can be given again."""

    secret: bytes = field(repr=False)
    name: str
    expires_ms: int
    request: bytes | None
    answer: bytes | None = field(repr=False)


def load(conn: sqlite3.Connection) -> dict[str, EnrolmentKeys]:
    """Keys by device; an erased one has none."""
    found = conn.execute("SELECT device, lk, store_key FROM enrolment").fetchall()
    return {device: EnrolmentKeys(lk=lk, store_key=store_key) for device, lk, store_key in found}


def put(conn: sqlite3.Connection, device: str, lk: bytes, *, now_ms: int) -> None:
    """Keep the keys of a new enrolment, in place of any older."""
    conn.execute(
        "INSERT OR REPLACE INTO enrolment (device, lk, store_key, made_ms) VALUES (?, ?, ?, ?)",
        (device, lk, secrets.token_bytes(KEY_SIZE), now_ms),
    )


def offer(conn: sqlite3.Connection, secret: bytes, *, name: str, expires_ms: int, now_ms: int) -> None:
    """Keep a new offer, and forget those that are over. Raises VigilError: offers_max."""
    forget_offers(conn, now_ms=now_ms)
    if conn.execute("SELECT COUNT(*) FROM offer WHERE request IS NULL").fetchone()[0] >= OFFERS_MAX:
        raise VigilError("offers_max", f"{OFFERS_MAX} codes are open; pair with them, or wait until they end")
    conn.execute("INSERT INTO offer (secret, name, expires_ms) VALUES (?, ?, ?)", (secret, name, expires_ms))


def forget_offers(conn: sqlite3.Connection, *, now_ms: int) -> None:
    """Forget the offers that are over, used or not, with their secrets."""
    conn.execute("DELETE FROM offer WHERE expires_ms < ?", (now_ms,))


def offers(conn: sqlite3.Connection, *, now_ms: int) -> list[OfferRow]:
    """The offers that are good, used or not."""
    found = conn.execute(
        "SELECT secret, name, expires_ms, request, answer FROM offer WHERE expires_ms >= ?", (now_ms,)
    ).fetchall()
    return [OfferRow(secret=row[0], name=row[1], expires_ms=row[2], request=row[3], answer=row[4]) for row in found]


def use(conn: sqlite3.Connection, secret: bytes, *, request: bytes, answer: bytes) -> bool:
    """Mark an offer used by `request`. False when another request was first."""
    return (
        conn.execute(
            "UPDATE offer SET request = ?, answer = ? WHERE secret = ? AND request IS NULL", (request, answer, secret)
        ).rowcount
        == 1
    )
