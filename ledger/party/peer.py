"""Calling another party: signed requests over one connection, answers that are bounded, refusals by their code."""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from ledger.signing import Signed
from protocol.errors import Malformed, NotFound, ProtocolError, Unavailable
from protocol.keys import PublicKey, SigningKey

TIMEOUT_S = 20.0  # for a whole request and its answer, however slowly the answer drips
ANSWER_MAX = 1_048_576  # bytes of an answer; a longer one is no answer, and not read on
BUSY = (408, 425, 429, 500, 502, 503, 504)

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class PeerRefused(ProtocolError):
    """The other party will not do it. code: the other's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Where a statement stands at the other party. receipt: once a log holds it; the caller verifies it."""

    digest: bytes
    state: str
    receipt: bytes | None
    refused: str | None


class Peer:
    """Another party at an address, for asyncio. key: ours, which the other one has to know; now_s: a clock, in Unix seconds."""

    def __init__(
        self,
        url: str,
        *,
        key: SigningKey,
        now_s: Callable[[], int],
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=url,
            auth=Signed(key, now_s=now_s),
            timeout=timeout_s,
            follow_redirects=False,
            transport=transport,
            headers={"accept-encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def about(self) -> tuple[str, PublicKey]:
        """Its name and its key, as it says. Raises as `send`."""
        found = _object(await self.send("GET", "/.well-known/vigil-party"))
        return _text(found, "name"), PublicKey(_bytes(found, "key"))

    async def whoami(self) -> bytes:
        """The thumbprint under which the other one knows us. Raises as `send`."""
        return _bytes(_object(await self.send("GET", "/whoami")), "thumbprint")

    async def queue(self, document: bytes, *, content_type: str, sub: str, hashed: bool = False) -> bytes:
        """Have the other party sign a statement and send it to its log; the SHA-256 of the statement. Raises as `send`."""
        asked = f"/statements?sub={quote(sub, safe='')}" + ("&hashed=true" if hashed else "")
        return _bytes(_object(await self.send("POST", asked, document, content_type=content_type)), "digest")

    async def statement(self, digest: bytes) -> Said:
        """Where a statement stands. Raises as `send`."""
        found = _object(await self.send("GET", f"/statements/{digest.hex()}"))
        receipt, refused = found.get("receipt"), found.get("refused")
        try:
            raw = None if receipt is None else base64.b64decode(str(receipt).encode(), validate=True)
        except ValueError as error:
            raise _senseless() from error
        return Said(
            digest=_bytes(found, "digest"),
            state=_text(found, "state"),
            receipt=raw,
            refused=None if refused is None else str(refused),
        )

    async def send(self, method: str, path: str, content: bytes = b"", *, content_type: str | None = None) -> bytes:
        """The body of the answer to a signed request.

        Raises PeerRefused; NotFound; Malformed: peer_answer; Unavailable: peer_unreachable, peer_busy.
        """
        headers = {} if content_type is None else {"content-type": content_type}
        found = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(method, path, content=content or None, headers=headers) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    found += chunk
                    if len(found) > ANSWER_MAX:
                        raise Malformed("peer_answer", f"an answer of more than {ANSWER_MAX} bytes")
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(
                "peer_unreachable", f"the other party cannot be reached: {type(error).__name__}"
            ) from error
        if answer.is_success:
            return bytes(found)
        code = _code(bytes(found)) or f"status_{answer.status_code}"
        if answer.status_code in BUSY:
            raise Unavailable("peer_busy", f"the other party cannot answer now: {code}")
        if answer.status_code == 404:
            raise NotFound(code, "the other party knows nothing under this name")
        raise PeerRefused(code, "the other party refuses that")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:  # the latter for what is nested without end
        raise _senseless() from error
    if not isinstance(found, dict):
        raise _senseless()
    return found


def _code(body: bytes) -> str | None:
    """The code of problem details, None for what is none."""
    try:
        found = _object(body).get("code")
    except Malformed:
        return None
    return found if isinstance(found, str) and _CODE.fullmatch(found) else None


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise _senseless()
    return value


def _bytes(found: dict[str, Any], name: str) -> bytes:
    try:
        value = bytes.fromhex(_text(found, name))
    except ValueError as error:
        raise _senseless() from error
    if len(value) != 32:
        raise _senseless()
    return value


def _senseless() -> Malformed:
    return Malformed("peer_answer", "the other party's answer makes no sense: look at its address")
