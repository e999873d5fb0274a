"""The use case at a party: what it opens, what runs beside it, and what it shows. Every part is put together here alone."""

import contextlib
import os
import time
from collections.abc import AsyncIterator

from starlette.routing import BaseRoute

from ledger.credentials.api.vcapi import VcApi
from ledger.credentials.pages.access import Access
from ledger.credentials.pages.front import Front
from ledger.credentials.pages.holder import Holder
from ledger.party.mount import Face, Slice
from ledger.party.node import Node
from protocol.keys import SigningKey

NAME = "credentials"


@contextlib.asynccontextmanager
async def opened(node: Node) -> AsyncIterator[Face]:
    """The stores of a party's credentials, and their duties, while the block runs."""
    async with contextlib.AsyncExitStack() as held:
        doors = held.enter_context(contextlib.closing(Access.open(node.folder, random_bytes=os.urandom)))
        front = Front(node, doors, now_ms=_now_ms)
        routes: list[BaseRoute] = []
        if node.chosen.vc_api:
            apart = SigningKey.from_seed(os.urandom(32))
            routes += VcApi(apart, now_ms=_now_ms, authorities=lambda: node.authorities).routes()
        yield Face(routes=routes, pages=[*front.routes(), *Holder(front).routes()])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


SLICE = Slice(name=NAME, opened=opened)
