"""The page for people: where every parcel is."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from ledger.party.node import Node
from tests.support.parcels.store import Parcels


def pages(node: Node, parcels: Parcels) -> list[Route]:
    """GET /parcels/pages/."""

    async def home(_: Request) -> HTMLResponse:
        rows = "".join(
            f"<tr><td>{number.hex()}</td><td>{escape(one.state)}</td></tr>" for number, one in parcels.every().items()
        )
        return HTMLResponse(
            f"<!doctype html><html lang=en><title>Parcels</title><h1>{escape(node.name)}</h1><table>{rows}</table></html>"
        )

    return [Route("/", home)]
