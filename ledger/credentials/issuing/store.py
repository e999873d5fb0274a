"""An issuer's database: its keys, what it has issued, every version of every list, and what it has to say to the log.

WAL with synchronous=FULL: what a method has returned from is on disk. What is to be said is kept with what it is about, in one
commit, and in the order in which it is to be said.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

from ledger import database
from protocol.errors import NotFound, Unavailable
from protocol.keys import PublicKey

FILE = "credentials.db"
APPLICATION_ID = 0x5647_4901  # "VGI" and 1: the file is an issuer's of this layout
BUSY_MS = 5000
ACTING, RETIRED, STOLEN = range(3)  # how a key stands

_T = TypeVar("_T")
_SCHEMA = """
CREATE TABLE outgoing(
    n INTEGER PRIMARY KEY, document BLOB NOT NULL, content_type TEXT NOT NULL, sub TEXT NOT NULL, digest BLOB) STRICT;
CREATE INDEX unsaid ON outgoing(n) WHERE digest IS NULL;
CREATE TABLE issuer_key(
    n INTEGER PRIMARY KEY, public BLOB NOT NULL UNIQUE, thumbprint BLOB NOT NULL UNIQUE, method TEXT NOT NULL UNIQUE, said BLOB,
    ended INTEGER NOT NULL, ending INTEGER) STRICT;
CREATE TABLE pair(
    n INTEGER PRIMARY KEY, revocation BLOB NOT NULL UNIQUE, suspension BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    taken INTEGER NOT NULL, lost INTEGER NOT NULL) STRICT;
CREATE TABLE issued(
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, pair INTEGER NOT NULL, place INTEGER NOT NULL, type TEXT NOT NULL,
    format TEXT NOT NULL, draft TEXT NOT NULL, holder TEXT NOT NULL, raw BLOB NOT NULL, key BLOB NOT NULL, state TEXT NOT NULL,
    made_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, outgoing INTEGER NOT NULL, renewed BLOB, UNIQUE(pair, place)) STRICT;
CREATE INDEX changed ON issued(pair, state) WHERE state <> 'valid';
CREATE INDEX signed ON issued(key);
CREATE TABLE change(
    n INTEGER PRIMARY KEY, id BLOB NOT NULL, event TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX changes ON change(id);
CREATE TABLE version(
    list BLOB NOT NULL, n INTEGER NOT NULL, raw BLOB NOT NULL, digest BLOB NOT NULL, key BLOB NOT NULL,
    last_change INTEGER NOT NULL, at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, outgoing INTEGER NOT NULL,
    settled INTEGER NOT NULL, PRIMARY KEY(list, n)) STRICT;
CREATE INDEX unsettled ON version(list, n) WHERE settled = 0;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What the log is to hear. sub: its subject."""

    document: bytes
    content_type: str
    sub: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An issuer key. public: its 32 bytes; said: digest of the statement that declares it; ended: ACTING, or how it came to sign
    nothing any more; ending: what says so."""

    public: bytes
    thumbprint: bytes
    method: str
    said: bytes | None
    ended: int
    ending: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A credential that was issued. n: of all, in their order; draft: what it says, as JSON; key: thumbprint of what signed it;
    outgoing: its commitment; renewed: the id of the one that took its place."""

    n: int
    id: bytes
    pair: int
    place: int
    type: str
    format: str
    draft: str
    holder: str
    raw: bytes
    key: bytes
    state: str
    made_ms: int
    until_ms: int
    outgoing: int
    renewed: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two lists with the same places, one for each purpose. taken: how many places are; lost: the log has newer versions than
    we, so that nothing more is said in them."""

    n: int
    revocation: bytes
    suspension: bytes
    size: int
    taken: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a list. digest: SHA-256 of `raw`; last_change: the newest change of any credential that it has in it;
    outgoing: its listing; settled: the log is known to have it."""

    list: bytes
    n: int
    raw: bytes
    digest: bytes
    key: bytes
    last_change: int
    at_ms: int
    until_ms: int
    outgoing: int
    settled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done to a credential, and why: for its issuer alone."""

    event: str
    reason: str
    at_ms: int


class Store:
    """One connection, and a lock around it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._lock = db, threading.RLock()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The file in `folder`, made when it is not there. Raises Unavailable: credentials_unreadable."""
        path = folder / FILE
        try:
            db = database.opened(path, _SCHEMA, application_id=APPLICATION_ID, busy_ms=BUSY_MS)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable("credentials_unreadable", f"cannot use {path}, or it is not an issuer's") from error
        return cls(db)

    def close(self) -> None:
        """After whoever reads or writes."""
        with self._lock:
            self._db.close()

    # -- what is to be said

    def unsaid(self) -> list[int]:
        """Numbers of what the outbox may not have, in the order to say it."""
        return [row[0] for row in self._read("SELECT n FROM outgoing WHERE digest IS NULL ORDER BY n")]

    def saying(self, n: int) -> tuple[Saying, bytes | None]:
        """What was to be said, and the digest of its statement once it was."""
        ((document, content_type, sub, digest),) = self._read(
            "SELECT document, content_type, sub, digest FROM outgoing WHERE n = ?", n
        )
        return Saying(document=document, content_type=content_type, sub=sub), digest

    def said(self, n: int, digest: bytes) -> None:
        """It is in the outbox."""
        with self._writing():
            self._db.execute("UPDATE outgoing SET digest = ? WHERE n = ?", (digest, n))

    # -- keys

    def issuer_keys(self) -> list[Key]:
        """All of them, the oldest first."""
        rows = self._read(f"SELECT {', '.join(_names(Key))} FROM issuer_key ORDER BY n")  # noqa: S608
        return [_made(Key, row) for row in rows]

    def turn_key(self, fresh: tuple[PublicKey, str] | None, end: tuple[bytes, int, Saying] | None = None) -> None:
        """A new key (itself, method), and the end of an old one (thumbprint, how, what says so): both or none."""
        with self._writing():
            if fresh is not None:
                key, method = fresh
                self._db.execute(
                    "INSERT INTO issuer_key(public, thumbprint, method, ended) VALUES (?, ?, ?, 0)",
                    (key.x, key.thumbprint, method),
                )
            if end is not None:
                thumbprint, how, saying = end
                ending = self._put(saying)
                self._db.execute(
                    "UPDATE issuer_key SET ended = ?, ending = ? WHERE thumbprint = ?", (how, ending, thumbprint)
                )

    def key_said(self, thumbprint: bytes, digest: bytes) -> None:
        """Its declaration is in the outbox."""
        with self._writing():
            self._db.execute("UPDATE issuer_key SET said = ? WHERE thumbprint = ?", (digest, thumbprint))

    # -- lists

    def pairs(self) -> list[Pair]:
        """All pairs of lists, the oldest first."""
        rows = self._read("SELECT n, revocation, suspension, size, taken, lost FROM pair ORDER BY n")
        return [_made(Pair, row) for row in rows]

    def add_pair(self, revocation: bytes, suspension: bytes, size: int) -> None:
        """Two more lists."""
        with self._writing():
            self._db.execute(
                "INSERT INTO pair(revocation, suspension, size, taken, lost) VALUES (?, ?, ?, 0, 0)",
                (revocation, suspension, size),
            )

    def lose_pair(self, n: int) -> None:
        """Say nothing more in these lists."""
        with self._writing():
            self._db.execute("UPDATE pair SET lost = 1 WHERE n = ?", (n,))

    def is_taken(self, pair: int, place: int) -> bool:
        """Whether a place was handed out; it never is again."""
        return bool(self._read("SELECT 1 FROM issued WHERE pair = ? AND place = ?", pair, place))

    def in_state(self, pair: int, state: str) -> list[int]:
        """The places of a pair whose credentials are in a state other than valid."""
        rows = self._read("SELECT place FROM issued WHERE pair = ? AND state = ? AND state <> 'valid'", pair, state)
        return [row[0] for row in rows]

    def last_change(self) -> int:
        """The number of the newest change of any credential."""
        return int(self._read("SELECT coalesce(max(n), 0) FROM change")[0][0])

    def add_version(self, found: Version, saying: Saying) -> int:
        """A version of a list, with its listing, whose number is returned."""
        names = _names(Version)
        with self._writing():
            outgoing = self._put(saying)
            values = {**{name: getattr(found, name) for name in names}, "outgoing": outgoing}
            self._db.execute(f"INSERT INTO version({', '.join(names)}) VALUES ({_marks(names)})", (*values.values(),))  # noqa: S608
        return outgoing

    def version(self, name: bytes, *, at_ms: int | None = None) -> Version | None:
        """The newest version of a list, or the one that was the newest at a time. None: there is none."""
        until = 1 << 62 if at_ms is None else at_ms
        found = self._versions("WHERE list = ? AND at_ms <= ? ORDER BY n DESC LIMIT 1", name, until)
        return found[0] if found else None

    def version_with(self, name: bytes, digest: bytes) -> Version | None:
        """The version of a list with a digest. None: there is none."""
        found = self._versions("WHERE list = ? AND digest = ? ORDER BY n DESC LIMIT 1", name, digest)
        return found[0] if found else None

    def unsettled(self, name: bytes) -> list[Version]:
        """The versions of a list of which nobody knows yet that the log has them, in their order."""
        return self._versions("WHERE list = ? AND settled = 0 ORDER BY n", name)

    def settle(self, name: bytes, n: int) -> None:
        """The log has this version, and so those before it."""
        with self._writing():
            self._db.execute("UPDATE version SET settled = 1 WHERE list = ? AND n <= ? AND settled = 0", (name, n))

    def drop_versions(self, name: bytes, n: int) -> None:
        """Versions from this one on, which the log never took."""
        with self._writing():
            self._db.execute("DELETE FROM version WHERE list = ? AND n >= ? AND settled = 0", (name, n))

    # -- credentials

    def add(self, row: Row, saying: Saying, *, instead: tuple[bytes, Change] | None = None) -> int:
        """A credential with its places and its commitment, whose number is returned. instead: of another, which is revoked in
        the same commit."""
        names = [each for each in _names(Row) if each != "n"]
        with self._writing():
            outgoing = self._put(saying)
            values = {**{name: getattr(row, name) for name in names}, "outgoing": outgoing}
            self._db.execute(f"INSERT INTO issued({', '.join(names)}) VALUES ({_marks(names)})", (*values.values(),))  # noqa: S608
            self._db.execute("UPDATE pair SET taken = taken + 1 WHERE n = ?", (row.pair,))
            if instead is not None:
                old, change = instead
                self._db.execute("UPDATE issued SET state = 'revoked', renewed = ? WHERE id = ?", (row.id, old))
                self._note(old, change)
        return outgoing

    def change(self, identity: bytes, found: Change, *, before: str, after: str) -> bool:
        """Whether the credential was in the state `before`, and is in `after` now."""
        with self._writing():
            changed = self._db.execute(
                "UPDATE issued SET state = ? WHERE id = ? AND state = ?", (after, identity, before)
            ).rowcount
            if changed:
                self._note(identity, found)
        return bool(changed)

    def changes(self, identity: bytes) -> list[Change]:
        """What was done to a credential, the oldest first."""
        rows = self._read("SELECT event, reason, at_ms FROM change WHERE id = ? ORDER BY n", identity)
        return [_made(Change, row) for row in rows]

    def find(self, identity: bytes) -> Row:
        """Raises NotFound: credential_unknown."""
        found = self._rows("WHERE id = ?", identity)
        if not found:
            raise NotFound("credential_unknown", "this institution has issued no such credential")
        return found[0]

    def every(self, *, most: int, before: int | None = None) -> list[Row]:
        """The newest credentials, or the newest before number `before`; the newest first."""
        return self._rows("WHERE n < ? ORDER BY n DESC LIMIT ?", 1 << 62 if before is None else before, most)

    def signed_with(self, key: bytes, *, state: str, most: int, after: int) -> list[Row]:
        """Credentials in a state that a key has signed, the oldest after number `after` first."""
        return self._rows("WHERE key = ? AND state = ? AND n > ? ORDER BY n LIMIT ?", key, state, after, most)

    def _note(self, identity: bytes, found: Change) -> None:
        self._db.execute(
            "INSERT INTO change(id, event, reason, at_ms) VALUES (?, ?, ?, ?)",
            (identity, found.event, found.reason, found.at_ms),
        )

    def _put(self, saying: Saying) -> int:
        made = self._db.execute(
            "INSERT INTO outgoing(document, content_type, sub) VALUES (?, ?, ?)",
            (saying.document, saying.content_type, saying.sub),
        )
        assert made.lastrowid is not None
        return made.lastrowid

    def _rows(self, clause: str, *values: object) -> list[Row]:
        names = ", ".join(_names(Row))
        return [_made(Row, row) for row in self._read(f"SELECT {names} FROM issued {clause}", *values)]  # noqa: S608

    def _versions(self, clause: str, *values: object) -> list[Version]:
        names = ", ".join(_names(Version))
        return [_made(Version, row) for row in self._read(f"SELECT {names} FROM version {clause}", *values)]  # noqa: S608

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, _refusing():
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all of it is on disk in the end, or nothing. Raises Unavailable: credentials_failing."""
        with self._lock, _refusing(), database.transaction(self._db):
            yield


def _made(kind: type[_T], row: Sequence[Any]) -> _T:
    """A row as its dataclass, whose fields are the columns that were asked for."""
    return kind(**dict(zip(_names(kind), row, strict=True)))


def _names(kind: type[Any]) -> list[str]:
    return [each.name for each in fields(kind)]


def _marks(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable("credentials_failing", f"cannot read or write {FILE}") from error
