"""The pairing endpoint: one POST over HTTPS, from devices that have no certificate yet; both prove to know the code."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admission import Bucket
from gateway.pairing import Desk
from protocol import pairing
from protocol.errors import Malformed, ProtocolError, Unavailable

if TYPE_CHECKING:
    from gateway.service import Gateway

TRIES_PER_S, TRIES_BURST = 2.0, 20.0  # of one caller: people pair one device at a time, a script a few
ALL_PER_S, ALL_BURST = 5.0, 50.0  # of all: 3,000 guesses while a code is good, and it has 2^128 possible secrets
ADDRESSES_MAX = 1024  # callers that are remembered; beyond it the one that was new the longest ago is forgotten
BODY_WITHIN_S = 5.0  # a request that is not all there by then is not waited for


class Tries:
    """How many requests are looked at: a flood by one caller does not keep another out, and all of them cost little."""

    def __init__(self) -> None:
        self._all = Bucket(rate_per_s=ALL_PER_S, burst=ALL_BURST)
        self._callers: dict[str, Bucket] = {}

    def take(self, address: str, now_ms: int) -> bool:
        """Whether the caller at `address` may try now."""
        if address not in self._callers and len(self._callers) >= ADDRESSES_MAX:
            del self._callers[next(iter(self._callers))]
        own = self._callers.setdefault(address, Bucket(rate_per_s=TRIES_PER_S, burst=TRIES_BURST))
        return own.take(now_ms) and self._all.take(now_ms)


def app(gateway: "Gateway", *, settings: Mapping[str, str | int], now_ms: Callable[[], int]) -> Starlette:
    """POST /pair. settings: what devices are told, such as the MQTT address."""
    desk = Desk(keyring=gateway.keyring, writer=gateway.writer, settings=settings)
    tries = Tries()

    async def pair(request: Request) -> Response:
        if not tries.take(request.client.host if request.client else "", now_ms()):
            return _refused(429, "pair_too_many", "too many tries; wait a moment")
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                raw = await _body(request)
        except TimeoutError:
            return _refused(408, "pair_slow", f"a request is sent within {BODY_WITHIN_S:g} seconds")
        except ClientDisconnect:
            return Response(status_code=400)
        if len(raw) > pairing.REQUEST_SIZE_MAX:
            return _refused(413, "pair_size", f"a request has at most {pairing.REQUEST_SIZE_MAX} bytes")
        try:
            paired = await desk.answer(raw, now_ms=now_ms())
        except Malformed as error:
            return _refused(400, error.code, error.detail)
        except ProtocolError as error:
            return _refused(403, error.code, error.detail)
        except Unavailable as error:
            return _refused(503, error.code, "the gateway cannot store the enrolment now")
        if paired.fresh or paired.device not in gateway.directory.members:
            try:
                gateway.reload()
            except sqlite3.Error:
                return _refused(503, "store_failing", "the gateway cannot read the enrolment now")
        return Response(paired.answer, media_type=pairing.CONTENT_TYPE)

    return Starlette(routes=[Route("/pair", pair, methods=["POST"])])


async def _body(request: Request) -> bytes:
    """The whole body, or just enough of one that is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > pairing.REQUEST_SIZE_MAX:
            break
    return bytes(body)


def _refused(status: int, code: str, detail: str) -> Response:
    return JSONResponse({"error": code, "detail": detail}, status_code=status)
