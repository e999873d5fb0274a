"""A small use case, as one plugs in: parcels that go from hand to hand. Nothing in the product knows of it."""

from ledger.party.mount import Slice
from tests.support.parcels import api, cli, pages, rules
from tests.support.parcels.store import Parcels


def plugged(parcels: Parcels) -> Slice:
    """The use case over its read model."""
    return Slice(
        name="parcels",
        contract=rules.CONTRACT,
        routes=lambda node: api.routes(node, parcels),
        pages=lambda node: pages.pages(node, parcels),
        cli=cli.parcels,
    )
