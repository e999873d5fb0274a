"""A party's own addresses: who it is, statements that its writers queue, and what it says to a caller that it knows.

Whatever makes the party sign something, or says what it has signed, asks for a signed request (RFC 9421), on loopback too:
any other user or page of the same machine reaches loopback.
"""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ledger import signing
from ledger.party.metrics import Metrics
from ledger.party.node import Node
from ledger.party.store import Row
from protocol.errors import Malformed, NotFound, ProtocolError, Unavailable, VigilError

PROBLEM_TYPE = "application/problem+json"
BODY_MAX = 1_048_576  # bytes of a document; a longer one is refused, read no further than this
BODY_WITHIN_S = 10  # a document that is not all there by then is not waited for
RETRY_AFTER_S = 5
RESERVED = "application/vigil-"
"""What content types begin with that a log itself judges, keys among them: who may write here may not hand the party over."""
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
SENTENCES = {404: "there is nothing under this address", 405: "this address does not take that method"}

_OPENAPI = Path(__file__).with_name("openapi.json")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MARKS = {"true": True, "false": False}


class NotAllowed(ProtocolError):
    """The caller is known, and may not do this."""


class TooLarge(ProtocolError):
    """More than is read."""


class TooSlow(ProtocolError):
    """Not all there in time."""


def problem(status: int, code: str, detail: str) -> Response:
    """Problem details with a stable `code`. Source: RFC 9457."""
    body = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
    }
    headers = {}
    if status == 401:
        headers = {"www-authenticate": 'Signature realm="vigil"', "accept-signature": signing.ACCEPT}
    if status == 503:
        headers = {"retry-after": str(RETRY_AFTER_S)}
    return Response(json.dumps(body), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def refusal(error: VigilError) -> Response:
    """The answer that an error becomes, for routes of use cases too."""
    return problem(_status(error), error.code, error.detail)


def app(node: Node, metrics: Metrics, others: Sequence[BaseRoute]) -> Starlette:
    """The party's interface. others: the routes of its use cases, mounted."""
    face = Face(node)
    own = [
        ("/.well-known/vigil-party", face.about, ["GET"]),
        ("/whoami", face.whoami, ["GET"]),
        ("/statements", face.queue, ["POST"]),
        ("/statements/{digest}", face.statement, ["GET"]),
        ("/openapi.json", face.openapi, ["GET"]),
    ]
    routes: list[BaseRoute] = [Route(path, handler, methods=methods) for path, handler, methods in own]
    found = Starlette(
        routes=[*routes, *others],
        exception_handlers={
            HTTPException: _http_problem,
            VigilError: _refused(metrics),
            ClientDisconnect: _gone,
            Exception: _http_problem,
        },
    )
    found.router.redirect_slashes = False  # every resource has one address
    return found


class Face:
    """The routes of a party itself."""

    def __init__(self, node: Node) -> None:
        self._node, self._openapi = node, _OPENAPI.read_bytes()

    async def about(self, _: Request) -> Response:
        """GET /.well-known/vigil-party: its name and its key, for those who write them into their settings."""
        key = self._node.public
        facts = {
            "v": 1,
            "name": self._node.name,
            "key": key.x.hex(),
            "thumbprint": key.thumbprint.hex(),
            "urn": key.urn,
        }
        return JSONResponse(facts, headers={"cache-control": "no-cache"})

    async def whoami(self, request: Request) -> Response:
        """GET /whoami: who the caller is here."""
        caller = await self._node.caller(request.scope, await body(request))
        return JSONResponse({"thumbprint": caller.hex(), "writer": self._node.may_write(caller)})

    async def queue(self, request: Request) -> Response:
        """POST /statements?sub=...&hashed=true: sign a statement about the body, and let it wait for the log."""
        document = await body(request)
        await self._check_writer(request, document)
        sub, hashed = _asked(request.query_params.multi_items())
        media = request.headers.get("content-type", "")
        if media.lower().startswith(RESERVED):
            raise NotAllowed("type_reserved", "statements that change keys or rules of a log are not made here")
        digest = await self._node.queue(document, content_type=media, sub=sub, hashed=hashed)
        where = {"location": f"/statements/{digest.hex()}"}
        return JSONResponse(shown(await self._node.find(digest)), status_code=202, headers=where)

    async def statement(self, request: Request) -> Response:
        """GET /statements/{digest}: where it stands, with its receipt once a log holds it."""
        await self._check_writer(request, await body(request))
        name = request.path_params["digest"]
        if not _DIGEST.fullmatch(name):
            raise NotFound("statement_unknown", "a statement is named by its SHA-256, 64 hex digits")
        return JSONResponse(shown(await self._node.find(bytes.fromhex(name))))

    async def openapi(self, _: Request) -> Response:
        """GET /openapi.json: this interface."""
        return Response(self._openapi, media_type="application/json", headers={"cache-control": "no-cache"})

    async def _check_writer(self, request: Request, content: bytes) -> None:
        if not self._node.may_write(await self._node.caller(request.scope, content)):
            raise NotAllowed("caller_not_allowed", "this key may call, and may not have statements signed here")


async def body(request: Request) -> bytes:
    """The whole body of a request that brings a signature; of others nothing is read.

    Raises NotSigned: signature_missing; TooLarge: body_size; TooSlow: body_slow.
    """
    if "signature" not in request.headers:
        raise signing.NotSigned("signature_missing", "send a signed request (RFC 9421)")
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                found += chunk
                if len(found) > BODY_MAX:
                    raise TooLarge("body_size", f"a body has at most {BODY_MAX} bytes")
    except TimeoutError as error:
        raise TooSlow("body_slow", f"a body is sent within {BODY_WITHIN_S} seconds") from error
    return bytes(found)


def _asked(given: Sequence[tuple[str, str]]) -> tuple[str, bool]:
    """(subject, whether only the hash is registered) of a query."""
    found: Mapping[str, str] = dict(given)
    if len(found) != len(given) or not {"sub"} <= found.keys() <= {"sub", "hashed"}:
        raise Malformed("query_bad", "ask with sub=..., and with hashed=true to register the hash alone")
    hashed = _MARKS.get(found.get("hashed", "false"))
    if hashed is None:
        raise Malformed("query_bad", "hashed is true or false")
    return found["sub"], hashed


def shown(row: Row) -> dict[str, object]:
    """Where a statement stands, as JSON says it."""
    found: dict[str, object] = {"digest": row.digest.hex(), "state": row.state, "made_ms": row.made_ms}
    if row.receipt is not None:
        receipt = base64.b64encode(row.receipt).decode()
        found |= {"entry_id": row.entry_id, "index": row.index, "size": row.size, "receipt": receipt}
    if row.refused is not None:
        found["refused"] = row.refused
    return found


def _status(error: VigilError) -> int:
    match error:
        case signing.NotSigned():
            return 401
        case NotAllowed():
            return 403
        case NotFound():
            return 404
        case TooSlow():
            return 408
        case TooLarge():
            return 413
        case Unavailable():
            return 503
    return 400


def _refused(metrics: Metrics) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_: Request, error: Exception) -> Response:
        if not isinstance(error, VigilError):
            raise AssertionError("only our own errors come here")
        metrics.refused(error.code)
        return refusal(error)

    return answer


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # to nobody: the client went away while it sent


async def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer = problem(status, f"http_{status}", SENTENCES.get(status, "this party failed to answer"))
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer
