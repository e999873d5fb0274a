"""Answers that may be kept: a strong tag, 304 for who has them, gzip for who takes it, and how long they hold. RFC 9110, 9111."""

import functools
import gzip
import hashlib

from starlette.requests import Request
from starlette.responses import Response

IMMUTABLE = "public, max-age=31536000, immutable"
SHORT = "public, max-age=1"
NEVER = "no-store"
GZIP_LEVEL = 6
PACKED_MAX = (
    128  # bodies that are remembered with their packed form, at most some 5 MB; then the oldest is packed again
)


def answer(request: Request, body: bytes, *, media: str, cache: str, compress: bool = True) -> Response:
    """200 with `body`, or 304. compress: whether gzip may make it smaller, which no hash lets it do.

    Each form has a tag of its own: a strong tag stands for bytes.
    """
    sent, tag = body, hashlib.sha256(body).hexdigest()[:32]
    headers = {"cache-control": cache}
    if compress:
        headers["vary"] = "accept-encoding"
        packed = _packed(body) if takes_gzip(request) else body
        if len(packed) < len(body):
            sent, tag = packed, f"{tag}-gzip"
            headers["content-encoding"] = "gzip"
    headers["etag"] = f'"{tag}"'
    if has(request, tag):
        headers.pop("content-encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(sent, media_type=media, headers=headers)


@functools.lru_cache(maxsize=PACKED_MAX)
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def takes_gzip(request: Request) -> bool:
    """Whether a client says that it takes gzip; the first word about it counts."""
    for part in ",".join(request.headers.getlist("accept-encoding")).split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip"):
            quality = parameters.strip().lower().removeprefix("q=").strip()
            return not quality or quality.strip("0.") != ""
    return False


def has(request: Request, tag: str) -> bool:
    """Whether a client has the form with this tag already. Source: RFC 9110 §13.1.2."""
    said = ",".join(request.headers.getlist("if-none-match"))
    known = {part.strip().removeprefix("W/") for part in said.split(",")}
    return "*" in known or f'"{tag}"' in known
