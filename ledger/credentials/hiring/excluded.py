"""Exclusion lists in the database of hiring files, and who in a file was found on one."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from ledger.credentials.hiring.exclusions import CERTAIN, POSSIBLE, Exclusion, Person
from protocol.errors import NotFound

SCHEMA = """
CREATE TABLE exclusion(list TEXT NOT NULL, digest BLOB NOT NULL, npi TEXT NOT NULL, named TEXT NOT NULL, birth TEXT NOT NULL,
  kind TEXT NOT NULL, since TEXT NOT NULL, PRIMARY KEY (list, digest)) STRICT, WITHOUT ROWID;
CREATE INDEX exclusion_npi ON exclusion(npi) WHERE npi <> '';
CREATE INDEX exclusion_named ON exclusion(named, birth) WHERE birth <> '';
CREATE TABLE exclusion_list(name TEXT PRIMARY KEY, count INTEGER NOT NULL, read_ms INTEGER NOT NULL) STRICT;
CREATE TABLE match(file BLOB NOT NULL, digest BLOB NOT NULL, code TEXT NOT NULL, decided TEXT NOT NULL, by TEXT NOT NULL,
  found_ms INTEGER NOT NULL, gone_ms INTEGER, PRIMARY KEY (file, digest)) STRICT, WITHOUT ROWID;
"""


class Excluded:
    """Writes are within the store's `writing()`."""

    def __init__(self, db: sqlite3.Connection, reading: Callable[[], AbstractContextManager[None]]) -> None:
        self._db, self._reading = db, reading

    def replace(self, name: str, entries: Iterable[Exclusion], *, now_ms: int) -> int:
        """Take a list in place of the one of this name; how many are on it. Raises what reading it raises."""
        self._db.execute("DELETE FROM exclusion WHERE list = ?", (name,))
        rows = ((name, one.digest, one.npi, one.named, one.birth, one.kind, one.since) for one in entries)
        count = self._db.executemany("INSERT OR IGNORE INTO exclusion VALUES (?, ?, ?, ?, ?, ?, ?)", rows).rowcount
        self._db.execute("INSERT OR REPLACE INTO exclusion_list VALUES (?, ?, ?)", (name, max(count, 0), now_ms))
        return max(count, 0)

    def lists(self) -> list[tuple[str, int, int]]:
        """(name, how many, when it was read) of each list."""
        with self._reading():
            return list(self._db.execute("SELECT name, count, read_ms FROM exclusion_list ORDER BY name"))

    def compare(self, file: bytes, names: Iterable[Person], *, now_ms: int) -> None:
        """Note who on the lists is, or may be, this person. What somebody decided of an entry stays decided.

        names: what we wrote of the person, and what each of their credentials says.
        """
        found: dict[bytes, str] = {}
        numbers: dict[bytes, str] = {}
        for person in names:
            asked = "SELECT digest FROM exclusion WHERE named = ? AND birth = ? AND birth <> ''"
            born = person.birth.replace("-", "")
            found |= {row[0]: POSSIBLE for row in self._db.execute(asked, (person.named, born))}
            asked = "SELECT digest FROM exclusion WHERE npi = ? AND npi <> ''"
            numbers |= {row[0]: CERTAIN for row in self._db.execute(asked, (person.npi,))}
        found |= numbers
        for digest, code in found.items():
            self._db.execute(
                "INSERT INTO match VALUES (?, ?, ?, '', '', ?, NULL) "
                "ON CONFLICT DO UPDATE SET code = excluded.code, gone_ms = NULL",
                (file, digest, code, now_ms),
            )
        asked = "SELECT digest FROM match WHERE file = ? AND gone_ms IS NULL"
        for digest in {row[0] for row in self._db.execute(asked, (file,))} - found.keys():
            self._db.execute("UPDATE match SET gone_ms = ? WHERE file = ? AND digest = ?", (now_ms, file, digest))

    def decide(self, file: bytes, entry: bytes, decided: str, *, by: str) -> None:
        """Note what a person decided of a match. Raises NotFound: match_unknown."""
        asked = "UPDATE match SET decided = ?, by = ? WHERE file = ? AND digest = ? AND gone_ms IS NULL"
        if not self._db.execute(asked, (decided, by, file, entry)).rowcount:
            raise NotFound("match_unknown", "nobody on a list is taken for this person under that number")
