"""What stands before every page: the Host it was asked under, where a change comes from, and the headers of every answer.

There is no sign-in yet, so the page is for this machine only. A web page from elsewhere that is open in the same browser
is the danger that remains: it could name this server by a domain of its own (refused by the Host), send forms to it
(refused by their origin), or put it into a frame (refused by the browser, told by the headers).
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
SAFE_METHODS = frozenset({"GET", "HEAD"})
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def same_origin(headers: Headers, *, scheme: str) -> bool:
    """Whether a request comes from a page of this very server, by what only browsers write.

    `Sec-Fetch-Site` rules where it is sent: under `no-referrer`, a form's `Origin` is "null" even here.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = f"{scheme}://{headers.get('host', '')}".lower()
    if site is not None:
        return site == "same-origin" and (origin is None or origin == "null" or origin.lower() == own)
    return origin is not None and origin.lower() == own


class Guard:
    """ASGI middleware: 421 for a Host that is not loopback, 403 for a change from elsewhere, and `HEADERS` on everything.

    What says nothing about caching is not to be stored.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no WebSocket is spoken here

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._checked(scope)(scope, receive, answer)

    def _checked(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not LOOPBACK_HOST.fullmatch(hosts[0]):
            return PlainTextResponse("This page answers on this machine only.\n", status_code=421)
        if scope["method"] not in SAFE_METHODS and not same_origin(headers, scheme=scope["scheme"]):
            return PlainTextResponse("A change has to come from this page.\n", status_code=403)
        return self._app
