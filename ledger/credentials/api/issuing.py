"""What writers of an issuer ask: issue, take back, bring lists out, change keys. Signed requests (RFC 9421), JSON bodies."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ledger.credentials.issuing.store import Row
from ledger.credentials.office import ID_SIZE, REFRESH, Office
from ledger.credentials.vc import jcs, secured
from ledger.party import api
from ledger.party.node import Node
from protocol.errors import Malformed

MOST = 500  # credentials in one answer
EVENTS = ("suspend", "reinstate", "revoke")

Handler = Callable[[Request, Mapping[str, Any]], Awaitable[Response]]


class Issuing:
    """The routes. office: the issuer; node: who may ask."""

    def __init__(self, node: Node, office: Office) -> None:
        self._node, self._office = node, office

    def routes(self) -> list[BaseRoute]:
        """Under the use case."""
        return [
            self._route("/issued", self._issued, "GET"),
            self._route("/issued", self._issue, "POST"),
            self._route("/issued/{id}", self._one, "GET"),
            self._route("/issued/{id}/refresh", self._refresh, "POST"),
            self._route("/issued/{id}/{event}", self._change, "POST"),
            self._route("/lists", self._publish, "POST"),
            self._route("/keys", self._rotate, "POST"),
            self._route("/keys/stolen", self._stolen, "POST"),
        ]

    async def _issue(self, _: Request, body: Mapping[str, Any]) -> Response:
        """{type, fields, holder, format?, days?}"""
        _check(body, {"type", "fields", "holder"}, {"format", "days"})
        fields = body["fields"]
        if not isinstance(fields, dict) or not all(isinstance(each, str) for each in fields.values()):
            raise Malformed("body_bad", "fields are texts by name")
        made = await asyncio.to_thread(
            self._office.issue,
            _text(body, "type"),
            fields,
            holder=_text(body, "holder"),
            form=_text(body, "format") if "format" in body else secured.DATA_INTEGRITY,
            days=_days(body),
        )
        return await self._shown(await asyncio.to_thread(self._office.find, made.id), status=201)

    async def _issued(self, request: Request, _: Mapping[str, Any]) -> Response:
        asked = request.query_params.get("most", "100")
        if not asked.isdecimal() or not 0 < int(asked[:6]) <= MOST:
            raise Malformed("query_bad", f"most is 1 to {MOST}")
        rows = await asyncio.to_thread(self._office.issued, most=int(asked))
        said = await asyncio.to_thread(lambda: [self._said(row) for row in rows])
        return JSONResponse({"did": self._office.did, "issued": said})

    async def _one(self, request: Request, _: Mapping[str, Any]) -> Response:
        return await self._shown(await asyncio.to_thread(self._office.find, _id(request)))

    async def _change(self, request: Request, body: Mapping[str, Any]) -> Response:
        """{reason}"""
        _check(body, {"reason"}, set())
        event = request.path_params["event"]
        if event not in EVENTS:
            raise Malformed("event_unknown", f"a credential is taken through {', '.join(EVENTS)} or {REFRESH}")
        row = await asyncio.to_thread(self._office.change, _id(request), event, reason=_text(body, "reason"))
        return await self._shown(row)

    async def _refresh(self, request: Request, body: Mapping[str, Any]) -> Response:
        """{days?}"""
        _check(body, set(), {"days"})
        made = await asyncio.to_thread(self._office.refresh, _id(request), days=_days(body))
        return await self._shown(await asyncio.to_thread(self._office.find, made.id), status=201)

    async def _publish(self, _: Request, body: Mapping[str, Any]) -> Response:
        """{again?}: whether lists come out that nothing has changed in."""
        _check(body, set(), {"again"})
        again = body.get("again", False)
        if not isinstance(again, bool):
            raise Malformed("body_bad", "again is true or false")
        return JSONResponse({"published": await asyncio.to_thread(self._office.publish, again=again)})

    async def _rotate(self, _: Request, body: Mapping[str, Any]) -> Response:
        _check(body, set(), set())
        return JSONResponse({"method": await asyncio.to_thread(self._office.rotate)}, status_code=201)

    async def _stolen(self, _: Request, body: Mapping[str, Any]) -> Response:
        """{since: [epoch, index], key?}: key is a thumbprint, the newest key's when it is left out."""
        _check(body, {"since"}, {"key"})
        match body["since"]:
            case [int(epoch), int(index)] if epoch >= 0 and index >= 0:
                since = (epoch, index)
            case _:
                raise Malformed("body_bad", "since is [epoch, index] of an entry of the log")
        key = _hex(_text(body, "key"), 32) if "key" in body else None
        return JSONResponse({"method": await asyncio.to_thread(self._office.stolen, since=since, key=key)})

    def _said(self, row: Row) -> dict[str, object]:
        return {
            "id": row.id.hex(),
            "type": row.type,
            "format": row.format,
            "state": self._office.state(row),
            "made_ms": row.made_ms,
            "until_ms": row.until_ms,
            "ledger": self._office.standing(row),
        }

    async def _shown(self, row: Row, *, status: int = 200) -> Response:
        found = {**await asyncio.to_thread(self._said, row), "credential": base64.b64encode(row.raw).decode()}
        return JSONResponse(found, status_code=status, headers={"cache-control": "no-store"})

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        """A route for writers alone."""

        async def answer(request: Request) -> Response:
            content = await api.body(request)
            if not self._node.may_write(await self._node.caller(request.scope, content)):
                raise api.NotAllowed("caller_not_allowed", "this key may not have credentials issued here")
            return await handler(request, jcs.parse(content) if content else {})

        return Route(path, answer, methods=[method])


def _id(request: Request) -> bytes:
    return _hex(request.path_params["id"], ID_SIZE)


def _hex(text: str, size: int) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed("name_bad", f"a name here is {2 * size} hex digits") from error
    if len(found) != size or found.hex() != text:
        raise Malformed("name_bad", f"a name here is {2 * size} hex digits in lower case")
    return found


def _check(body: Mapping[str, Any], needed: set[str], known: set[str]) -> None:
    if not needed <= body.keys() <= needed | known:
        raise Malformed(
            "body_bad", f"send {', '.join(sorted(needed)) or 'an object'}, and perhaps {', '.join(sorted(known))}"
        )


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str):
        raise Malformed("body_bad", f"{name} is a text")
    return found


def _days(body: Mapping[str, Any]) -> int | None:
    found = body.get("days")
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise Malformed("body_bad", "days is a whole number")
    return found
