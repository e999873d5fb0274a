"""The pairing endpoint: one POST over HTTPS, from devices that have no certificate yet; both prove to know the code."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admission import Bucket
from gateway.pairing import Desk
from protocol import pairing
from protocol.errors import Malformed, ProtocolError, Unavailable

if TYPE_CHECKING:
    from gateway.service import Gateway

CONNECTIONS_MAX = 32
TRIES_PER_S, TRIES_BURST = 2.0, 20.0  # over all callers: people pair one device at a time


def app(gateway: "Gateway", *, settings: Mapping[str, str | int], now_ms: Callable[[], int]) -> Starlette:
    """POST /pair. settings: what devices are told, such as the MQTT address."""
    desk = Desk(keyring=gateway.keyring, writer=gateway.writer, settings=settings)
    bucket = Bucket(rate_per_s=TRIES_PER_S, burst=TRIES_BURST)

    async def pair(request: Request) -> Response:
        if not bucket.take(now_ms()):
            return _refused(429, "pair_too_many", "too many tries; wait a moment")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > pairing.REQUEST_SIZE_MAX:
                return _refused(413, "pair_size", f"a request has at most {pairing.REQUEST_SIZE_MAX} bytes")
        try:
            paired = await desk.answer(bytes(body), now_ms=now_ms())
        except Malformed as error:
            return _refused(400, error.code, error.detail)
        except ProtocolError as error:
            return _refused(403, error.code, error.detail)
        except Unavailable as error:
            return _refused(503, error.code, "the gateway cannot store the enrolment now")
        if paired.fresh:
            gateway.reload()
        return Response(paired.answer, media_type=pairing.CONTENT_TYPE)

    return Starlette(routes=[Route("/pair", pair, methods=["POST"])])


def _refused(status: int, code: str, detail: str) -> Response:
    return JSONResponse({"error": code, "detail": detail}, status_code=status)
