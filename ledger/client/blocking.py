"""The blocking client of a ledger."""

import copy
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from ledger.client import exchanges
from ledger.client.answers import Answer, ContractEntries, Registered, Status, Verdict
from ledger.client.exchanges import Exchange, Request
from ledger.client.transport import TIMEOUT_S, Body, base, headers, unreachable
from protocol import merkle

T = TypeVar("T")


class Client:
    """Blocking client. base_url: the ledger's address; auth: signs requests, for what not everybody may read.

    pause: waits so many seconds. Raises ConfigError: ledger_url.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        auth: httpx.Auth | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._timeout_s, self._pause, self._under = timeout_s, pause, ""
        self._http = httpx.Client(
            base_url=base(base_url), timeout=timeout_s, follow_redirects=False, transport=transport, auth=auth
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def register(self, statement: bytes) -> Registered:
        """Register a statement, or find it again; polls within bounds while the ledger says that it still runs (SCRAPI).

        Raises LedgerRefused; LedgerBusy; Unavailable: ledger_unreachable; Malformed. The same holds for what follows.
        """
        return self._run(exchanges.register(statement))

    def register_many(self, statements: Sequence[bytes]) -> list[Verdict]:
        """Register many statements in few requests; each one's verdict, in their order. One that is LedgerBusy or Malformed is
        sent again, alone.

        Raises as `register`, when the ledger cannot judge a request of them: send all again, and what it has already is found.
        """
        return self._run(exchanges.register_many(statements))

    def receipt(self, entry_id: str) -> bytes:
        """The receipt of an entry for the newest tree. Raises NotFound: entry_unknown, for what is no name of an entry."""
        return self._run(exchanges.receipt_of(entry_id))

    def statement(self, entry_id: str) -> bytes:
        """The statement of an entry. Raises as `receipt`; LedgerRefused: statement_not_for_you."""
        return self._run(exchanges.statement_of(entry_id))

    def transparent(self, entry_id: str) -> bytes:
        """The statement of an entry with its receipt for the newest tree attached. Raises as `statement`."""
        return self._run(exchanges.transparent(entry_id))

    def contract_entries(self, name: str, first: int = 0) -> ContractEntries:
        """What a contract was told from index `first` on; ask again from its `next` while that is below its `size`.

        Raises LedgerRefused: contract_unknown. Who signs its requests gets what members may read, and others just what all may.
        """
        return self._run(exchanges.contract_entries(name, first))

    def of_epoch(self, epoch: int) -> Self:
        """The same client for one epoch of the ledger, also one that has ended: its checkpoint, nodes, proofs and entries."""
        found = copy.copy(self)
        found._under = f"/epochs/{epoch:d}"
        return found

    def checkpoint(self) -> str:
        """The newest checkpoint, a signed note that the caller verifies."""
        return self._run(exchanges.checkpoint())

    def status(self) -> Status:
        """What the ledger says about itself, unsigned."""
        return self._run(exchanges.status())

    def keys(self) -> bytes:
        """The COSE key set."""
        return self._run(exchanges.keys())

    def key(self, kid: bytes) -> bytes:
        """One COSE key by its thumbprint, retired ones too. Raises LedgerRefused: key_unknown."""
        return self._run(exchanges.key(kid))

    def proof(self, index: int, size: int) -> list[bytes]:
        """The inclusion path of an entry in the tree of `size`, from tiles; not checked."""
        return self._run(exchanges.proof(index, size))

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The path that the tree of `size1` is a prefix of that of `size2`, from tiles; not checked."""
        return self._run(exchanges.consistency(size1, size2))

    def beginning(self, size1: int, size2: int) -> list[bytes]:
        """The path that shows what the tree of `size2` began as (`merkle.prefix_roots`), from tiles; not checked."""
        return self._run(exchanges.beginning(size1, size2))

    def consistency_receipt(self, size1: int) -> bytes:
        """The log's receipt that its newest tree is that of `size1` grown, which the caller verifies."""
        return self._run(exchanges.consistency_receipt(size1))

    def nodes(self, wanted: Sequence[merkle.Node], size: int) -> list[bytes]:
        """The hashes of nodes of the tree of `size`, from tiles; not checked."""
        return self._run(exchanges.nodes(wanted, size))

    def entries(self, first: int, count: int, size: int) -> list[bytes]:
        """The entries from index `first` of the tree of `size`, from bundles; not checked."""
        return self._run(exchanges.entries(first, count, size))

    def _run(self, exchange: Exchange[T]) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(self._send(request))
        except StopIteration as done:
            found: T = done.value
            return found

    def _send(self, request: Request) -> Answer:
        if request.after_s:
            self._pause(request.after_s)
        body = Body(ends_s=time.monotonic() + self._timeout_s, size_max=request.answer_max)
        asked = (request.method, self._under + request.path)
        try:
            with self._http.stream(*asked, content=request.content, headers=headers(request)) as response:
                for chunk in response.iter_raw():
                    body.add(chunk)
        except httpx.HTTPError as error:
            raise unreachable(type(error).__name__) from error
        return body.answer(response)
