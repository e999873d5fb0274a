"""A party that issues and asks, serving on loopback in a thread of its own, for browsers and for software that is not ours."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ledger.credentials.pages.access import Access
from ledger.credentials.pages.front import Front
from ledger.credentials.pages.wallet import WalletPage
from ledger.party.mount import Face, Slice
from ledger.party.node import Node
from tests.support import exchanging, parties
from tests.support.exchanging import World

PATIENCE_S = 10


@dataclass
class Served:
    """A party in a thread of its own. stop: what ends it."""

    world: World
    url: str = ""
    ready: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, folder: Path) -> None:
        asyncio.run(self._run(folder))

    async def _run(self, folder: Path) -> None:
        with parties.folder(folder) as (key, store):
            party = parties.standing(
                folder, key=key, store=store, slices=(Slice(name="credentials", opened=self._opened),)
            )
            async with party as found:
                self.url, self.world.base = found.url, f"{found.url}/credentials"
                self.ready.set()
                await asyncio.to_thread(self.stop.wait)

    @contextlib.asynccontextmanager
    async def _opened(self, node: Node) -> AsyncIterator[Face]:
        with contextlib.closing(Access.open(node.folder, random_bytes=lambda count: bytes(count))) as doors:
            front = Front(node, doors, now_ms=parties.now_ms)
            exchange = self.world.exchange
            yield Face(
                routes=exchange.routes(),
                pages=[*front.routes(), *WalletPage(front).routes()],
                well_known=exchange.well_known("/credentials"),
            )


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """One that keeps what it has in `folder`."""
    world = exchanging.opened(folder, exchanging.Clock(parties.now_ms()))
    found = Served(world)
    thread = threading.Thread(target=found.run, args=(folder / "party",))
    thread.start()
    try:
        assert found.ready.wait(PATIENCE_S)
        yield found
    finally:
        found.stop.set()
        thread.join(PATIENCE_S)
        world.store.close()
