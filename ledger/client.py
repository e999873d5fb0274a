"""A ledger's client in protocol terms: registers statements, reads checkpoints, computes proofs from tiles.

It trusts nothing that it reads: whoever holds the log's key verifies receipts and checkpoints, and proofs are checked against a
checkpoint. Bodies are bounded and redirects are not followed, so that a hostile ledger costs little.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from protocol import cbor, merkle, receipt, tiles
from protocol.errors import Malformed, ProtocolError, Unavailable

STATEMENT_TYPE = "application/cose"
PROBLEM_TYPE = "application/concise-problem-details+cbor"
TIMEOUT_S = 10.0
BODY_MAX = 262_144  # bytes of any answer; a longer one is cut off and refused
TITLE, DETAIL, CODE = -1, -2, "code"


class LedgerRefused(ProtocolError):
    """The ledger will not take a statement, whatever the time. code: the ledger's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the ledger answered. index, size: as the receipt says; the caller verifies it."""

    entry_id: str
    receipt: bytes
    index: int
    size: int


def _registered(response: httpx.Response, body: bytes) -> Registered:
    if response.status_code not in (200, 201):
        raise _trouble(response, body)
    found = receipt.read(body)
    location = response.headers.get("location", "")
    name = location.rsplit("/", 1)[-1]
    if not name or len(name) > 64:
        raise Malformed("ledger_answer", "the ledger named no entry")
    return Registered(entry_id=name, receipt=body, index=found.index, size=found.size)


def _read(response: httpx.Response, body: bytes) -> bytes:
    if response.status_code != 200:
        raise _trouble(response, body)
    return body


def _trouble(response: httpx.Response, body: bytes) -> ProtocolError | Unavailable:
    code, detail = f"http_{response.status_code}", "the ledger answered so"
    if response.headers.get("content-type", "").startswith(PROBLEM_TYPE):
        try:
            problem = cbor.decode_loosely(body)
        except Malformed:
            problem = None
        if isinstance(problem, dict):
            code, detail = str(problem.get(CODE, code))[:64], str(problem.get(DETAIL, detail))[:200]
    if response.status_code in (408, 425, 429) or response.status_code >= 500:
        return Unavailable("ledger_busy", f"the ledger cannot answer now: {code}")
    return LedgerRefused(code, detail)


def _unreachable(error: httpx.HTTPError) -> Unavailable:
    return Unavailable("ledger_unreachable", f"the ledger cannot be reached: {type(error).__name__}")


def _tiles_for_inclusion(index: int, size: int) -> list[tiles.Tile]:
    wanted: dict[tiles.Tile, None] = {}

    def note(level: int, place: int) -> bytes:
        wanted[tiles.tile_for(level, place, size)] = None
        return bytes(merkle.HASH_SIZE)

    merkle.inclusion_path(note, index, size)
    return list(wanted)


def _tiles_for_consistency(size1: int, size2: int) -> list[tiles.Tile]:
    wanted: dict[tiles.Tile, None] = {}

    def note(level: int, place: int) -> bytes:
        wanted[tiles.tile_for(level, place, size2)] = None
        return bytes(merkle.HASH_SIZE)

    merkle.consistency_path(note, size1, size2)
    return list(wanted)


class Client:
    """Blocking client. base_url: the ledger's address."""

    def __init__(
        self, base_url: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"), timeout=timeout_s, follow_redirects=False, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def register(self, statement: bytes) -> Registered:
        """Register a statement, or find it again. Raises LedgerRefused; Unavailable: ledger_*; Malformed."""
        return _registered(*self._send("POST", "/entries", statement))

    def receipt(self, entry_id: str) -> bytes:
        """The receipt of an entry for the newest tree."""
        return _read(*self._send("GET", f"/entries/{entry_id}"))

    def checkpoint(self) -> str:
        """The newest checkpoint, a signed note that the caller verifies."""
        return _read(*self._send("GET", "/checkpoint")).decode("utf-8", "replace")

    def keys(self) -> bytes:
        """The COSE key set."""
        return _read(*self._send("GET", "/.well-known/scitt-keys"))

    def proof(self, index: int, size: int) -> list[bytes]:
        """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
        found = {tile: self._tile(tile) for tile in _tiles_for_inclusion(index, size)}
        return merkle.inclusion_path(tiles.reader(lambda tile: found[tile], size), index, size)

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
        found = {tile: self._tile(tile) for tile in _tiles_for_consistency(size1, size2)}
        return merkle.consistency_path(tiles.reader(lambda tile: found[tile], size2), size1, size2)

    def _tile(self, tile: tiles.Tile) -> Sequence[bytes]:
        return tiles.split(_read(*self._send("GET", f"/{tile.path()}")), tile.width)

    def _send(self, method: str, path: str, content: bytes | None = None) -> tuple[httpx.Response, bytes]:
        headers = {"content-type": STATEMENT_TYPE} if content is not None else {}
        body = bytearray()
        try:
            with self._http.stream(method, path, content=content, headers=headers) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > BODY_MAX:
                        raise Malformed("ledger_answer", f"an answer of more than {BODY_MAX} bytes")
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        return response, bytes(body)


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self, base_url: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"), timeout=timeout_s, follow_redirects=False, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def register(self, statement: bytes) -> Registered:
        """Register a statement, or find it again. Raises LedgerRefused; Unavailable: ledger_*; Malformed."""
        return _registered(*await self._send("POST", "/entries", statement))

    async def receipt(self, entry_id: str) -> bytes:
        """The receipt of an entry for the newest tree."""
        return _read(*await self._send("GET", f"/entries/{entry_id}"))

    async def checkpoint(self) -> str:
        """The newest checkpoint, a signed note that the caller verifies."""
        return _read(*await self._send("GET", "/checkpoint")).decode("utf-8", "replace")

    async def proof(self, index: int, size: int) -> list[bytes]:
        """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
        found = await self._tiles(_tiles_for_inclusion(index, size))
        return merkle.inclusion_path(tiles.reader(lambda tile: found[tile], size), index, size)

    async def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
        found = await self._tiles(_tiles_for_consistency(size1, size2))
        return merkle.consistency_path(tiles.reader(lambda tile: found[tile], size2), size1, size2)

    async def _tiles(self, wanted: Sequence[tiles.Tile]) -> dict[tiles.Tile, Sequence[bytes]]:
        answers = await asyncio.gather(*(self._send("GET", f"/{tile.path()}") for tile in wanted))
        return {tile: tiles.split(_read(*answer), tile.width) for tile, answer in zip(wanted, answers, strict=True)}

    async def _send(self, method: str, path: str, content: bytes | None = None) -> tuple[httpx.Response, bytes]:
        headers = {"content-type": STATEMENT_TYPE} if content is not None else {}
        body = bytearray()
        try:
            async with self._http.stream(method, path, content=content, headers=headers) as response:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > BODY_MAX:
                        raise Malformed("ledger_answer", f"an answer of more than {BODY_MAX} bytes")
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        return response, bytes(body)
