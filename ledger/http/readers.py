"""Who may read a statement over HTTP: whoever signed the request (RFC 9421), as far as the registration policy lets them."""

import time
from collections.abc import Collection, Sequence

from starlette.requests import Request
from starlette.types import Scope

from ledger import policy, signing
from ledger.http.source import Source
from ledger.log.shelf import Shelf
from ledger.registry import records
from ledger.rules import Refused, State
from ledger.signing import Memory, NotSigned
from protocol import statement
from protocol.keys import PublicKey
from protocol.statement import Statement

SIGNED = ("signature", "signature-input")  # whoever sends one of these wants to be known: it has to hold


class Readers:
    """addresses: host:port under which clients call this log; empty for the address that they are connected to."""

    def __init__(self, source: Source, *, addresses: Collection[str] = ()) -> None:
        self._source, self._addresses = source, addresses
        self._memory = Memory(started_s=int(time.time()))

    async def statement(self, request: Request, entry_id: str) -> bytes:
        """The statement of an entry, when whoever asks may have it.

        Raises NotFound; NotSigned; Refused: statement_not_for_you; Unavailable.
        """
        return await self._source.read(lambda: self._statement(request.scope, entry_id))

    def public(self, shelf: Shelf, index: int) -> Statement | None:
        """The statement at an index, when anybody may read it. Blocks. Raises NotFound; Unavailable."""
        found = statement.parse(shelf.statement(index))
        return found if self.readable([found], None)[0] else None

    def readable(self, found: Sequence[Statement], who: bytes | None) -> list[bool]:
        """Which of these the key with this thumbprint (None: anybody) may read now, by one state. Blocks."""
        now_ms = time.time_ns() // 1_000_000
        return self._source.engine.look(lambda state: [_may(state, each, who, now_ms) for each in found])

    def _statement(self, scope: Scope, entry_id: str) -> bytes:
        shelf, index = self._source.engine.locate(entry_id)
        who = self.who(scope)
        raw = shelf.statement(index)
        try:
            self._check(statement.parse(raw), who)
        except Refused as error:
            if who is None:
                raise NotSigned("signature_missing", "this statement is not for everybody: sign the request") from error
            raise
        return raw

    def who(self, scope: Scope) -> bytes | None:
        """The thumbprint of the key that signed the request; None when nobody did. Blocks. Raises NotSigned; Unavailable."""
        if not any(name.decode("latin-1") in SIGNED for name, _ in scope["headers"]):
            return None
        return signing.verify(
            signing.received(scope, b""),
            key_of=self._key,
            authorities=self._addresses or _called(scope),
            memory=self._memory,
            now_s=int(time.time()),
        )

    def _key(self, thumbprint: bytes) -> PublicKey | None:
        """A party's key, though it may not act any more: that is for the policy to say."""
        found = self._source.engine.look(lambda state: records.key_of(state, thumbprint))
        return None if found is None else found.key

    def _check(self, found: Statement, who: bytes | None) -> None:
        now_ms = time.time_ns() // 1_000_000
        self._source.engine.look(lambda state: policy.check_read(state, found, who, now_ms=now_ms))


def _may(state: State, found: Statement, who: bytes | None, now_ms: int) -> bool:
    try:
        policy.check_read(state, found, who, now_ms=now_ms)
    except Refused:
        return False
    return True


def _called(scope: Scope) -> tuple[str, ...]:
    """The address of ours that a client is connected to, which no field of a request can change."""
    host, port = scope.get("server") or ("", None)
    named = f"[{host}]" if ":" in host else host
    names = [named, "localhost"] if host in ("127.0.0.1", "::1") else [named]
    plain = tuple(names) if port in (None, 80) else ()  # the port of the scheme is left out of an address
    return (*plain, *(f"{name}:{port}" for name in names))
