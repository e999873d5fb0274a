"""A small use case, as one plugs in: parcels that go from hand to hand. Nothing in the product knows of it."""

import contextlib
from collections.abc import AsyncIterator

from ledger.party.mount import Face, Slice
from ledger.party.node import Node
from tests.support.parcels import api, cli, pages, rules
from tests.support.parcels.store import Parcels


def plugged(parcels: Parcels) -> Slice:
    """The use case over its read model."""

    @contextlib.asynccontextmanager
    async def opened(node: Node) -> AsyncIterator[Face]:
        yield Face(routes=api.routes(node, parcels), pages=pages.pages(node, parcels))

    return Slice(name="parcels", contract=rules.CONTRACT, opened=opened, cli=cli.parcels)
