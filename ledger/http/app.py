"""The ledger's face: SCRAPI for statements and receipts, tlog-tiles for everyone who checks the log, pages for people."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ledger.http import pages, problems
from ledger.http.entries import Entries
from ledger.http.feed import Feed
from ledger.http.pages import Pages
from ledger.http.public import Public
from ledger.http.readers import Readers
from ledger.http.registration import ANSWER_WITHIN_S, Registration
from ledger.http.source import Source
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol.errors import VigilError

ANYWHERE = {  # what anybody may read, pages of other places may read too, so that they can verify
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "etag, location, retry-after",
}
SENTENCES = {404: "there is nothing under this address", 405: "this address does not take that method"}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A path and what answers it. shared: pages of other places may read the answer."""

    path: str
    name: str
    handler: Handler
    method: str = "GET"
    shared: bool = True


class Ledger(Starlette):
    """The application. One statement does not pass the router: it is what a ledger is asked for most."""

    def __init__(self, source: Source, registration: Registration, routes: list[Route], trouble: "_Trouble") -> None:
        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            source.close()

        handlers = {HTTPException: trouble.unknown, Exception: trouble.unknown}
        super().__init__(routes=routes, exception_handlers=handlers, lifespan=lifespan)
        self.router.redirect_slashes = False  # every resource has one address
        self._register = ServerErrorMiddleware(registration, handler=trouble.unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] == "/entries" and scope["method"] == "POST":
            await self._register(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _Trouble:
    """Errors as answers: problem details, or pages for people."""

    def __init__(self, shown: Pages) -> None:
        self._pages = shown

    def refused(self, request: Request, error: VigilError) -> Response:
        """An error that a handler raises on purpose."""
        return self._told(request, problems.status_of(error), error.code, error.detail)

    async def unknown(self, request: Request, error: Exception) -> Response:
        """A path or method that is not there, and a bug of ours."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        answer = self._told(request, status, f"http_{status}", SENTENCES.get(status, "this ledger failed to answer"))
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    def _told(self, request: Request, status: int, code: str, detail: str) -> Response:
        if pages.wanted(request):
            return self._pages.trouble(request, status, code, detail)
        return problems.problem(status, code, detail)


def app(
    engine: Engine, metrics: Metrics, *, addresses: Collection[str] = (), answer_within_s: float = ANSWER_WITHIN_S
) -> Ledger:
    """The public interface of a log. addresses: host:port that clients call it by, where a proxy stands in front.

    answer_within_s: how long a client waits for its receipt before it is told to ask later.
    """
    source = Source(engine)
    readers, public = Readers(source, addresses=addresses), Public(source)
    registration = Registration(source, metrics, answer_within_s=answer_within_s)
    entries, shown = Entries(source, registration.operations, readers), Pages(source, readers)
    feed = Feed(source, readers, public)
    ways = (
        _Way(path="/batches", name="batch", handler=registration.batch, method="POST", shared=False),
        _Way(path="/entries/{entry_id}", name="entry", handler=entries.receipt),
        _Way(path="/entries/{entry_id}/statement", name="statement", handler=entries.statement, shared=False),
        _Way(path="/entries/{entry_id}/transparent", name="transparent", handler=entries.transparent, shared=False),
        _Way(path="/entries/{entry_id}/proof", name="proof", handler=entries.proof),
        _Way(path="/consistency/{size1}", name="consistency", handler=entries.consistency),
        _Way(path="/contracts/{name}/entries", name="feed", handler=feed.entries, shared=False),
        _Way(path="/epochs/{epoch}/contracts/{name}/entries", name="feed", handler=feed.entries, shared=False),
        _Way(path="/.well-known/scitt-keys", name="keys", handler=public.keys),
        _Way(path="/.well-known/scitt-keys/{kid}", name="key", handler=public.key),
        _Way(path="/checkpoint", name="checkpoint", handler=public.checkpoint),
        _Way(path="/tile/{path:path}", name="tile", handler=public.tile),
        _Way(path="/epochs/{epoch}/checkpoint", name="checkpoint", handler=public.checkpoint),
        _Way(path="/epochs/{epoch}/tile/{path:path}", name="tile", handler=public.tile),
        _Way(path="/status", name="status", handler=public.status),
        _Way(path="/openapi.json", name="openapi", handler=public.openapi),
        _Way(path="/", name="page", handler=shown.home, shared=False),
        _Way(path="/log/find", name="page", handler=shown.find, shared=False),
        _Way(path="/log/entries/{entry_id}", name="page", handler=shown.entry, shared=False),
        _Way(path="/log/static/{name}", name="page", handler=shown.static, shared=False),
    )
    trouble = _Trouble(shown)
    routes = [Route(way.path, _answering(way, metrics, trouble), methods=[way.method]) for way in ways]
    return Ledger(source, registration, [Route("/entries", registration, methods=["POST"]), *routes], trouble)


def _answering(way: _Way, metrics: Metrics, trouble: _Trouble) -> Handler:
    """A handler with its duration observed and its errors as answers."""
    seconds = metrics.request_seconds.labels(way.name)

    async def answer(request: Request) -> Response:
        with seconds.time():
            try:
                found = await way.handler(request)
            except ClientDisconnect:
                return Response(status_code=400)
            except VigilError as error:
                if way.method == "POST":
                    metrics.refused(error.code)
                found = trouble.refused(request, error)
        if way.shared:
            found.headers.update(ANYWHERE)
        if request.method == "HEAD":
            found.body = b""  # the fields are those of a GET, the length too
        return found

    return answer


def metrics_app(engine: Engine, metrics: Metrics) -> Starlette:
    """/metrics and /healthz, on a port of their own."""

    async def exposition(_: Request) -> Response:
        metrics.tree_size.set(engine.size)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        facts = {"ok": engine.healthy, "tree_size": engine.size, "origin": engine.origin}
        return JSONResponse(facts, status_code=200 if engine.healthy else 503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz)])
