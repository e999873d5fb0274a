"""What the programs have written down, read from their databases (never written to): counts, alerts, anchors."""

import asyncio
import contextlib
import re
import sqlite3
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import Unavailable

FETCH_S = 5.0
BODY_MAX = 4 << 20  # bytes of metrics that are read
_REFUSALS = re.compile(r'vigil_refusals_total\{code="([a-z_0-9]+)"\} ([0-9.e+]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as stored. device: 16 hex digits; times: Unix milliseconds."""

    id: str
    device: str
    kind: str
    onset_ms: int
    raised_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The gateway's records at one moment. stored: messages of each device; anchored: those of them in an anchor that
    the ledger has receipted; tree_size: of the ledger, by the newest receipt."""

    stored: Mapping[str, int]
    alerts: Sequence[Alert]
    anchored: int
    tree_size: int


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A database, read only."""
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        yield connection
    finally:
        connection.close()


def sealed(state: Path) -> int:
    """How many messages a device has signed on the counted lanes, by its own count."""
    with _opened(state / "spool.db") as spool:
        row = spool.execute("SELECT value FROM counter WHERE name = 'sealed'").fetchone()
    return int(row[0]) if row else 0


def glance(gateway: Path) -> Glance:
    """The gateway's records now."""
    with _opened(gateway / "gateway.db") as record:
        stored = dict(
            record.execute(
                "SELECT d.device, COUNT(*) FROM message m JOIN device d ON d.id = m.device WHERE m.lane IN (0, 1)"
                " GROUP BY d.device"
            ).fetchall()
        )
        alerts = [
            Alert(id=row[0], device=row[1], kind=row[2], onset_ms=row[3], raised_ms=row[4])
            for row in record.execute(
                "SELECT id, device, kind, onset_ms, raised_ms FROM alert WHERE technical = 0 ORDER BY raised_ms"
            )
        ]
        anchored = record.execute(
            "SELECT COALESCE(SUM(a.size), 0) FROM anchor a JOIN submission s ON s.digest = a.digest WHERE s.idx IS NOT NULL"
        ).fetchone()[0]
        size = record.execute("SELECT COALESCE(MAX(size), 0) FROM submission").fetchone()[0]
    return Glance(stored=stored, alerts=alerts, anchored=int(anchored), tree_size=int(size))


def provable(gateway: Path, found: Glance) -> list[str] | None:
    """What to ask evidence for, as arguments: the first alarm that a message raised, else any reading; None without one."""
    with _opened(gateway / "gateway.db") as record:
        raised = record.execute(
            "SELECT id FROM alert WHERE technical = 0 AND seq IS NOT NULL ORDER BY raised_ms LIMIT 1"
        ).fetchone()
        if raised is not None:
            return ["--alert", str(raised[0])]
        if not found.stored:
            return None
        device, boot, seq = record.execute(
            "SELECT d.device, m.boot, m.seq FROM message m JOIN device d ON d.id = m.device WHERE m.lane = 1"
            " ORDER BY m.id LIMIT 1"
        ).fetchone()
    return ["--message", f"{device}/data/{boot}/{seq}"]


async def refused(metrics: str) -> dict[str, int]:
    """Messages that the gateway refused, by code, as its metrics say; ends of connections are none."""
    body = await asyncio.to_thread(_fetched, metrics)
    found: dict[str, int] = {}
    for line in body.splitlines():
        match = _REFUSALS.fullmatch(line)
        if match and not match[1].startswith("closed_") and match[1] != "duplicate" and float(match[2]) > 0:
            found[match[1]] = int(float(match[2]))
    return found


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=FETCH_S) as response:  # noqa: S310 - the address is our own child's
            body: bytes = response.read(BODY_MAX)
    except OSError as error:
        raise Unavailable("demo_metrics", f"the gateway's metrics cannot be read: {error}") from error
    return body.decode()
