"""A party as its APIs see it: signs what it says with its own key, queues it for the log, and knows who calls.

The key is in the party's own folder. Nothing else holds it; the log gets statements that are signed already.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ledger import keyfile, signing
from ledger.party import rotation
from ledger.party.store import FILE, Row, Store
from protocol import statement
from protocol.errors import ConfigError, Malformed
from protocol.keys import PublicKey, SigningKey

KEY = rotation.KEY


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

    writers, peers: keys by thumbprint that may queue statements here, and that may call. admitted: the key with a thumbprint
    when the log in this process lets it act now, which then may call too; it blocks. authorities: host:port, in lower
    case, under which we are called; may be set later, when the port is known.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        name: str,
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
        self.name = name
        self.authorities: Collection[str] = ()
        self.queued: Callable[[], None] = lambda: None
        """Told when something new waits."""

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
        raw = self._signed(document, content_type=content_type, sub=sub, hashed=hashed)
        digest = statement.entry(raw)
        await asyncio.to_thread(self._store.queue, digest, raw, now_ms=self._now_ms())
        self.queued()
        return digest

    async def find(self, digest: bytes) -> Row:
        """Where a statement stands. Raises NotFound: statement_unknown; Unavailable: store_failing."""
        return await asyncio.to_thread(self._store.find, digest)

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

    def may_write(self, thumbprint: bytes) -> bool:
        """Whether this key may have statements signed here."""
        return thumbprint in self._writers

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
