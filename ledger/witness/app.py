"""A witness's face: tlog-witness for logs, the newest cosigned checkpoints for everyone. Source: C2SP tlog-witness."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ledger.witness.judging import STATUS
from ledger.witness.metrics import Metrics
from ledger.witness.rationing import Ration
from ledger.witness.witness import Answer, Witness
from protocol import witnessing
from protocol.errors import NotFound

BODY_WITHIN_S = 10  # a request that is not all there by then is not waited for
WAITING_MAX = 64  # requests that wait for the one thread; who comes beyond is asked to come back
BURST_S = 4  # the ration of all saves up what it would get in this time
SHORT = "public, max-age=1"

_T = TypeVar("_T")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Face:
    """The routes' common state. rate_per_s: requests of everybody together, right or wrong."""

    def __init__(
        self, witness: Witness, metrics: Metrics, *, rate_per_s: float, monotonic_s: Callable[[], float]
    ) -> None:
        self._witness, self._metrics, self._monotonic_s = witness, metrics, monotonic_s
        self._ration = Ration(rate_per_s=rate_per_s, burst=max(1.0, rate_per_s * BURST_S))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vigil-witness")
        self._waiting = 0

    async def add(self, request: Request) -> Response:
        """POST /add-checkpoint: cosignatures, or why there are none."""
        wait_s = self._ration.take(self._monotonic_s())
        if wait_s or self._waiting >= WAITING_MAX:
            return self._said(Answer(code="too_many", retry_after_s=max(1, int(wait_s) + 1)))
        try:
            body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return self._said(Answer(code="request_bad"))
        return self._said(await self._blocking(lambda: self._witness.add(body)))

    async def newest(self, request: Request) -> Response:
        """GET /{hex SHA-256 of an origin}/checkpoint: the newest checkpoint of that log that was cosigned here."""
        digest = request.path_params["digest"]
        if not _DIGEST.fullmatch(digest):
            return PlainTextResponse("log_unknown\n", status_code=404)
        path = f"{digest}/checkpoint"
        try:
            if self._waiting >= WAITING_MAX:
                return PlainTextResponse("too_many\n", status_code=429, headers={"retry-after": "1"})
            note = await self._blocking(lambda: self._witness.newest(path))
        except NotFound:
            return PlainTextResponse("log_unknown\n", status_code=404)
        except sqlite3.Error:
            return PlainTextResponse("storage_failed\n", status_code=503, headers={"retry-after": "1"})
        return PlainTextResponse(note, headers={"cache-control": SHORT})

    async def _blocking(self, job: Callable[[], _T]) -> _T:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        finally:
            self._waiting -= 1

    def _said(self, answer: Answer) -> Response:
        self._metrics.judged(answer.code)
        status = STATUS[answer.code]
        if status == 409:
            return Response(answer.body, status_code=status, headers={"content-type": witnessing.SIZE_TYPE})
        headers = {"retry-after": str(max(1, answer.retry_after_s))} if status in (429, 503) else None
        return PlainTextResponse(answer.body or f"{answer.code}\n", status_code=status, headers=headers)


async def _body(request: Request) -> bytes:
    """The whole body, or just enough of one that is too long. Raises TimeoutError."""
    body = bytearray()
    async with asyncio.timeout(BODY_WITHIN_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > witnessing.BODY_SIZE_MAX:
                break
    return bytes(body)


def app(witness: Witness, metrics: Metrics, *, rate_per_s: float, monotonic_s: Callable[[], float]) -> Starlette:
    """The public interface of a witness; submission and monitoring share one prefix."""
    face = Face(witness, metrics, rate_per_s=rate_per_s, monotonic_s=monotonic_s)
    found = Starlette(
        routes=[
            Route(f"/{witnessing.PATH}", face.add, methods=["POST"]),
            Route("/{digest}/checkpoint", face.newest, methods=["GET"]),
        ]
    )
    found.router.redirect_slashes = False  # every resource has one address
    return found


def metrics_app(witness: Witness, metrics: Metrics) -> Starlette:
    """/metrics and /healthz, on a port of their own."""

    async def exposition(_: Request) -> Response:
        metrics.kept(await asyncio.to_thread(witness.counts))
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        facts = {"ok": witness.healthy, "name": witness.key.name}
        return JSONResponse(facts, status_code=200 if witness.healthy else 503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz)])
