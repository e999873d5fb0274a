"""A party as its APIs see it: signs what it says with its own key, queues it for the log, and knows who calls.

The key is in the party's own folder. Nothing else holds it; the log gets statements that are signed already.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from ledger import keyfile, signing
from ledger.client import AsyncClient
from ledger.party import rotation
from ledger.party.settings import Settings
from ledger.party.store import FILE, Row, Store
from ledger.questions import Question
from protocol import base64text, statement
from protocol.errors import ConfigError, Malformed, NotFound
from protocol.evidence import Trust
from protocol.keys import PublicKey, SigningKey

KEY = rotation.KEY

_A = TypeVar("_A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log that a party sends to. client: whose requests the party signs; trust: what is believed of it."""

    client: AsyncClient
    trust: Trust

    @property
    def origin(self) -> str:
        """Its name. Raises ConfigError: trust_logs, when the trust file does not name one log."""
        if len(self.trust.policy.logs) != 1:
            raise ConfigError("trust_logs", "a party sends to one log: name it alone in the trust file")
        (found,) = self.trust.policy.logs
        return found


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[tuple[SigningKey, Store]]:
    """The party's key and database while the block runs, made when they are not there, locked for one process. A key whose
    declaration has its receipt has taken its place.

    Raises ConfigError: state_in_use, key_lost; NotFound: key_missing; Unavailable: state_unreadable, key_unreadable.
    """
    with contextlib.ExitStack() as held:
        held.callback(os.close, keyfile.hold(folder, program="party"))
        if not (folder / KEY).exists() and (folder / FILE).exists():
            raise ConfigError("key_lost", f"{KEY} is gone from {folder}, and what it signed is there: bring it back")
        keyfile.make(folder / KEY)
        key = load_key(folder)
        # Stop here: a key without a database. The next run makes the database, and the key stays.
        store = held.enter_context(contextlib.closing(Store.open(folder)))
        yield rotation.settle(folder, key, store), store


def load_key(folder: Path) -> SigningKey:
    """Raises NotFound: key_missing; Unavailable: key_unreadable."""
    return keyfile.load(folder / KEY, fix="run `vigil party init`")


class Node:
    """What a use case may do with its party.

    chosen: the party's settings; its folder, where use cases keep what is theirs, is `folder`.
    writers, peers: keys by thumbprint that may queue statements here, and that may call. admitted: the key with a thumbprint
    when the log in this process lets it act now, which then may call too; it blocks. authorities: host:port, in lower
    case, under which we are called; may be set later, when the port is known.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        chosen: Settings,
        store: Store,
        writers: Mapping[bytes, PublicKey],
        peers: Mapping[bytes, PublicKey],
        now_ms: Callable[[], int],
        admitted: Callable[[bytes], PublicKey | None],
    ) -> None:
        self._store, self._now_ms = store, now_ms
        self._given, self._peers, self._admitted = writers, peers, admitted
        self.take_up(key)
        self._memory = signing.Memory(started_s=now_ms() // 1000)
        self.chosen, self.name, self.folder = chosen, chosen.name, chosen.state
        self.log: Log | None = None
        """None: the party is alone, and what it says waits."""
        self._answers: dict[type[Question[Any]], Callable[[Any], object]] = {}
        self.authorities: Collection[str] = ()
        self.queued: Callable[[], None] = lambda: None
        """Told in the event loop when something new waits."""
        self.queued_elsewhere: Callable[[], None] = lambda: None
        """Told in another thread."""

    def take_up(self, key: SigningKey) -> None:
        """Sign with this key from now on. The one before may not call any more, unless the settings name it."""
        self._key = key
        self._writers = {**self._given, key.public.thumbprint: key.public}
        self._callers = {**self._peers, **self._writers}

    @property
    def public(self) -> PublicKey:
        """The party's key as others know it."""
        return self._key.public

    async def queue(self, document: bytes, *, content_type: str, sub: str, hashed: bool = False) -> bytes:
        """Sign a statement and let it wait for the log; its SHA-256. It is on disk when this returns.

        hashed: the log gets the SHA-256 of the document alone, which the caller keeps. The same again is the same statement.
        Raises Malformed: document_empty, statement_*; Unavailable: outbox_full, store_failing.
        """
        digest = await asyncio.to_thread(self._kept, document, content_type=content_type, sub=sub, hashed=hashed)
        self.queued()
        return digest

    def say(self, document: bytes, *, content_type: str, sub: str) -> bytes:
        """What `queue` does with a document in full, for a thread that may block: never the event loop's."""
        digest = self._kept(document, content_type=content_type, sub=sub, hashed=False)
        self.queued_elsewhere()
        return digest

    def attest(self, said: Callable[[PublicKey], str]) -> str:
        """A compact JWS by the party, for what it says outside the log. said: its first two parts, for the key that signs."""
        key = self._key
        first = said(key.public)
        if not first.startswith("eyJ"):  # as a JSON object begins in base64: no statement and no request does
            raise AssertionError("only a token is signed like this")
        return f"{first}.{base64text.encode_url(key.sign(first.encode('ascii')))}"

    async def find(self, digest: bytes) -> Row:
        """Where a statement stands. Raises NotFound: statement_unknown; Unavailable: store_failing."""
        return await asyncio.to_thread(self._store.find, digest)

    def stands(self, digest: bytes) -> str:
        """What came of a statement: waiting, receipted, the code of the log's refusal, or statement_unknown; it may block.

        Raises Unavailable: store_failing.
        """
        try:
            row = self._store.find(digest)
        except NotFound as error:
            return error.code
        return row.refused or row.state

    async def caller(self, scope: Mapping[str, Any], body: bytes) -> bytes:
        """The thumbprint of the writer, peer or admitted party that signed an ASGI request: who they are, not what they may.

        Raises NotSigned; Unavailable: signatures_too_many.
        """
        return await asyncio.to_thread(
            signing.verify,
            signing.received(scope, body),
            key_of=lambda thumbprint: self._callers.get(thumbprint) or self._admitted(thumbprint),
            authorities=self.authorities,
            memory=self._memory,
            now_s=self._now_ms() // 1000,
        )

    def auth(self) -> httpx.Auth:
        """What signs requests with the party's key, whichever that is then."""
        return _Signed(self)

    def ask(self, question: Question[_A]) -> _A:
        """What the use case of this party that knows it answers; it may block."""
        answer: Any = self._answers[type(question)](question)
        found: _A = answer
        return found

    def answered_by(self, answers: Mapping[type[Question[Any]], Callable[[Any], object]]) -> None:
        """Ask these from now on. Raises AssertionError when two use cases answer one question."""
        if self._answers.keys() & answers.keys():
            raise AssertionError("two use cases answer one question")
        self._answers.update(answers)

    def may_write(self, thumbprint: bytes) -> bool:
        """Whether this key may have statements signed here."""
        return thumbprint in self._writers

    def _kept(self, document: bytes, *, content_type: str, sub: str, hashed: bool) -> bytes:
        raw = self._signed(document, content_type=content_type, sub=sub, hashed=hashed)
        digest = statement.entry(raw)
        self._store.queue(digest, raw, now_ms=self._now_ms())
        return digest

    def _sign_request(self) -> signing.Signed:
        return signing.Signed(self._key, now_s=lambda: self._now_ms() // 1000)

    def _signed(self, document: bytes, *, content_type: str, sub: str, hashed: bool) -> bytes:
        if not document:
            raise Malformed("document_empty", "there is nothing to make a statement about")
        iss = self._key.public.urn
        if hashed:
            raw = statement.sign_hash_envelope(
                self._key, iss=iss, sub=sub, preimage=document, preimage_content_type=content_type
            )
        else:
            raw = statement.sign(self._key, iss=iss, sub=sub, payload=document, content_type=content_type)
        if len(raw) > statement.SIZE_MAX:
            raise Malformed("statement_size", f"a statement has at most {statement.SIZE_MAX} bytes: register its hash")
        statement.parse(raw)  # what the log would not read, it is not sent
        return raw


class _Signed(httpx.Auth):
    requires_request_body = True

    def __init__(self, node: Node) -> None:
        self._node = node

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield from self._node._sign_request().auth_flow(request)
