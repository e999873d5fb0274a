"""Bodies of requests, read within their bounds: a size, a time, and the media types that are taken."""

import asyncio
from collections.abc import Collection

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from ledger.http.problems import Unwanted

WITHIN_S = 10  # a body that is not all there by then is not waited for


def field(scope: Scope, name: bytes) -> str:
    """The first field of this name (in lower case), empty for none."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value, "latin-1")
    return ""


def check_media(scope: Scope, wanted: Collection[str], sentence: str) -> None:
    """Raises Unwanted: media_type."""
    media = field(scope, b"content-type")
    if media not in wanted and media.partition(";")[0].strip().lower() not in wanted:
        raise Unwanted("media_type", sentence)


async def read(scope: Scope, receive: Receive, *, size_max: int, code: str) -> bytes:
    """The whole body. code: of one that is too long, which is read no further than it takes to see that.

    Raises Unwanted: `code`, body_slow; ClientDisconnect.
    """
    declared = field(scope, b"content-length")
    if declared.isdecimal() and int(declared[:20]) > size_max:
        raise _too_long(code, size_max)
    try:
        async with asyncio.timeout(WITHIN_S):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                body = message.get("body", b"")
                if len(body) > size_max:
                    raise _too_long(code, size_max)
                return bytes(body)
            return await _rest(message, receive, size_max, code)
    except TimeoutError as error:
        raise Unwanted("body_slow", f"a body is sent within {WITHIN_S} seconds") from error


async def _rest(message: Message, receive: Receive, size_max: int, code: str) -> bytes:
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > size_max:
            raise _too_long(code, size_max)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def _too_long(code: str, size_max: int) -> Unwanted:
    return Unwanted(code, f"a body here has at most {size_max} bytes")
