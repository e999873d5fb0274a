"""What the programs have written down, read from their databases (never written to): counts, alerts, anchors."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COUNTED_LANES = (0, 1)  # alarms and data; state messages are neither spooled nor receipted


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
