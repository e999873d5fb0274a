"""Both clients of a ledger behind one blocking face, and ledgers that answer as a test says."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import httpx

from ledger.client import PROBLEM_KEY, AsyncClient, ContractEntries, Registered, Status, Verdict
from protocol import cbor, merkle


class Asks(Protocol):
    """What both clients offer, blocking."""

    def register(self, statement: bytes) -> Registered: ...
    def register_many(self, statements: Sequence[bytes]) -> list[Verdict]: ...
    def receipt(self, entry_id: str) -> bytes: ...
    def statement(self, entry_id: str) -> bytes: ...
    def transparent(self, entry_id: str) -> bytes: ...
    def contract_entries(self, name: str, first: int) -> ContractEntries: ...
    def checkpoint(self) -> str: ...
    def status(self) -> Status: ...
    def keys(self) -> bytes: ...
    def key(self, kid: bytes) -> bytes: ...
    def proof(self, index: int, size: int) -> list[bytes]: ...
    def consistency(self, size1: int, size2: int) -> list[bytes]: ...
    def consistency_receipt(self, size1: int) -> bytes: ...
    def nodes(self, wanted: Sequence[merkle.Node], size: int) -> list[bytes]: ...
    def entries(self, first: int, count: int, size: int) -> list[bytes]: ...


Opened = Callable[..., Asks]


class Blocking:
    """The asyncio client, a loop and a connection for every call. pause: a blocking one, as the other client takes."""

    def __init__(self, base_url: str, *, pause: Callable[[float], None] | None = None, **options: Any) -> None:
        async def wait(pause_s: float) -> None:
            if pause is not None:
                pause(pause_s)

        self._url, self._options = base_url, options if pause is None else {**options, "pause": wait}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def ask(*arguments: Any) -> Any:
            async with AsyncClient(self._url, **self._options) as client:
                return await getattr(client, name)(*arguments)

        return lambda *arguments: asyncio.run(ask(*arguments))


def problem(code: object = "log_full", detail: object = "no room") -> bytes:
    """Problem details as our ledger writes them."""
    return cbor.encode({-1: "Rejected", -2: detail, PROBLEM_KEY: {"code": code}})


def answer(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    """One answer, with underscores of its headers' names as dashes."""
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(body))


def asked(opened: Opened, handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Asks:
    """A client whose requests `handler` answers."""
    return opened("http://ledger.example", transport=httpx.MockTransport(handler), **options)


def answering(opened: Opened, status: int, body: bytes = b"", **headers: str) -> Asks:
    """A client whose every request is answered so."""
    return asked(opened, lambda _: answer(status, body, **headers))
