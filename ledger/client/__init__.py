"""A ledger's client in protocol terms: registers statements, reads checkpoints, computes proofs from tiles.

It trusts nothing that it reads: whoever holds the log's key verifies receipts and checkpoints, and proofs are checked
against a checkpoint. Answers are bounded in size and time and redirects are not followed, so that a hostile ledger costs
little. Only a ledger's own problem details refuse a statement for good: what a proxy or a wrong address says does not.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from protocol import cbor, config, merkle, receipt, tiles
from protocol.errors import ConfigError, Malformed, NotFound, ProtocolError, Unavailable

STATEMENT_TYPE = "application/cose"
PROBLEM_TYPE = "application/concise-problem-details+cbor"
PROBLEM_KEY = "tag:vigil.example,2026:problem"  # of our own entry among problem details; RFC 9290 asks for a URI
DETAIL, CODE = -2, "code"
TIMEOUT_S = 10.0  # for a whole exchange, however slowly the answer drips
BODY_MAX = 65_536  # bytes of any answer; the longest one that is right is a checkpoint with all its cosignatures
DETAIL_MAX = 200  # characters of a ledger's sentence that are shown
RETRY_AFTER_MAX_S = 3600  # a ledger that asks for a longer pause is asked again anyway
JUDGED = (400, 413)  # answers about a statement itself; any other may change without the statement changing
BUSY = (408, 425, 429, 500, 502, 503, 504)

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")  # never "." or "..", which are places and not names
_SECONDS = re.compile(r"[0-9]{1,9}")


class LedgerRefused(ProtocolError):
    """The ledger will not do it, however often it is asked. code: the ledger's own."""


class LedgerBusy(Unavailable):
    """The ledger cannot do it now. retry_after_s: how long it asks to be left alone; None when it does not say."""

    def __init__(self, code: str, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the ledger answered. index, size: as the receipt says; the caller verifies it."""

    entry_id: str
    receipt: bytes
    index: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer whose body was read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes


class _Body:
    """Collects an answer's body within its bounds. ends_s: on the monotonic clock."""

    def __init__(self, ends_s: float) -> None:
        self._ends_s, self._found = ends_s, bytearray()

    def add(self, chunk: bytes) -> None:
        """Raises Malformed: ledger_answer; Unavailable: ledger_unreachable."""
        self._found += chunk
        if len(self._found) > BODY_MAX:
            raise Malformed("ledger_answer", f"an answer of more than {BODY_MAX} bytes")
        if time.monotonic() > self._ends_s:
            raise _unreachable("the answer does not end")

    def answer(self, response: httpx.Response) -> _Answer:
        """What was collected."""
        return _Answer(status=response.status_code, headers=response.headers, body=bytes(self._found))


def _registered(answer: _Answer) -> Registered:
    if answer.status not in (200, 201):
        raise _trouble(answer, refusals=JUDGED)
    found = receipt.read(answer.body)
    name = answer.headers.get("location", "").rsplit("/", 1)[-1]
    if not _NAME.fullmatch(name):
        raise Malformed("ledger_answer", "the ledger named no entry")
    return Registered(entry_id=name, receipt=answer.body, index=found.index, size=found.size)


def _read(answer: _Answer) -> bytes:
    if answer.status != 200:
        raise _trouble(answer, refusals=(400, 404))
    return answer.body


def _trouble(answer: _Answer, *, refusals: tuple[int, ...]) -> ProtocolError | Unavailable:
    code, detail = _problem(answer)
    if answer.status in BUSY:
        said = answer.headers.get("retry-after", "")
        pause_s = float(min(int(said), RETRY_AFTER_MAX_S)) if _SECONDS.fullmatch(said) else None
        reason = code or f"status {answer.status}"
        return LedgerBusy("ledger_busy", f"the ledger cannot answer now: {reason}", retry_after_s=pause_s)
    if code is not None and answer.status in refusals:
        return LedgerRefused(code, detail)
    return Malformed("ledger_answer", f"status {answer.status} is no answer of a ledger: look at its address")


def _problem(answer: _Answer) -> tuple[str | None, str]:
    """The code of a problem that the ledger itself describes, None when it does not, and its sentence."""
    if answer.headers.get("content-type", "") != PROBLEM_TYPE:
        return None, ""
    try:
        problem = cbor.decode_loosely(answer.body)
    except Malformed:
        return None, ""
    ours = problem.get(PROBLEM_KEY) if isinstance(problem, dict) else None
    if not isinstance(problem, dict) or not isinstance(ours, dict):
        return None, ""
    code, detail = ours.get(CODE), problem.get(DETAIL)
    shown = detail[:DETAIL_MAX] if isinstance(detail, str) and detail.isprintable() else "it does not say why"
    return (code if isinstance(code, str) and _CODE.fullmatch(code) else None), shown


def _unreachable(reason: str) -> Unavailable:
    return Unavailable("ledger_unreachable", f"the ledger cannot be reached: {reason}")


def _base(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url.rstrip("/"))
        host = found.host
    except (httpx.InvalidURL, UnicodeError) as error:  # also a host that is no internationalised name
        raise ConfigError("ledger_url", "the ledger's address is not a URL") from error
    if found.scheme not in ("http", "https") or not host:
        raise ConfigError("ledger_url", "the ledger's address begins with http:// or https:// and names a host")
    if not config.callable_at(host, found.port):
        raise ConfigError("ledger_url", "the ledger's address has a host or a port that cannot be")
    return found


def _headers(content: bytes | None) -> dict[str, str]:
    """No compression: a bounded body stays bounded."""
    plain = {"accept-encoding": "identity"}
    return plain if content is None else {**plain, "content-type": STATEMENT_TYPE}


def _entry_path(entry_id: str) -> str:
    if not _NAME.fullmatch(entry_id):
        raise NotFound("entry_unknown", "no ledger names an entry so")
    return f"/entries/{entry_id}"


def _inclusion(index: int, size: int) -> Callable[[merkle.Reader], list[bytes]]:
    return lambda read: merkle.inclusion_path(read, index, size)


def _consistency(size1: int, size2: int) -> Callable[[merkle.Reader], list[bytes]]:
    return lambda read: merkle.consistency_path(read, size1, size2)


def _tiles_of(walk: Callable[[merkle.Reader], list[bytes]], size: int) -> list[tiles.Tile]:
    """The tiles of a log of `size` entries that `walk` reads from, each once."""
    wanted: dict[tiles.Tile, None] = {}

    def note(level: int, index: int) -> bytes:
        wanted[tiles.tile_for(level, index, size)] = None
        return bytes(merkle.HASH_SIZE)

    walk(note)
    return list(wanted)


def _walked(walk: Callable[[merkle.Reader], list[bytes]], size: int, bodies: dict[tiles.Tile, _Answer]) -> list[bytes]:
    hashes = {tile: tiles.split(_read(answer), tile.width) for tile, answer in bodies.items()}
    return walk(tiles.reader(lambda tile: hashes[tile], size))


class Client:
    """Blocking client. base_url: the ledger's address; raises ConfigError: ledger_url."""

    def __init__(
        self, base_url: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=_base(base_url), timeout=timeout_s, follow_redirects=False, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def register(self, statement: bytes) -> Registered:
        """Register a statement, or find it again.

        Raises LedgerRefused; LedgerBusy; Unavailable: ledger_unreachable; Malformed. The same holds for what follows.
        """
        return _registered(self._send("POST", "/entries", statement))

    def receipt(self, entry_id: str) -> bytes:
        """The receipt of an entry for the newest tree. Raises NotFound: entry_unknown, for what is no name of an entry."""
        return _read(self._send("GET", _entry_path(entry_id)))

    def checkpoint(self) -> str:
        """The newest checkpoint, a signed note that the caller verifies."""
        return _read(self._send("GET", "/checkpoint")).decode("utf-8", "replace")

    def keys(self) -> bytes:
        """The COSE key set."""
        return _read(self._send("GET", "/.well-known/scitt-keys"))

    def proof(self, index: int, size: int) -> list[bytes]:
        """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
        return self._walk(_inclusion(index, size), size)

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
        return self._walk(_consistency(size1, size2), size2)

    def _walk(self, walk: Callable[[merkle.Reader], list[bytes]], size: int) -> list[bytes]:
        return _walked(walk, size, {tile: self._send("GET", f"/{tile.path()}") for tile in _tiles_of(walk, size)})

    def _send(self, method: str, path: str, content: bytes | None = None) -> _Answer:
        body = _Body(time.monotonic() + self._timeout_s)
        try:
            with self._http.stream(method, path, content=content, headers=_headers(content)) as response:
                for chunk in response.iter_raw():
                    body.add(chunk)
        except httpx.HTTPError as error:
            raise _unreachable(type(error).__name__) from error
        return body.answer(response)


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self, base_url: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=_base(base_url), timeout=timeout_s, follow_redirects=False, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def register(self, statement: bytes) -> Registered:
        """Register a statement, or find it again. Raises as `Client.register` does."""
        return _registered(await self._send("POST", "/entries", statement))

    async def receipt(self, entry_id: str) -> bytes:
        """The receipt of an entry for the newest tree. Raises NotFound: entry_unknown, for what is no name of an entry."""
        return _read(await self._send("GET", _entry_path(entry_id)))

    async def checkpoint(self) -> str:
        """The newest checkpoint, a signed note that the caller verifies."""
        return _read(await self._send("GET", "/checkpoint")).decode("utf-8", "replace")

    async def keys(self) -> bytes:
        """The COSE key set."""
        return _read(await self._send("GET", "/.well-known/scitt-keys"))

    async def proof(self, index: int, size: int) -> list[bytes]:
        """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
        return await self._walk(_inclusion(index, size), size)

    async def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
        return await self._walk(_consistency(size1, size2), size2)

    async def _walk(self, walk: Callable[[merkle.Reader], list[bytes]], size: int) -> list[bytes]:
        return _walked(walk, size, {tile: await self._send("GET", f"/{tile.path()}") for tile in _tiles_of(walk, size)})

    async def _send(self, method: str, path: str, content: bytes | None = None) -> _Answer:
        body = _Body(time.monotonic() + self._timeout_s)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(method, path, content=content, headers=_headers(content)) as response,
            ):
                async for chunk in response.aiter_raw():
                    body.add(chunk)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unreachable(type(error).__name__) from error
        return body.answer(response)
