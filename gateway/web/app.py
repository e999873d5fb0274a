"""The caregiver page's routes: the page, its stream of events, the acknowledging of alarms, its own files, and a probe."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from html import escape
from itertools import count
from typing import Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from gateway.web import assets
from gateway.web.guard import Guard
from gateway.web.hub import Hub, Subscription
from gateway.web.page import page, shown_alert
from protocol.errors import NotFound, Unavailable, VigilError

HEARTBEAT_EVERY_S = 10.0  # of silence; the page calls the connection lost after some more of it
RETRY_MS = 2_000  # how long a browser waits before it connects again
LOOK_AGAIN_S = (
    5.0  # between looks at the records for devices that a page does not know, such as one that was just paired
)
ALERT_ID_MAX = 128  # characters of an alarm's id in an address; longer is not found
BY = "the caregiver page"  # who acknowledged, until there is a sign-in


class Desk(Protocol):
    """What the page needs of the gateway's records. Errors are `VigilError`s.

    A home: device, name, state, simulated, last_ms. An alert: id, device, kind, priority, technical, state, onset_ms,
    raised_ms, acknowledged_ms, acknowledged_by, simulated, text; optional: cleared_ms, and open, which overrules state.
    """

    async def homes(self) -> list[dict[str, object]]:
        """Every paired device, in the order of the page."""

    async def alerts(self, open_only: bool) -> list[dict[str, object]]:
        """Alerts, the open ones or all that are kept."""

    async def acknowledge(self, alert_id: str, by: str) -> dict[str, object]:
        """Write down that `by` looks after an alert, and return it. Raises NotFound; an acknowledged one stays as it is."""


def wall_ms() -> int:
    """This machine's Unix time."""
    return time.time_ns() // 1_000_000


class Pages:
    """The routes' common state. hub: live values; desk: records; now_ms: the gateway's clock."""

    def __init__(self, hub: Hub, desk: Desk, now_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._desk = desk
        self._now_ms = now_ms
        self._names: dict[str, str] = {}

    async def _read(self) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """Homes and open alerts, as they are shown."""
        homes = await self._desk.homes()
        self._names = {str(home["device"]): str(home.get("name") or home["device"]) for home in homes}
        alerts = [shown_alert(alert, self._names) for alert in await self._desk.alerts(open_only=True)]
        return homes, [alert for alert in alerts if alert["open"]]

    async def index(self, _: Request) -> Response:
        """GET /: the whole page."""
        homes, alerts = await self._read()
        return HTMLResponse(page(homes, alerts, self._hub.snapshot(), self._now_ms()))

    async def acknowledge(self, request: Request) -> Response:
        """POST /alerts/{id}/acknowledge: back to the page for a form, the alert as JSON for a script."""
        alert_id = request.path_params["id"]
        if len(alert_id) > ALERT_ID_MAX:
            raise NotFound("alert_unknown", "no alarm has such an id")
        alert = await self._desk.acknowledge(alert_id, BY)
        if _wants_json(request):
            return JSONResponse(shown_alert(alert, self._names))
        return RedirectResponse("/#alarms", status_code=303)

    async def events(self, request: Request) -> Response:
        """GET /events: a snapshot, then what happens, as server-sent events."""
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._hub.full:
            return PlainTextResponse("Too many pages are open.\n", status_code=503, headers={"retry-after": "10"})
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        yield f"retry: {RETRY_MS}\n\n"
        with self._hub.subscribe() as subscription:
            try:
                async for part in self._parts(subscription):
                    yield part
            except VigilError:
                return  # the records could not be read now; the browser comes back and starts from a snapshot

    async def _parts(self, subscription: Subscription) -> AsyncIterator[str]:
        numbers = count(1)
        yield await self._snapshot(next(numbers))
        known, again_s = frozenset(self._names), 0.0
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_EVERY_S):
                    event = await anext(subscription)
            except TimeoutError:
                yield f": heartbeat\n{framed('heartbeat', next(numbers), {'now_ms': self._now_ms()})}"
                continue
            except StopAsyncIteration:
                return
            new = event.data.get("device", "") not in known and asyncio.get_running_loop().time() >= again_s
            if event.name == "restart" or new:
                yield await self._snapshot(next(numbers))
                known, again_s = frozenset(self._names), asyncio.get_running_loop().time() + LOOK_AGAIN_S
            if event.name == "restart":
                continue
            data = shown_alert(event.data, self._names) if event.name == "alert" else event.data
            yield framed(event.name, next(numbers), {"now_ms": self._now_ms(), **data} | _lost(subscription))

    async def _snapshot(self, number: int) -> str:
        homes, alerts = await self._read()
        data = {"now_ms": self._now_ms(), "homes": homes, "alerts": alerts, "values": self._hub.snapshot()}
        return framed("snapshot", number, data)


def _lost(subscription: Subscription) -> dict[str, object]:
    return {"waves_dropped": subscription.dropped} if subscription.dropped else {}


def framed(name: str, number: int, data: Mapping[str, object]) -> str:
    """One server-sent event. number: its id within the connection. JSON has no bare line end, so it is one line."""
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _wants_json(request: Request) -> bool:
    return request.headers.get("accept", "").split(",")[0].strip() == "application/json"


async def _refused(request: Request, error: Exception) -> Response:
    """What a `VigilError` looks like to a browser: its code and sentence, and the way back."""
    if not isinstance(error, VigilError):
        raise error
    status = 404 if isinstance(error, NotFound) else 503 if isinstance(error, Unavailable) else 409
    if _wants_json(request):
        return JSONResponse({"code": error.code, "detail": error.detail}, status_code=status)
    sentence = escape(error.detail or error.code)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Vigil</title><link rel="stylesheet" '
        f'href="/static/style.css"><main><h1>That did not work</h1><p>{sentence}</p>'
        f'<p><a href="/">Back to the alarms</a></p></main></html>',
        status_code=status,
    )


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def app(hub: Hub, desk: Desk, *, now_ms: Callable[[], int] = wall_ms) -> Starlette:
    """The caregiver page as an ASGI application; it runs in the loop thread that publishes to `hub`."""
    pages = Pages(hub, desk, now_ms)
    own = assets.load()

    async def static(request: Request) -> Response:
        return assets.answer(own, request)

    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/events", pages.events),
            Route("/alerts/{id}/acknowledge", pages.acknowledge, methods=["POST"]),
            Route("/static/{name}", static),
            Route("/healthz", _healthz),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={VigilError: _refused},
    )
