"""Problem details: what a ledger says when it does not do what it was asked. RFC 9290, under the titles that SCRAPI has."""

from collections.abc import Mapping

from starlette.responses import Response

from ledger import signing
from protocol import cbor
from protocol.errors import NotFound, ProtocolError, Unavailable, VigilError

TYPE = "application/concise-problem-details+cbor"
KEY = "tag:vigil.example,2026:problem"  # of our own entry among problem details; RFC 9290 asks for a URI
RETRY_AFTER_S = 1
TITLES: Mapping[int, str] = {
    400: "Rejected",
    401: "Signature Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    410: "Gone",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Error",
    503: "Unavailable",
}
SAID: Mapping[str, str] = {
    "alg_unsupported": "Bad Signature Algorithm",
    "statement_payload": "Payload Missing",
    "key_unknown": "No such key",
    "operation_unknown": "Operation Not Found",
}
UNREADABLE = ("cbor_", "cose_", "batch_shape")  # what codes begin with of what cannot be read as what it should be
STATUSES: Mapping[str, int] = {  # of codes whose class of error says less
    **dict.fromkeys(signing.CODES - {"signatures_too_many"}, 401),
    "statement_not_for_you": 403,
    "tile_path": 404,
    "body_slow": 408,
    **dict.fromkeys(("statement_redacted", "entry_pruned", "size_pruned", "tile_pruned"), 410),
    "statement_size": 413,
    "batch_size": 413,
    "media_type": 415,
    "too_many": 429,
    "signatures_too_many": 429,
}
_LATER = {"retry-after": str(RETRY_AFTER_S)}
MORE: Mapping[int, Mapping[str, str]] = {  # fields that go with a status
    401: {"www-authenticate": "Signature", "accept-signature": signing.ACCEPT},
    408: {"connection": "close"},  # who drips a body does not keep the connection for it
    429: _LATER,
    503: _LATER,
}
JUDGED = 400  # about a statement: it will be refused again, whatever the code


class Unwanted(ProtocolError):
    """A request that is refused for its form, before anybody looks at what is in it. code: in STATUSES."""


def status_of(error: VigilError) -> int:
    """The status that goes with an error about a request."""
    if isinstance(error, NotFound):
        return STATUSES.get(error.code, 404)
    return STATUSES.get(error.code, 503 if isinstance(error, Unavailable) else JUDGED)


def verdict_of(error: VigilError) -> int:
    """The status of a statement that was not registered, whose own signature is among the reasons."""
    return status_of(error) if isinstance(error, Unavailable | Unwanted) else JUDGED


def facts(status: int, code: str, detail: str) -> dict[object, object]:
    """The map of concise problem details, with a stable `code`."""
    return {-1: title(status, code), -2: detail, KEY: {"code": code}}


def title(status: int, code: str) -> str:
    """What a problem is called."""
    if code.startswith(UNREADABLE):
        return "Malformed request"
    return SAID.get(code) or TITLES.get(status, "Error")


def headers_of(status: int) -> dict[str, str]:
    """The fields that go with a status."""
    return {"cache-control": "no-store", **MORE.get(status, {})}  # what is not there today may be there tomorrow


def problem(status: int, code: str, detail: str) -> Response:
    """A problem as an answer."""
    body = cbor.encode(facts(status, code, detail))
    return Response(body, status_code=status, media_type=TYPE, headers=headers_of(status))
