"""Hiring files in SQLite. Personal data are here and nowhere else at a party: names, credentials, and who is on a list.

`erase` leaves of a file its random id, its states and their times. Losing the database loses the files: the people bring their
credentials again, for the ledger has none.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger import database
from ledger.credentials.hiring import excluded
from ledger.credentials.hiring.excluded import Excluded
from ledger.credentials.hiring.exclusions import Person
from ledger.credentials.hiring.holdings import Held
from ledger.credentials.hiring.life import Permit
from ledger.credentials.hiring.posts import Post
from ledger.credentials.hiring.review import File, Match, Notice
from protocol.errors import NotFound, Unavailable

FILE = "credentials-hiring.db"
APPLICATION_ID = 0x5647_4348  # "VGCH": no other file of ours
FILES_MAX = 100_000  # that are not erased; another one is refused: one institution has not so many people
HELD_MAX = 64  # credentials of one file; another one is refused
BUSY_MS = 5000

_SCHEMA = """
CREATE TABLE file(id BLOB PRIMARY KEY, state TEXT NOT NULL, post TEXT NOT NULL, person TEXT, holder TEXT NOT NULL,
  held INTEGER NOT NULL, made_ms INTEGER NOT NULL, hired_ms INTEGER, credentialled_ms INTEGER, over_ms INTEGER,
  erased_ms INTEGER, looked_ms INTEGER NOT NULL, mark TEXT NOT NULL) STRICT;
CREATE INDEX file_state ON file(state, over_ms);
CREATE INDEX file_holder ON file(holder);
CREATE TABLE credential(file BLOB NOT NULL REFERENCES file(id), id BLOB NOT NULL, raw BLOB NOT NULL, said TEXT NOT NULL,
  outcome TEXT NOT NULL, code TEXT NOT NULL, checked_ms INTEGER, PRIMARY KEY (file, id)) STRICT, WITHOUT ROWID;
CREATE TABLE permit(file BLOB NOT NULL, capability TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL,
  since_ms INTEGER NOT NULL, PRIMARY KEY (file, capability)) STRICT, WITHOUT ROWID;
CREATE TABLE event(n INTEGER PRIMARY KEY, file BLOB NOT NULL, at_ms INTEGER NOT NULL, event TEXT NOT NULL, state TEXT NOT NULL,
  code TEXT NOT NULL, by TEXT NOT NULL) STRICT;
CREATE INDEX event_file ON event(file, n);
CREATE TABLE alert(n INTEGER PRIMARY KEY, file BLOB NOT NULL, key TEXT NOT NULL, subject TEXT NOT NULL, code TEXT NOT NULL,
  type TEXT NOT NULL, days INTEGER NOT NULL, end_ms INTEGER NOT NULL, raised_ms INTEGER NOT NULL, resolved_ms INTEGER,
  sent INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX alert_mark ON alert(file, key) WHERE days > 0;
CREATE UNIQUE INDEX alert_open ON alert(file, key) WHERE days = 0 AND resolved_ms IS NULL;
CREATE INDEX alert_sent ON alert(n) WHERE sent = 0;
CREATE TABLE request(name TEXT PRIMARY KEY, file BLOB NOT NULL, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A file with what only its institution reads. person: None once it is erased."""

    file: File
    person: Person | None
    made_ms: int
    over_ms: int | None
    erased_ms: int | None
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at one credential found. checked_ms: when its source was asked, as the ledger says."""

    id: bytes
    outcome: str
    code: str
    checked_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that was told. n: rising; resolved_ms: since when it is not so any more."""

    n: int
    file: bytes
    subject: str
    code: str
    type: str
    days: int
    end_ms: int
    raised_ms: int
    resolved_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One step of a file's life. by: thumbprint of who did it, or "itself"."""

    at_ms: int
    event: str
    state: str
    code: str
    by: str


class Store:
    """One party's files. What changes a file is called while `writing()` runs: one commit has all of it, or none."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._lock = db, threading.RLock()
        self.excluded = Excluded(db, self.reading)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The file in `folder`, made when it is not there. Raises Unavailable: hiring_unreadable."""
        path = folder / FILE
        try:
            schema = _SCHEMA + excluded.SCHEMA
            db = database.opened(path, schema, application_id=APPLICATION_ID, busy_ms=BUSY_MS, forgetting=True)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable("hiring_unreadable", f"cannot use {path}") from error
        return cls(db)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing changes while the block runs. Raises Unavailable: hiring_failing."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise Unavailable("hiring_failing", "the database of hiring files cannot be read") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing of what is written while the block runs, which opens no other. Stop in it: all is as before.

        Raises Unavailable: hiring_failing.
        """
        try:
            with self._lock, database.transaction(self._db):
                yield
        except sqlite3.Error as error:
            raise Unavailable("hiring_failing", "the database of hiring files cannot be written") from error

    def add(self, id: bytes, post: Post, person: Person, *, now_ms: int) -> None:  # noqa: A002
        """Begin a file. Raises Unavailable: files_full."""
        (count,) = self._one("SELECT count(*) FROM file WHERE erased_ms IS NULL")
        if count >= FILES_MAX:
            raise Unavailable("files_full", f"there are {FILES_MAX} hiring files: end some")
        said = {"given": person.given, "family": person.family, "birth": person.birth, "npi": person.npi}
        self._db.execute(
            "INSERT INTO file VALUES (?, 'requested', ?, ?, '', 0, ?, NULL, NULL, NULL, NULL, 0, '')",
            (id, json.dumps(post.to_json()), json.dumps(said), now_ms),
        )

    def row(self, id: bytes) -> Row:  # noqa: A002
        """Raises NotFound: file_unknown."""
        with self.reading():
            found = self._one("SELECT * FROM file WHERE id = ?", id)
            if found is None:
                raise NotFound("file_unknown", "there is no such hiring file")
            return self._read(found)

    def ids(self, states: Iterable[str], *, holder: str = "") -> list[bytes]:
        """Files in some states, the oldest first. holder: of one person; everybody's when empty."""
        asked = """SELECT id FROM file WHERE erased_ms IS NULL AND state IN (SELECT value FROM json_each(?))
          AND (? = '' OR holder = ?) ORDER BY made_ms, id"""
        with self.reading():
            return [row[0] for row in self._db.execute(asked, (json.dumps(list(states)), holder, holder))]

    def over_before(self, at_ms: int) -> list[bytes]:
        """Files that were over before a time and are not erased."""
        asked = "SELECT id FROM file WHERE over_ms < ? AND erased_ms IS NULL"
        with self.reading():
            return [row[0] for row in self._db.execute(asked, (at_ms,))]

    def save(self, file: File, *, over_ms: int | None = None) -> None:
        """What changes of a file itself. over_ms: since when it is over."""
        self._db.execute(
            "UPDATE file SET state = ?, holder = ?, held = ?, hired_ms = ?, credentialled_ms = ?, "
            "over_ms = coalesce(over_ms, ?) WHERE id = ?",
            (file.state, file.holder, file.held, file.hired_ms, file.credentialled_ms, over_ms, file.id),
        )

    def hold(self, id: bytes, held: Held, raw: bytes) -> bool:  # noqa: A002
        """Keep a credential; whether it is new. One that is there keeps its time. Raises Unavailable: credentials_full."""
        (count, known) = self._one(
            "SELECT count(*), coalesce(sum(id = ?), 0) FROM credential WHERE file = ?", held.id, id
        )
        if not known and count >= HELD_MAX:
            raise Unavailable("credentials_full", f"a hiring file has at most {HELD_MAX} credentials: take some out")
        self._db.execute(
            "INSERT INTO credential VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (id, held.id, raw, json.dumps(_facts(held)), held.outcome, held.code, held.checked_ms),
        )
        return not known

    def drop(self, id: bytes, credential: bytes) -> bool:  # noqa: A002
        """Take a credential out of a file; whether it was there."""
        return self._db.execute("DELETE FROM credential WHERE file = ? AND id = ?", (id, credential)).rowcount > 0

    def raws(self, id: bytes) -> list[tuple[bytes, bytes]]:  # noqa: A002
        """(id, bytes) of a file's credentials."""
        with self.reading():
            return list(self._db.execute("SELECT id, raw FROM credential WHERE file = ?", (id,)))

    def judge(self, id: bytes, looks: Iterable[Look], *, mark: str, looked_ms: int) -> None:  # noqa: A002
        """What a look at a file's credentials found. mark: of what was known."""
        for each in looks:
            asked = "UPDATE credential SET outcome = ?, code = ?, checked_ms = ? WHERE file = ? AND id = ?"
            self._db.execute(asked, (each.outcome, each.code, each.checked_ms, id, each.id))
        self._db.execute("UPDATE file SET looked_ms = ?, mark = ? WHERE id = ?", (looked_ms, mark, id))

    def unmark(self, id: bytes) -> None:  # noqa: A002
        """The next question looks at the file again."""
        self._db.execute("UPDATE file SET mark = '' WHERE id = ?", (id,))

    def permits(self, id: bytes) -> dict[str, tuple[Permit, str, int]]:  # noqa: A002
        """(state, why, since when) of a file's capabilities."""
        with self.reading():
            asked = "SELECT capability, state, code, since_ms FROM permit WHERE file = ?"
            return {row[0]: (row[1], row[2], row[3]) for row in self._db.execute(asked, (id,))}

    def permit(self, id: bytes, capability: str, state: Permit, code: str, *, now_ms: int) -> None:  # noqa: A002
        """Set a capability's state."""
        self._db.execute("INSERT OR REPLACE INTO permit VALUES (?, ?, ?, ?, ?)", (id, capability, state, code, now_ms))

    def happened(self, id: bytes, event: str, state: str, *, code: str, by: str, now_ms: int) -> None:  # noqa: A002
        """Note a step."""
        said = (id, now_ms, event, state, code, by)
        self._db.execute("INSERT INTO event (file, at_ms, event, state, code, by) VALUES (?, ?, ?, ?, ?, ?)", said)

    def history(self, id: bytes) -> list[Happened]:  # noqa: A002
        """A file's steps, the first one first."""
        with self.reading():
            asked = "SELECT at_ms, event, state, code, by FROM event WHERE file = ? ORDER BY n"
            return [
                Happened(at_ms=row[0], event=row[1], state=row[2], code=row[3], by=row[4])
                for row in self._db.execute(asked, (id,))
            ]

    def tell(self, id: bytes, notices: Iterable[Notice], *, now_ms: int) -> int:  # noqa: A002
        """Raise what was not raised and resolve what is not so any more; how many were raised. A mark is raised once for good."""
        found = {notice.key: notice for notice in notices}
        raised = 0
        for key, notice in found.items():
            raised += self._db.execute(
                "INSERT OR IGNORE INTO alert (file, key, subject, code, type, days, end_ms, raised_ms, sent) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (id, key, notice.subject, notice.code, notice.type, notice.days, notice.end_ms, now_ms),
            ).rowcount
        for n, key in self._db.execute(
            "SELECT n, key FROM alert WHERE file = ? AND resolved_ms IS NULL", (id,)
        ).fetchall():
            if key not in found:
                self._db.execute("UPDATE alert SET resolved_ms = ? WHERE n = ?", (now_ms, n))
        return raised

    def asked(self, name: str, file: bytes, *, until_ms: int, now_ms: int) -> None:
        """Note for which file a wallet is asked; those of earlier times are forgotten."""
        self._db.execute("DELETE FROM request WHERE until_ms <= ?", (now_ms,))
        self._db.execute("INSERT INTO request VALUES (?, ?, ?)", (name, file, until_ms))

    def asked_for(self, name: str, *, now_ms: int) -> bytes | None:
        """The file that a request is for. None: none of these."""
        with self.reading():
            found = self._one("SELECT file FROM request WHERE name = ? AND until_ms > ?", name, now_ms)
            return None if found is None else bytes(found[0])

    def alerts(self, id: bytes | None = None, *, standing: bool = False, most: int = 1000) -> list[Alert]:  # noqa: A002
        """The newest first. id: of one file; standing: those that are still so."""
        asked = """SELECT * FROM alert WHERE (? IS NULL OR file = ?) AND (? = 0 OR resolved_ms IS NULL)
          ORDER BY n DESC LIMIT ?"""
        with self.reading():
            return [_alert(row) for row in self._db.execute(asked, (id, id, int(standing), most))]

    def unsent(self, most: int) -> list[Alert]:
        """Alerts that were not sent, the oldest first."""
        with self.reading():
            return [
                _alert(row)
                for row in self._db.execute("SELECT * FROM alert WHERE sent = 0 ORDER BY n LIMIT ?", (most,))
            ]

    def sent(self, n: int) -> None:
        """Note that an alert was sent. Stop before it: it is sent again, under the same number."""
        with self.writing():
            self._db.execute("UPDATE alert SET sent = 1 WHERE n = ?", (n,))

    def erase(self, id: bytes, *, now_ms: int) -> None:  # noqa: A002
        """Forget the person: name, credentials, matches, and which credentials alerts were about. It is gone from the disk after
        this, but for backups."""
        with self.writing():
            self._db.execute("DELETE FROM credential WHERE file = ?", (id,))
            self._db.execute("DELETE FROM match WHERE file = ?", (id,))
            self._db.execute("DELETE FROM alert WHERE file = ?", (id,))
            self._db.execute("DELETE FROM permit WHERE file = ?", (id,))
            self._db.execute("DELETE FROM request WHERE file = ?", (id,))
            self._db.execute("UPDATE file SET person = NULL, holder = '', erased_ms = ? WHERE id = ?", (now_ms, id))
        # Stop here: erased, and older pages wait in the write-ahead log until the next checkpoint, which the next start makes.
        with self._lock, contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _one(self, asked: str, *values: object) -> Any:
        return self._db.execute(asked, values).fetchone()

    def _read(self, row: Any) -> Row:
        (id_, state, post, person, holder, held, made, hired, credentialled, over, erased, looked, mark) = row
        asked = "SELECT id, said, outcome, code, checked_ms FROM credential WHERE file = ? ORDER BY id"
        helds = tuple(
            Held(id=each[0], **json.loads(each[1]), outcome=each[2], code=each[3], checked_ms=each[4])
            for each in self._db.execute(asked, (id_,))
        )
        asked = "SELECT digest, code, decided FROM match WHERE file = ? AND gone_ms IS NULL ORDER BY digest"
        matches = tuple(Match(entry=m[0], code=m[1], decided=m[2]) for m in self._db.execute(asked, (id_,)))
        file = File(
            id=id_,
            state=state,
            post=Post.read(json.loads(post)),
            holder=holder,
            helds=helds,
            matches=matches,
            held=bool(held),
            hired_ms=hired,
            credentialled_ms=credentialled,
            looked_ms=looked,
        )
        who = None if person is None else Person(**json.loads(person))
        return Row(file=file, person=who, made_ms=made, over_ms=over, erased_ms=erased, mark=mark)


_FACTS = (
    "type",
    "jurisdiction",
    "issuer",
    "subject",
    "anchor",
    "claims",
    "from_ms",
    "until_ms",
    "came_ms",
)


def _alert(row: Any) -> Alert:
    n, file, _, subject, code, kind, days, end_ms, raised_ms, resolved_ms, _ = row
    return Alert(
        n=n,
        file=file,
        subject=subject,
        code=code,
        type=kind,
        days=days,
        end_ms=end_ms,
        raised_ms=raised_ms,
        resolved_ms=resolved_ms,
    )


def _facts(held: Held) -> dict[str, object]:
    return {name: getattr(held, name) for name in _FACTS}
