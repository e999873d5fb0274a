"""Rows of enrolled devices."""

import sqlite3
from dataclasses import dataclass

from protocol.errors import NotFound

STATES = ("enrolled", "active", "suspended", "quarantined", "revoked", "erasing", "erased")
_COLUMNS = "id, device, key, link, state, name, paired_ms, changed_ms, document, statement, certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """An enrolment. device: 16 hex digits for life; key: 32 bytes, the current one; link: 4 bytes; name: what people call
    the home; document, statement: the enrolment as anchored; certificate: PEM."""

    row_id: int
    device: str
    key: bytes
    link: bytes
    state: str
    name: str
    paired_ms: int
    changed_ms: int
    document: bytes
    statement: bytes
    certificate: str


def insert(conn: sqlite3.Connection, row: DeviceRow) -> None:
    """Keep a new enrolment; an older one of the same device gives way to it, but is remembered. row.row_id is not used."""
    conn.execute(
        "INSERT OR REPLACE INTO enrolment (device, link, document, statement) VALUES (?, ?, ?, ?)",
        (row.device, row.link, row.document, row.statement),
    )
    conn.execute(
        "INSERT INTO device (device, key, link, state, name, paired_ms, changed_ms, document, statement, certificate)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (device) DO UPDATE SET key = excluded.key,"
        " link = excluded.link, state = excluded.state, name = excluded.name, paired_ms = excluded.paired_ms,"
        " changed_ms = excluded.changed_ms, document = excluded.document, statement = excluded.statement,"
        " certificate = excluded.certificate",
        (
            row.device,
            row.key,
            row.link,
            row.state,
            row.name,
            row.paired_ms,
            row.changed_ms,
            row.document,
            row.statement,
            row.certificate,
        ),
    )


def load(conn: sqlite3.Connection) -> list[DeviceRow]:
    """Every enrolment, oldest first."""
    return [_row(found) for found in conn.execute(f"SELECT {_COLUMNS} FROM device ORDER BY id")]


def find(conn: sqlite3.Connection, device: str) -> DeviceRow:
    """The enrolment of `device`. Raises NotFound: device_unknown."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM device WHERE device = ?", (device,)).fetchone()
    if found is None:
        raise NotFound("device_unknown", f"no device {device} is enrolled; see `vigil gateway devices`")
    return _row(found)


def enrolled(conn: sqlite3.Connection, device: str, link: bytes) -> tuple[bytes, bytes]:
    """(document, statement) of an enrolment, the current one or an older. Raises NotFound: device_unknown."""
    found = conn.execute(
        "SELECT document, statement FROM enrolment WHERE device = ? AND link = ?", (device, link)
    ).fetchone()
    if found is None:
        raise NotFound("device_unknown", f"no device {device} was enrolled on this link")
    return bytes(found[0]), bytes(found[1])


def set_state(conn: sqlite3.Connection, device: str, state: str, *, now_ms: int) -> None:
    """Move an enrolment to another of STATES."""
    if state not in STATES:
        raise AssertionError(state)
    conn.execute("UPDATE device SET state = ?, changed_ms = ? WHERE device = ?", (state, now_ms, device))


def _row(found: tuple[object, ...]) -> DeviceRow:
    names = ("row_id", *_COLUMNS.split(", ")[1:])
    return DeviceRow(**dict(zip(names, found, strict=True)))  # type: ignore[arg-type]
