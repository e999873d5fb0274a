"""Offers and requests of a party, in SQLite. Codes, tokens and addresses are there as digests alone, and end by the clock.

An offer holds what will be said of a person, and a request what was said of them: both go when their time is over.
"""

import contextlib
import hashlib
import hmac
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger import database
from ledger.credentials.exchange import oid4vci
from ledger.credentials.exchange.oid4vci import Refused
from protocol import base64text
from protocol.errors import NotFound, Unavailable

FILE = "credentials-exchange.db"
APPLICATION_ID = 0x5647_4501  # "VGE" and 1
OFFERS_MAX = 4096  # that have not ended; beyond it none is made: the issuer takes one back, or waits
REQUESTS_MAX = 4096  # that have not ended, answered or not; beyond it none is made
OFFER_LIFE_MS = 72 * 3_600_000  # an offer that nobody took up by then ends, and what it would have said is forgotten
OFFER_LIFE_MAX_MS = 30 * 86_400_000
TOKEN_LIFE_MS = 300_000  # within which a wallet gets the credential, again if the answer was lost
NOTICE_LIFE_MS = 86_400_000  # within which a wallet says what became of it
REQUEST_LIFE_MS = 300_000  # within which a request is answered
RESULT_LIFE_MS = 3_600_000  # within which the verifier takes up what came out
TRIES_MAX = 5  # wrong tx_codes; after the last one the offer has ended
USED_MAX = 65_536  # nonces of proofs in five minutes; beyond it proofs are refused for now
BUSY_MS = 5000

OFFERED, CLAIMED, ISSUING, ISSUED = "offered", "claimed", "issuing", "issued"
"""States of an offer; then what the wallet said, one of `oid4vci.EVENTS`."""
ASKED, ANSWERING, ANSWERED, DECLINED = "asked", "answering", "answered", "declined"
"""States of a request. One that stays at ANSWERING was cut off by a crash: it is spent, and the verifier asks again."""

_SCHEMA = """
CREATE TABLE offer(id BLOB PRIMARY KEY, code BLOB NOT NULL UNIQUE, tx_code BLOB, wrong INTEGER NOT NULL, state TEXT NOT NULL,
  configuration TEXT NOT NULL, draft TEXT, token BLOB UNIQUE, holder TEXT, answer TEXT, notice BLOB UNIQUE,
  until_ms INTEGER NOT NULL) STRICT;
CREATE INDEX offer_until ON offer(until_ms);
CREATE TABLE used(nonce BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT;
CREATE TABLE request(id TEXT PRIMARY KEY, state TEXT NOT NULL, said TEXT NOT NULL, came TEXT, code BLOB UNIQUE,
  until_ms INTEGER NOT NULL) STRICT;
CREATE INDEX request_until ON request(until_ms);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a token is for. draft: JSON; answer: what was handed out to `holder` already, if anything was."""

    id: bytes
    state: str
    configuration: str
    draft: str
    holder: str | None
    answer: str | None


class Store:
    """One party's exchanges. random_bytes: from the operating system but in tests."""

    def __init__(self, db: sqlite3.Connection, random_bytes: Callable[[int], bytes]) -> None:
        self._db, self._random, self._lock = db, random_bytes, threading.Lock()

    @classmethod
    def open(cls, folder: Path, *, random_bytes: Callable[[int], bytes]) -> Self:
        """The file in `folder`, made when it is not there. Raises Unavailable: exchange_unreadable."""
        path = folder / FILE
        try:
            db = database.opened(path, _SCHEMA, application_id=APPLICATION_ID, busy_ms=BUSY_MS, forgetting=True)
            # A crash between issuing and its answer left these. The wallet asks again, and gets one that it can hold; of the
            # first one nobody has a copy.
            db.execute("UPDATE offer SET state = ? WHERE state = ?", (CLAIMED, ISSUING))
        except (OSError, sqlite3.Error) as error:
            raise Unavailable("exchange_unreadable", f"cannot use {path}") from error
        return cls(db, random_bytes)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def offer(
        self, configuration: str, draft: str, *, tx_code: bool, life_ms: int, now_ms: int
    ) -> tuple[str, str | None]:
        """(the secret part of a new offer's address, its tx_code). Raises Unavailable: offers_full, exchange_failing."""
        secret = base64text.encode_url(self._random(32))
        digits = f"{int.from_bytes(self._random(8), 'big') % 10**oid4vci.TX_DIGITS:0{oid4vci.TX_DIGITS}d}"
        kept = _tx_digest(secret, digits) if tx_code else None
        until_ms = now_ms + min(life_ms, OFFER_LIFE_MAX_MS)
        with self._writing():
            self._forget(now_ms)
            if self._count("offer") >= OFFERS_MAX:
                raise Unavailable(
                    "offers_full", f"{OFFERS_MAX} offers are open: take some back, or wait until they end"
                )
            self._db.execute(
                "INSERT INTO offer (id, code, tx_code, wrong, state, configuration, draft, until_ms) "
                "VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
                (_digest(secret), _digest(code_of(secret)), kept, OFFERED, configuration, draft, until_ms),
            )
        return secret, digits if tx_code else None

    def offered(self, secret: str, *, now_ms: int) -> tuple[str, bool]:
        """(configuration, whether it wants a tx_code) of an offer that nobody took up. Raises NotFound: offer_unknown."""
        row = self._row(
            "SELECT configuration, tx_code IS NOT NULL FROM offer WHERE id = ? AND state = ? AND until_ms > ?",
            (_digest(secret), OFFERED, now_ms),
        )
        if row is None:
            raise NotFound("offer_unknown", "there is no such offer, not any more, or somebody took it up")
        return str(row[0]), bool(row[1])

    def offer_state(self, secret: str) -> str:
        """Where an offer stands. Raises NotFound: offer_unknown."""
        row = self._row("SELECT state FROM offer WHERE id = ?", (_digest(secret),))
        if row is None:
            raise NotFound("offer_unknown", "there is no such offer, or not any more")
        return str(row[0])

    def withdraw(self, secret: str) -> None:
        """Take back an offer that nobody took up. Raises NotFound: offer_unknown."""
        with self._writing():
            gone = self._db.execute("DELETE FROM offer WHERE id = ? AND state = ?", (_digest(secret), OFFERED)).rowcount
        if not gone:
            raise NotFound("offer_unknown", "there is no such offer, not any more, or somebody took it up")

    def claim(self, code: str, tx_code: str | None, *, now_ms: int) -> str:
        """A token for a code, which is used up with it. Raises Refused: invalid_grant, invalid_request; Unavailable.

        The code ends when TRIES_MAX tx_codes were wrong: whoever photographed the offer gets no more guesses.
        """
        token, refused = base64text.encode_url(self._random(32)), None
        with self._writing():
            self._forget(now_ms)
            row = self._db.execute(
                "SELECT id, tx_code, wrong FROM offer WHERE code = ? AND state = ?", (_digest(code), OFFERED)
            ).fetchone()
            if row is None:
                raise Refused("invalid_grant", "this code is unknown, used or too old")
            identity, kept, wrong = row
            if kept is None and tx_code is not None:
                raise Refused("invalid_request", "this offer has no tx_code")
            if kept is not None and tx_code is None:
                raise Refused("invalid_request", "this offer wants its tx_code")
            if kept is not None and not hmac.compare_digest(kept, _tx_digest(code, str(tx_code), coded=True)):
                refused = Refused("invalid_grant", "the tx_code is wrong")
                if wrong + 1 >= TRIES_MAX:
                    self._db.execute("DELETE FROM offer WHERE id = ?", (identity,))
                self._db.execute("UPDATE offer SET wrong = wrong + 1 WHERE id = ?", (identity,))
            else:
                # Stop here: the code is used and nobody has the token. The issuer makes another offer.
                self._db.execute(
                    "UPDATE offer SET state = ?, token = ?, until_ms = ? WHERE id = ?",
                    (CLAIMED, _digest(token), now_ms + TOKEN_LIFE_MS, identity),
                )
        if refused is not None:
            raise refused
        return token

    def claimed(self, token: str, *, now_ms: int) -> Claim:
        """What a token is for. Raises Refused: invalid_token."""
        row = self._row(
            "SELECT id, state, configuration, draft, holder, answer FROM offer WHERE token = ? AND until_ms > ? "
            "AND draft IS NOT NULL",
            (_digest(token), now_ms),
        )
        if row is None:
            raise Refused("invalid_token", "this token is unknown or too old", status=401)
        return Claim(id=row[0], state=row[1], configuration=row[2], draft=row[3], holder=row[4], answer=row[5])

    def begin(self, claim: Claim, nonce: bytes, *, now_ms: int, nonce_until_ms: int) -> None:
        """Use up the nonce of a proof, and let nobody else issue for this claim meanwhile.

        Raises Refused: invalid_nonce, credential_request_denied; Unavailable: nonces_full.
        """
        with self._writing():
            self._db.execute("DELETE FROM used WHERE until_ms <= ?", (now_ms,))
            if self._count("used") >= USED_MAX:
                raise Unavailable("nonces_full", "too many proofs in five minutes: come back")
            try:
                self._db.execute("INSERT INTO used VALUES (?, ?)", (nonce, nonce_until_ms))
            except sqlite3.IntegrityError as error:
                raise Refused("invalid_nonce", "this nonce was answered already: get a new one") from error
            if claim.answer is None:
                changed = self._db.execute(
                    "UPDATE offer SET state = ? WHERE id = ? AND state = ?", (ISSUING, claim.id, CLAIMED)
                )
                if not changed.rowcount:
                    raise Refused("credential_request_denied", "the credential is being issued to another request")

    def release(self, claim: Claim) -> None:
        """Nothing was issued: another request may try."""
        with self._writing():
            self._db.execute("UPDATE offer SET state = ? WHERE id = ? AND state = ?", (CLAIMED, claim.id, ISSUING))

    def issued(self, claim: Claim, *, holder: str, answer: str, notice: str, now_ms: int) -> None:
        """Keep what is handed out, so that a wallet that lost the answer gets the same again."""
        with self._writing():
            self._db.execute(
                "UPDATE offer SET state = ?, holder = ?, answer = ?, notice = ? WHERE id = ?",
                (ISSUED, holder, answer, _digest(notice), claim.id),
            )

    def noticed(self, token: str, notice: str, event: str, *, now_ms: int) -> None:
        """What became of a credential at the wallet; what would be handed out again is forgotten with it.

        Raises Refused: invalid_token, invalid_notification_id.
        """
        with self._writing():
            row = self._db.execute("SELECT notice FROM offer WHERE token = ?", (_digest(token),)).fetchone()
            if row is None:
                raise Refused("invalid_token", "this token is unknown or too old", status=401)
            if row[0] != _digest(notice):
                raise Refused("invalid_notification_id", "there is no such notification")
            self._db.execute(
                "UPDATE offer SET state = ?, draft = NULL, answer = NULL, until_ms = ? WHERE token = ?",
                (event, now_ms + NOTICE_LIFE_MS, _digest(token)),
            )

    def ask(self, name: str, said: str, *, now_ms: int) -> None:
        """Keep a request. said: JSON. Raises Unavailable: requests_full, exchange_failing."""
        with self._writing():
            self._forget(now_ms)
            if self._count("request") >= REQUESTS_MAX:
                raise Unavailable("requests_full", f"{REQUESTS_MAX} requests are open: wait until they end")
            self._db.execute(
                "INSERT INTO request (id, state, said, until_ms) VALUES (?, ?, ?, ?)",
                (name, ASKED, said, now_ms + REQUEST_LIFE_MS),
            )

    def asked(self, name: str, *, now_ms: int) -> str:
        """A request that still waits for its answer. Raises NotFound: request_unknown."""
        row = self._row("SELECT said FROM request WHERE id = ? AND state = ? AND until_ms > ?", (name, ASKED, now_ms))
        if row is None:
            raise NotFound("request_unknown", "there is no such request, not any more, or it was answered")
        return str(row[0])

    def take(self, name: str, *, now_ms: int) -> None:
        """Spend a request: of two answers to one, one comes here first. Raises NotFound: request_unknown."""
        with self._writing():
            taken = self._db.execute(
                "UPDATE request SET state = ?, until_ms = ? WHERE id = ? AND state = ? AND until_ms > ?",
                (ANSWERING, now_ms + RESULT_LIFE_MS, name, ASKED, now_ms),
            ).rowcount
        if not taken:
            raise NotFound("request_unknown", "there is no such request, not any more, or it was answered")

    def answer(self, name: str, state: str, came: str, *, now_ms: int) -> str:
        """Keep what came out; the response code that leads to it, once."""
        code = base64text.encode_url(self._random(32))
        with self._writing():
            self._db.execute(
                "UPDATE request SET state = ?, came = ?, code = ?, until_ms = ? WHERE id = ?",
                (state, came, _digest(code), now_ms + RESULT_LIFE_MS, name),
            )
        return code

    def result(self, name: str, *, now_ms: int) -> tuple[str, str | None]:
        """(state, what came out in JSON) of a request. Raises NotFound: request_unknown."""
        row = self._row("SELECT state, came FROM request WHERE id = ? AND until_ms > ?", (name, now_ms))
        if row is None:
            raise NotFound("request_unknown", "there is no such request, or not any more")
        return str(row[0]), row[1]

    def redeem(self, code: str, *, now_ms: int) -> str:
        """The request that a response code is of; the code is used up. Raises NotFound: request_unknown."""
        with self._writing():
            row = self._db.execute(
                "UPDATE request SET code = NULL WHERE code = ? AND until_ms > ? RETURNING id", (_digest(code), now_ms)
            ).fetchone()
        if row is None:
            raise NotFound("request_unknown", "this response code is unknown, used or too old")
        return str(row[0])

    def forget(self, *, now_ms: int) -> None:
        """Forget what has ended. Raises Unavailable: exchange_failing."""
        with self._writing():
            self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        for table in ("offer", "request"):
            self._db.execute(f"DELETE FROM {table} WHERE until_ms <= ?", (now_ms,))  # noqa: S608

    def _count(self, table: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608

    def _row(self, query: str, given: tuple[object, ...]) -> tuple[Any, ...] | None:
        try:
            with self._lock:
                row: tuple[Any, ...] | None = self._db.execute(query, given).fetchone()
        except sqlite3.Error as error:
            raise Unavailable("exchange_failing", "offers and requests cannot be read now") from error
        return row

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock, database.transaction(self._db):
                yield
        except sqlite3.Error as error:
            raise Unavailable("exchange_failing", "offers and requests cannot be kept now") from error


def code_of(secret: str) -> str:
    """The pre-authorised code of an offer, which who has its address can get and nobody reads in the file."""
    return base64text.encode_url(hashlib.sha256(b"vigil/1/offer code\x00" + secret.encode()).digest())


def _tx_digest(text: str, digits: str, *, coded: bool = False) -> bytes:
    """Of a tx_code, under the code that it goes with: six digits alone would be guessed from any digest."""
    code = text if coded else code_of(text)
    return hmac.digest(code.encode(), b"vigil/1/tx code\x00" + digits.encode(), "sha256")


def _digest(said: str) -> bytes:
    return hashlib.sha256(b"vigil/1/exchange\x00" + said.encode("utf-8", "replace")).digest()
