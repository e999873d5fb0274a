"""The read model: where every parcel is and was, built from the log's statements and from nothing else."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from protocol import statement
from protocol.errors import NotFound
from tests.support.parcels.model import STEP, Parcel, Step

_SCHEMA = """
CREATE TABLE IF NOT EXISTS place(one INTEGER PRIMARY KEY CHECK(one = 1), next INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS step(
    place INTEGER PRIMARY KEY, parcel BLOB NOT NULL, event TEXT NOT NULL,
    state TEXT NOT NULL, holder BLOB NOT NULL, receiver BLOB) STRICT;
"""
Who = Callable[[bytes], bytes]  # the name of the party whose key this is


class Parcels:
    """One file; `follow` brings it up to date, and a file that was thrown away comes back the same."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript(_SCHEMA)

    def follow(self, statement_at: Callable[[int], bytes], size: int, who: Who) -> None:
        """Take up the entries from where it stands up to `size`; place and steps in one transaction."""
        with self._db:
            for index in range(self.next, size):
                said = statement.parse(statement_at(index))
                if said.content_type == STEP:
                    self._take(index, Step.decode(said.payload), who(said.kid))
            self._db.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (size,))

    @property
    def next(self) -> int:
        """The first entry that it has not read."""
        row = self._db.execute("SELECT next FROM place").fetchone()
        return int(row[0]) if row else 0

    def find(self, parcel: bytes) -> Parcel:
        """Where a parcel is. Raises NotFound: parcel_unknown."""
        row = self._db.execute(
            "SELECT state, holder, receiver FROM step WHERE parcel = ? ORDER BY place DESC LIMIT 1", (parcel,)
        ).fetchone()
        if row is None:
            raise NotFound("parcel_unknown", "no such parcel")
        return Parcel(state=row[0], holder=row[1], to=row[2])

    def every(self) -> dict[bytes, Parcel]:
        """All parcels."""
        numbers = [row[0] for row in self._db.execute("SELECT DISTINCT parcel FROM step ORDER BY parcel")]
        return {number: self.find(number) for number in numbers}

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _take(self, index: int, step: Step, by: bytes) -> None:
        try:
            before = self.find(step.parcel)
        except NotFound:
            before = Parcel()
        after = before.after(step, by)
        assert after is not None, "the log registered it"
        row = (index, step.parcel, step.event, after.state, after.holder, after.to)
        self._db.execute("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", row)
