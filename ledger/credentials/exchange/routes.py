"""The addresses that wallets call, of an issuer and of a verifier. No cookie counts here: pages of any origin may call them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ledger.credentials.exchange import oid4vci, oid4vp
from ledger.credentials.exchange.asking import Asking
from ledger.credentials.exchange.offering import Offering
from ledger.credentials.exchange.oid4vci import Refused
from ledger.credentials.exchange.store import Store
from protocol.errors import NotFound, Unavailable, VigilError

BODY_WITHIN_S = 10  # a message that is not all there by then is not waited for
AT_ONCE_MAX = 8  # credentials issued or presentations judged at one time; beyond it callers wait
HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "access-control-allow-origin": "*",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}

SWEEP_S = 60  # between two looks for what has ended

_Answer = Callable[[Request], Awaitable[Response]]


async def sweeping(store: Store, *, now_ms: Callable[[], int]) -> None:
    """Forget what has ended, every minute, until cancelled: what is said of people is not kept until the next one comes by."""
    while True:
        with contextlib.suppress(Unavailable):  # the next look will do
            await asyncio.to_thread(store.forget, now_ms=now_ms())
        await asyncio.sleep(SWEEP_S)


class Exchange:
    """offering, asking: what this party does; None: it does not."""

    def __init__(self, offering: Offering | None, asking: Asking | None) -> None:
        self._offering, self._asking = offering, asking
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    def routes(self) -> list[BaseRoute]:
        """Under the use case."""
        found: list[BaseRoute] = []
        if self._offering is not None:
            found += [
                _route(f"/.well-known/{oid4vci.WELL_KNOWN}", self.metadata, "GET"),
                _route("/openid/offers/{name}", self.offered, "GET"),
                _route("/openid/token", self.token, "POST"),
                _route("/openid/nonce", self.nonce, "POST"),
                _route("/openid/credential", self.credential, "POST"),
                _route("/openid/notification", self.notification, "POST"),
            ]
        if self._asking is not None:
            found += [
                _route("/openid/requests/{name}", self.request, "GET"),
                _route("/openid/requests/{name}/answer", self.answer, "POST"),
            ]
        return found

    def well_known(self, place: str) -> list[BaseRoute]:
        """Under /.well-known of the party. place: of the use case, as /credentials. OpenID4VCI 1.0 §12.2.2, RFC 8414 §3.1."""
        if self._offering is None:
            return []
        return [
            _route(f"/{oid4vci.WELL_KNOWN}{place}", self.metadata, "GET"),
            _route(f"/{oid4vci.AUTHORIZATION}{place}", self.authorization, "GET"),
        ]

    async def metadata(self, _: Request) -> Response:
        """GET: the issuer's metadata."""
        return JSONResponse(self._issuer().metadata())

    async def authorization(self, _: Request) -> Response:
        """GET: the authorization server's metadata."""
        return JSONResponse(self._issuer().authorization_metadata())

    async def offered(self, request: Request) -> Response:
        """GET: an offer by reference."""
        return JSONResponse(await asyncio.to_thread(self._issuer().offered, request.path_params["name"]))

    async def token(self, request: Request) -> Response:
        """POST, a form: a code becomes a token."""
        form = await _form(request, oid4vci.REQUEST_MAX)
        return JSONResponse(await asyncio.to_thread(self._issuer().token, form))

    async def nonce(self, _: Request) -> Response:
        """POST: a nonce for one proof."""
        return JSONResponse({"c_nonce": self._issuer().nonce()})

    async def credential(self, request: Request) -> Response:
        """POST, JSON, with a token: the credential."""
        token, body = _bearer(request), await _body(request, oid4vci.REQUEST_MAX)
        async with self._room:
            return JSONResponse(await asyncio.to_thread(self._issuer().credential, token, body))

    async def notification(self, request: Request) -> Response:
        """POST, JSON, with a token: what became of the credential."""
        token, body = _bearer(request), await _body(request, oid4vci.REQUEST_MAX)
        await asyncio.to_thread(self._issuer().notify, token, body)
        return Response(status_code=204)

    async def request(self, request: Request) -> Response:
        """GET: a request for a presentation by reference."""
        found = await asyncio.to_thread(self._verifier().request, request.path_params["name"])
        return Response(found, media_type=oid4vp.REQUEST_MEDIA)

    async def answer(self, request: Request) -> Response:
        """POST, a form: a wallet's answer."""
        form = await _form(request, oid4vp.ANSWER_MAX)
        async with self._room:
            return JSONResponse(await asyncio.to_thread(self._verifier().answer, request.path_params["name"], form))

    def _issuer(self) -> Offering:
        assert self._offering is not None
        return self._offering

    def _verifier(self) -> Asking:
        assert self._asking is not None
        return self._asking


def _route(path: str, handler: _Answer, method: str) -> Route:
    async def answer(request: Request) -> Response:
        if request.method == "OPTIONS":
            found: Response = Response(status_code=204, headers=_PREFLIGHT)
        else:
            try:
                found = await handler(request)
            except VigilError as error:
                found = _refusal(error)
        found.headers.update(HEADERS)
        return found

    return Route(path, answer, methods=[method, "OPTIONS"])


def _refusal(error: VigilError) -> Response:
    """An error in the standard's form: a code of its own, and a sentence. RFC 6749 §5.2."""
    code, status = "invalid_request", 400
    headers: dict[str, str] = {}
    if isinstance(error, Refused):
        code, status = error.code, error.status
        if status == 401:
            headers["www-authenticate"] = f'Bearer error="{code}"'
    elif isinstance(error, NotFound):
        status = 404
    elif isinstance(error, Unavailable):
        code, status = "temporarily_unavailable", 503
        headers["retry-after"] = "5"
    return JSONResponse({"error": code, "error_description": error.detail}, status_code=status, headers=headers)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > 128:
        raise Refused("invalid_token", "send the token as a Bearer", status=401)
    return token


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise Refused("invalid_request", f"at most {most} bytes", status=413)
    except TimeoutError as error:
        raise Refused("invalid_request", f"a message is sent within {BODY_WITHIN_S} seconds", status=408) from error
    return bytes(body)


async def _form(request: Request, most: int) -> dict[str, str]:
    """Each name once. RFC 6749 §3.2."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused("invalid_request", "this address takes a form")
    try:
        pairs = parse_qsl(
            (await _body(request, most)).decode("ascii"), keep_blank_values=True, max_num_fields=16, errors="strict"
        )
    except ValueError as error:
        raise Refused("invalid_request", "not a form") from error
    if len(dict(pairs)) != len(pairs):
        raise Refused("invalid_request", "a parameter stands once")
    return dict(pairs)
