"""What anybody reads of an issuer: its DID document, its status lists now and of any time, and our context. All may be cached."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ledger.credentials.office import Office
from ledger.credentials.vc import contexts, jcs, times
from ledger.http import caching
from protocol.errors import Malformed, NotFound

SHORT = "public, max-age=60"  # a list or a DID document: who has an older one than the ledger names asks again anyhow
LIST_MEDIA, DID_MEDIA, CONTEXT_MEDIA = "application/vc", "application/did+json", "application/ld+json"

_NAME = re.compile(r"[0-9a-f]{32}")
_OPENAPI = Path(__file__).with_name("openapi.json")


class Public:
    """The routes. office: the issuer, when there is one."""

    def __init__(self, office: Office) -> None:
        self._office, self._openapi = office, _OPENAPI.read_bytes()

    def routes(self) -> list[BaseRoute]:
        """Under the use case."""
        return [
            Route("/did.json", _open(self.document)),
            Route("/status/{name}", _open(self.status)),
            Route("/contexts/v1", _open(self.context)),
            Route("/openapi.json", _open(self.openapi)),
        ]

    def well_known(self) -> list[BaseRoute]:
        """Where did:web looks for a host's DID. W3C CCG did:web §2.5.2."""
        return [Route("/did.json", _open(self.document))]

    async def document(self, request: Request) -> Response:
        """GET: the DID document of the issuer, when its DID is a did:web; a did:key says all there is."""
        if not self._office.did.startswith("did:web:"):
            raise NotFound("did_document_missing", "this party issues under no did:web")
        found = await asyncio.to_thread(lambda: jcs.canonical(self._office.document().to_json()))
        return caching.answer(request, found, media=DID_MEDIA, cache=SHORT)

    async def status(self, request: Request) -> Response:
        """GET /status/{name}?timestamp=: a list, the newest or of a time. W3C Bitstring Status List v1.0 §2.4."""
        name, asked = request.path_params["name"], request.query_params.multi_items()
        if not _NAME.fullmatch(name):
            raise NotFound("list_unknown", "a list is named by 32 hex digits")
        if asked and [key for key, _ in asked] != ["timestamp"]:
            raise Malformed("query_bad", "ask for a list of another time with timestamp=")
        at_ms = times.read(asked[0][1]) if asked else None
        found = await asyncio.to_thread(self._office.status_list, bytes.fromhex(name), at_ms=at_ms)
        # compressing what is compressed saves nothing, and a hash stands for these bytes
        return caching.answer(request, found, media=LIST_MEDIA, cache=SHORT, compress=False)

    async def context(self, request: Request) -> Response:
        """GET: the JSON-LD context of our types."""
        return caching.answer(request, contexts.CONTEXT_BYTES, media=CONTEXT_MEDIA, cache="public, max-age=86400")

    async def openapi(self, request: Request) -> Response:
        """GET: this interface."""
        return caching.answer(request, self._openapi, media="application/json", cache="no-cache")


def _open(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """For pages of any site: nothing here is anybody's own."""

    async def answer(request: Request) -> Response:
        found = await handler(request)
        found.headers["access-control-allow-origin"] = "*"
        found.headers["x-content-type-options"] = "nosniff"
        return found

    return answer
