"""The ledger's client for asyncio."""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from ledger.client import exchanges
from ledger.client.answers import Answer, ContractEntries, Registered, Status, Verdict
from ledger.client.exchanges import Exchange, Request
from ledger.client.transport import TIMEOUT_S, Body, base, headers, unreachable
from protocol import merkle

T = TypeVar("T")


class AsyncClient:
    """What `Client` is, for asyncio."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        auth: httpx.Auth | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._timeout_s, self._pause, self._under = timeout_s, pause, ""
        self._http = httpx.AsyncClient(
            base_url=base(base_url), timeout=timeout_s, follow_redirects=False, transport=transport, auth=auth
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def register(self, statement: bytes) -> Registered:
        """Register a statement, or find it again. Raises as `Client.register` does."""
        return await self._run(exchanges.register(statement))

    async def register_many(self, statements: Sequence[bytes]) -> list[Verdict]:
        """Register many statements in few requests. Raises as `Client.register_many` does."""
        return await self._run(exchanges.register_many(statements))

    async def receipt(self, entry_id: str) -> bytes:
        """The receipt of an entry for the newest tree. Raises NotFound: entry_unknown, for what is no name of an entry."""
        return await self._run(exchanges.receipt_of(entry_id))

    async def statement(self, entry_id: str) -> bytes:
        """The statement of an entry. Raises as `receipt`; LedgerRefused: statement_not_for_you."""
        return await self._run(exchanges.statement_of(entry_id))

    async def transparent(self, entry_id: str) -> bytes:
        """The statement of an entry with its receipt for the newest tree attached. Raises as `statement`."""
        return await self._run(exchanges.transparent(entry_id))

    async def contract_entries(self, name: str, first: int = 0) -> ContractEntries:
        """What a contract was told from index `first` on; ask again from its `next` while that is below its `size`.

        Raises LedgerRefused: contract_unknown. Who signs its requests gets what members may read, and others just what all may.
        """
        return await self._run(exchanges.contract_entries(name, first))

    def of_epoch(self, epoch: int) -> Self:
        """The same client for one epoch of the ledger, also one that has ended: its checkpoint, nodes, proofs and entries."""
        found = copy.copy(self)
        found._under = f"/epochs/{epoch:d}"
        return found

    async def checkpoint(self) -> str:
        """The newest checkpoint, a signed note that the caller verifies."""
        return await self._run(exchanges.checkpoint())

    async def status(self) -> Status:
        """What the ledger says about itself, unsigned."""
        return await self._run(exchanges.status())

    async def keys(self) -> bytes:
        """The COSE key set."""
        return await self._run(exchanges.keys())

    async def key(self, kid: bytes) -> bytes:
        """One COSE key by its thumbprint, retired ones too. Raises LedgerRefused: key_unknown."""
        return await self._run(exchanges.key(kid))

    async def proof(self, index: int, size: int) -> list[bytes]:
        """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
        return await self._run(exchanges.proof(index, size))

    async def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
        return await self._run(exchanges.consistency(size1, size2))

    async def beginning(self, size1: int, size2: int) -> list[bytes]:
        """The path that shows what the tree of `size2` began as (`merkle.prefix_roots`), from tiles; not checked."""
        return await self._run(exchanges.beginning(size1, size2))

    async def consistency_receipt(self, size1: int) -> bytes:
        """The log's receipt that its newest tree is that of `size1` grown, which the caller verifies."""
        return await self._run(exchanges.consistency_receipt(size1))

    async def nodes(self, wanted: Sequence[merkle.Node], size: int) -> list[bytes]:
        """The hashes of nodes of the tree of `size`, from tiles; not checked."""
        return await self._run(exchanges.nodes(wanted, size))

    async def entries(self, first: int, count: int, size: int) -> list[bytes]:
        """The entries from index `first` of the tree of `size`, from bundles; not checked."""
        return await self._run(exchanges.entries(first, count, size))

    async def _run(self, exchange: Exchange[T]) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self._send(request))
        except StopIteration as done:
            found: T = done.value
            return found

    async def _send(self, request: Request) -> Answer:
        if request.after_s:
            await self._pause(request.after_s)
        body = Body(ends_s=time.monotonic() + self._timeout_s, size_max=request.answer_max)
        asked = (request.method, self._under + request.path)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(*asked, content=request.content, headers=headers(request)) as response,
            ):
                async for chunk in response.aiter_raw():
                    body.add(chunk)
        except (httpx.HTTPError, TimeoutError) as error:
            raise unreachable(type(error).__name__) from error
        return body.answer(response)
