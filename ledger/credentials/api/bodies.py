"""Bodies of requests that bring no signature, read within bounds."""

import asyncio
from typing import Any

from starlette.requests import Request

from ledger.credentials.vc import jcs
from ledger.party.api import BODY_WITHIN_S, TooLarge, TooSlow
from protocol.errors import Malformed


async def read(request: Request, *, most: int) -> bytes:
    """The whole body. most: bytes. Raises TooLarge: body_size; TooSlow: body_slow."""
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                found += chunk
                if len(found) > most:
                    raise TooLarge("body_size", f"a body has at most {most} bytes")
    except TimeoutError as error:
        raise TooSlow("body_slow", f"a body is sent within {BODY_WITHIN_S} seconds") from error
    return bytes(found)


async def read_object(request: Request, *, most: int = jcs.SIZE_MAX) -> dict[str, Any]:
    """The JSON object in a body. Raises as `read`; Malformed: body_type, json_*."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Malformed("body_type", "send application/json")  # which no form of another site's page can
    return jcs.parse(await read(request, most=most), size_max=most)
