"""Sign-in of staff: a code that the operator makes, good once and for ten minutes, becomes a session with the code's roles.

Only hashes are kept, in a file of their own: who reads it can neither sign in nor go on with a session. Losing the file signs
everybody out and loses nothing else.
"""

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Self

from ledger import database
from protocol.errors import ConfigError, ProtocolError, Unavailable

FILE = "credentials-access.db"
APPLICATION_ID = 0x5647_4341  # "VGCA": no other file of ours
ISSUER, VERIFIER = "issuer", "verifier"
ROLES = (ISSUER, VERIFIER)
CODE_BYTES = 10  # 80 random bits, 16 letters
CODE_LIFE_MS = 600_000
CODES_MAX = 64  # codes that nobody has used yet; beyond it the oldest ends
WRONG_MAX = (
    20  # wrong codes in ten minutes, of everybody together; then none is looked at until the first of them is that old
)
SESSION_LIFE_MS = 8 * 3_600_000  # a working day
SESSIONS_MAX = 512  # beyond it the oldest ends
BUSY_MS = 5000  # how long we wait for the command that makes a code, or for the party

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no letter is taken for another
_MEANT = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SCHEMA = """
CREATE TABLE code(digest BLOB PRIMARY KEY, roles TEXT NOT NULL, until_ms INTEGER NOT NULL) STRICT;
CREATE TABLE wrong(n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE session(digest BLOB PRIMARY KEY, roles TEXT NOT NULL, until_ms INTEGER NOT NULL) STRICT;
"""


class NotSignedIn(ProtocolError):
    """A code or a session that is not there, not any more, or not for this."""


class Access:
    """Codes and sessions in a party's folder. The command that makes codes and the running party may have it open at once."""

    def __init__(self, db: sqlite3.Connection, random_bytes: Callable[[int], bytes]) -> None:
        self._db, self._random, self._lock = db, random_bytes, threading.Lock()

    @classmethod
    def open(cls, folder: Path, *, random_bytes: Callable[[int], bytes]) -> Self:
        """The file in `folder`, made when it is not there. Raises Unavailable: access_unreadable."""
        path = folder / FILE
        try:
            db = database.opened(path, _SCHEMA, application_id=APPLICATION_ID, busy_ms=BUSY_MS)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable("access_unreadable", f"cannot use {path}") from error
        return cls(db, random_bytes)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def make_code(self, roles: Collection[str], *, now_ms: int) -> str:
        """A new code for these roles, in groups of four letters.

        Raises ConfigError: role_unknown; Unavailable: access_failing.
        """
        if not roles or not set(roles) <= set(ROLES):
            raise ConfigError("role_unknown", f"the roles of a code are {' and '.join(ROLES)}")
        number = int.from_bytes(self._random(CODE_BYTES), "big")
        letters = "".join(_LETTERS[number >> 5 * place & 31] for place in range(CODE_BYTES * 8 // 5))
        with self._writing():
            self._forget(now_ms)
            said = (_digest(letters), " ".join(sorted(set(roles))), now_ms + CODE_LIFE_MS)
            self._db.execute("INSERT INTO code VALUES (?, ?, ?)", said)
            self._trim("code", CODES_MAX)
        return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))

    def sign_in(self, code: str, *, now_ms: int) -> str:
        """The token of a new session for a code, which is used up with it.

        Raises NotSignedIn: code_wrong, code_attempts; Unavailable: access_failing.
        """
        letters = "".join(code.upper().split()).replace("-", "").translate(_MEANT)[:64]
        token = self._random(32).hex()
        with self._writing():
            self._forget(now_ms)
            (wrong,) = self._db.execute("SELECT count(*) FROM wrong").fetchone()
            if wrong >= WRONG_MAX:
                raise NotSignedIn("code_attempts", "too many wrong codes: wait ten minutes, then ask for a new one")
            row = self._db.execute("DELETE FROM code WHERE digest = ? RETURNING roles", (_digest(letters),)).fetchone()
            if row is None:
                self._db.execute("INSERT INTO wrong (at_ms) VALUES (?)", (now_ms,))
            else:
                # Code and session in one commit. Stop before it: the code still holds. After it: nobody has the token, and
                # the operator makes another code.
                said = (_digest(token), row[0], now_ms + SESSION_LIFE_MS)
                self._db.execute("INSERT INTO session VALUES (?, ?, ?)", said)
                self._trim("session", SESSIONS_MAX)
        if row is None:
            raise NotSignedIn("code_wrong", "this code is wrong, used or older than ten minutes: ask for a new one")
        return token

    def roles(self, token: str, *, now_ms: int) -> frozenset[str]:
        """The roles of a session; none when it is not there any more. Raises Unavailable: access_failing."""
        try:
            with self._lock:
                found = self._db.execute(
                    "SELECT roles FROM session WHERE digest = ? AND until_ms > ?", (_digest(token), now_ms)
                ).fetchone()
        except sqlite3.Error as error:
            raise Unavailable("access_failing", "sessions cannot be read now") from error
        return frozenset() if found is None else frozenset(found[0].split())

    def sign_out(self, token: str) -> None:
        """End a session. Raises Unavailable: access_failing."""
        with self._writing():
            self._db.execute("DELETE FROM session WHERE digest = ?", (_digest(token),))

    def _forget(self, now_ms: int) -> None:
        self._db.execute("DELETE FROM code WHERE until_ms <= ?", (now_ms,))
        self._db.execute("DELETE FROM session WHERE until_ms <= ?", (now_ms,))
        self._db.execute("DELETE FROM wrong WHERE at_ms <= ? OR at_ms > ?", (now_ms - CODE_LIFE_MS, now_ms))

    def _trim(self, table: str, most: int) -> None:
        self._db.execute(
            f"DELETE FROM {table} WHERE rowid NOT IN (SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT ?)",  # noqa: S608
            (most,),
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock, database.transaction(self._db):
                yield
        except sqlite3.Error as error:
            raise Unavailable("access_failing", "sign-in does not work now") from error


def _digest(said: str) -> bytes:
    return hashlib.sha256(b"vigil/1/access\x00" + said.encode()).digest()
