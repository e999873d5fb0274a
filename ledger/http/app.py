"""The ledger's face: SCRAPI for statements and receipts, tlog-tiles for everyone who checks the whole log."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, statement, tiles
from protocol.errors import NotFound, Unavailable, VigilError

COSE = "application/cose"
STATEMENT_TYPES = frozenset({COSE, "application/scitt-statement+cose"})
PROBLEM_TYPE = "application/concise-problem-details+cbor"
PROBLEM_KEY = "tag:vigil.example,2026:problem"  # of our own entry among problem details; RFC 9290 asks for a URI
THREADS = 8  # registrations at once; they share one commit
WAITING_MAX = 256  # registrations that run or wait for a thread; who comes beyond is asked to come back
BODY_WITHIN_S = 10  # a statement that is not all there by then is not waited for
RETRY_AFTER_S = 1
IMMUTABLE = "public, max-age=31536000, immutable"
SHORT = "public, max-age=1"
_OPENAPI = Path(__file__).with_name("openapi.json")

_T = TypeVar("_T")
TITLES = {
    400: "Rejected",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Error",
    503: "Unavailable",
}
SAID = {
    "alg_unsupported": "Bad Signature Algorithm",
    "statement_payload": "Payload Missing",
    "key_unknown": "No such key",
}
UNREADABLE = ("cbor_", "cose_")  # what codes begin with of what is no statement at all
SENTENCES = {404: "there is nothing under this address", 405: "this address does not take that method"}


def problem(status: int, code: str, detail: str) -> Response:
    """Concise problem details with a stable `code` (RFC 9290), under the titles that SCRAPI has."""
    title = "Malformed request" if code.startswith(UNREADABLE) else SAID.get(code) or TITLES.get(status, "Error")
    body = cbor.encode({-1: title, -2: detail, PROBLEM_KEY: {"code": code}})
    headers = {"retry-after": str(RETRY_AFTER_S)} if status in (429, 503) else None
    return Response(body, status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def _status(error: VigilError) -> int:
    if isinstance(error, NotFound):
        return 404
    return 503 if isinstance(error, Unavailable) else 400


class Face:
    """The routes' common state: an engine, and threads for its blocking calls."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._openapi = _OPENAPI.read_bytes()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vigil-ledger")
        self._waiting = 0

    async def _blocking(self, job: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    async def register(self, request: Request) -> Response:
        """POST /entries: the statement's receipt, 201 when it is new and 200 when it was there."""
        media = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if media not in STATEMENT_TYPES:
            return problem(415, "media_type", f"send a signed statement as {COSE}")
        try:
            raw = await _body(request)
        except TimeoutError:
            return problem(408, "body_slow", f"a statement is sent within {BODY_WITHIN_S} seconds")
        if len(raw) > statement.SIZE_MAX:
            return problem(413, "statement_size", f"a statement has at most {statement.SIZE_MAX} bytes")
        if self._waiting >= WAITING_MAX:
            self._metrics.refused("too_many")
            return problem(429, "too_many", "too many statements are waiting: come back")
        self._waiting += 1
        try:
            found = await self._blocking(lambda: self._engine.register(raw))
        except VigilError as error:
            self._metrics.refused(error.code)
            raise
        finally:
            self._waiting -= 1
        if found.new:
            self._metrics.entries.inc()
        return Response(
            found.receipt,
            status_code=201 if found.new else 200,
            media_type=COSE,
            headers={"location": f"/entries/{found.entry_id}"},
        )

    async def entry(self, request: Request) -> Response:
        """GET /entries/{id}: its receipt for the newest tree."""
        name = request.path_params["entry_id"]
        found = await self._blocking(lambda: self._engine.receipt(self._engine.find(name)))
        return Response(found, media_type=COSE, headers={"location": f"/entries/{name}", "cache-control": SHORT})

    async def keys(self, _: Request) -> Response:
        """GET /.well-known/scitt-keys: the COSE key set."""
        return Response(self._engine.keys(), media_type="application/cbor", headers={"cache-control": SHORT})

    async def key(self, request: Request) -> Response:
        """GET /.well-known/scitt-keys/{kid}: one COSE key."""
        name = request.path_params["kid"]
        try:
            kid = base64.urlsafe_b64decode(f"{name}{'=' * (-len(name) % 4)}")
        except ValueError as error:
            raise NotFound("key_unknown", "a key is named by its thumbprint in base64url") from error
        if base64.urlsafe_b64encode(kid).rstrip(b"=").decode() != name:
            raise NotFound("key_unknown", "a key is named by its thumbprint in base64url, without padding")
        return Response(self._engine.key(kid), media_type="application/cbor")

    async def checkpoint(self, _: Request) -> Response:
        """GET /checkpoint: the newest signed note."""
        note = await self._blocking(self._engine.checkpoint)
        return Response(note, media_type="text/plain; charset=utf-8", headers={"cache-control": SHORT})

    async def tile(self, request: Request) -> Response:
        """GET /tile/...: hashes, or entries."""
        wanted = tiles.Tile.from_path(f"tile/{request.path_params['path']}")
        job = self._engine.tile if wanted.level is not None else self._engine.entries
        body = await self._blocking(lambda: job(wanted))
        return Response(body, media_type="application/octet-stream", headers={"cache-control": IMMUTABLE})

    async def openapi(self, _: Request) -> Response:
        """GET /openapi.json: this interface."""
        return Response(self._openapi, media_type="application/json", headers={"cache-control": SHORT})

    def timed(
        self, route: str, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """`handler` with its duration observed and its errors as problem details."""

        async def answer(request: Request) -> Response:
            with self._metrics.request_seconds.labels(route).time():
                try:
                    return await handler(request)
                except ClientDisconnect:
                    return Response(status_code=400)
                except VigilError as error:
                    status = 404 if error.code == "tile_path" else _status(error)
                    return problem(status, error.code, error.detail)

        return answer


async def _body(request: Request) -> bytes:
    """The whole body, or just enough of one that is too long. Raises TimeoutError."""
    body = bytearray()
    async with asyncio.timeout(BODY_WITHIN_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > statement.SIZE_MAX:
                break
    return bytes(body)


async def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer = problem(status, f"http_{status}", SENTENCES.get(status, "this ledger failed to answer"))
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def app(engine: Engine, metrics: Metrics) -> Starlette:
    """The public interface of a log."""
    face = Face(engine, metrics)
    routes = [
        ("/entries", "register", face.register, ["POST"]),
        ("/entries/{entry_id}", "entry", face.entry, ["GET"]),
        ("/.well-known/scitt-keys", "keys", face.keys, ["GET"]),
        ("/.well-known/scitt-keys/{kid}", "key", face.key, ["GET"]),
        ("/checkpoint", "checkpoint", face.checkpoint, ["GET"]),
        ("/tile/{path:path}", "tile", face.tile, ["GET"]),
        ("/openapi.json", "openapi", face.openapi, ["GET"]),
    ]
    found = Starlette(
        routes=[Route(path, face.timed(name, handler), methods=methods) for path, name, handler, methods in routes],
        exception_handlers={HTTPException: _http_problem, Exception: _http_problem},
    )
    found.router.redirect_slashes = False  # every resource has one address
    return found


def metrics_app(engine: Engine, metrics: Metrics) -> Starlette:
    """/metrics and /healthz, on a port of their own."""

    async def exposition(_: Request) -> Response:
        metrics.tree_size.set(engine.size)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        facts = {"ok": engine.healthy, "tree_size": engine.size, "origin": engine.origin}
        return JSONResponse(facts, status_code=200 if engine.healthy else 503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz)])
