"""The addresses of hiring, for the institution's own programs alone: requests that a writer of the party signed (RFC 9421)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ledger.credentials.api import bodies
from ledger.credentials.hiring import described, exclusions, life
from ledger.credentials.hiring.collecting import Collecting
from ledger.credentials.hiring.collecting import described as request_described
from ledger.credentials.hiring.posts import Post, usual
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.hiring.store import Row, Store
from ledger.credentials.model import is_jurisdiction
from ledger.credentials.vc import jcs
from ledger.credentials.verifying import Verifier
from ledger.party import api
from ledger.party.node import Node
from ledger.questions import MayAct
from protocol import base64text
from protocol.errors import Malformed, NotFound

ROWS_MAX = 1000  # files in one list; the newest ones
DID_MAX = 512  # characters of a holder's DID
STEPS = ("verify", "hire", "renew")  # which answer with what they found
MOVES = ("suspend", "reinstate", "end", "refuse", "erase")
NEVER = {"cache-control": "no-store"}

Handler = Callable[[Request, bytes, str], Awaitable[Response]]


class HiringRoutes:
    """collecting: None when this party asks no wallets; name: of the institution, as others know it."""

    def __init__(
        self,
        node: Node,
        hiring: Hiring,
        store: Store,
        verifier: Verifier,
        collecting: Collecting | None,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._node, self._hiring, self._store, self._verifier = node, hiring, store, verifier
        self._collecting, self._now_ms = collecting, now_ms
        self._lists = asyncio.Semaphore(1)  # one exclusion list in memory at a time

    def routes(self) -> list[BaseRoute]:
        """Under the use case."""
        file = "/hiring/files/{id}"
        return [
            self._route("/hiring/posts", self._posts, "GET"),
            self._route("/hiring/files", self._files, "GET"),
            self._route("/hiring/files", self._open, "POST"),
            self._route(file, self._one, "GET"),
            self._route(f"{file}/fhir", self._fhir, "GET"),
            self._route(f"{file}/requests", self._ask, "POST"),
            self._route(f"{file}/credentials", self._receive, "POST"),
            self._route(f"{file}/credentials/{{name}}", self._remove, "DELETE"),
            self._route(f"{file}/permits/{{capability}}/{{event}}", self._permit, "POST"),
            self._route(f"{file}/matches/{{name}}", self._decide, "POST"),
            self._route(f"{file}/{{event}}", self._step, "POST"),
            self._route("/hiring/alerts", self._alerts, "GET"),
            self._route("/hiring/round", self._round, "POST"),
            self._route("/hiring/may", self._may, "POST"),
            self._route("/hiring/exclusions/{name}", self._exclude, "PUT", most=exclusions.SIZE_MAX),
        ]

    async def _posts(self, request: Request, _: bytes, __: str) -> Response:
        """GET /hiring/posts?place=US-CA: the usual posts."""
        place = request.query_params.get("place", "*")
        if not is_jurisdiction(place):
            raise Malformed("query_bad", "place is a jurisdiction, as US-CA")
        return JSONResponse({"posts": [each.to_json() for each in usual(place).values()]})

    async def _files(self, request: Request, _: bytes, __: str) -> Response:
        """GET /hiring/files?state=hired: those that are not erased."""
        wanted = request.query_params.getlist("state") or list(dict.fromkeys(state for state, _ in life.TABLE))
        wanted = wanted if request.query_params.getlist("state") else [*wanted, *life.OVER]

        def read() -> list[Row]:
            return [self._store.row(each) for each in self._store.ids(wanted)[-ROWS_MAX:]]

        rows = await asyncio.to_thread(read)
        return JSONResponse({"files": [described.line(row) for row in reversed(rows)]}, headers=NEVER)

    async def _open(self, _: Request, content: bytes, by: str) -> Response:
        """POST /hiring/files {person, post | usual: name, place}"""
        body = _object(content, {"person"}, {"post", "usual", "place"})
        person, post = described.person(body["person"]), _post(body)
        name = await asyncio.to_thread(self._hiring.open, post, person, by=by)
        return JSONResponse({"id": name.hex()}, status_code=201, headers=NEVER)

    async def _one(self, request: Request, _: bytes, __: str) -> Response:
        """GET /hiring/files/{id}"""
        return JSONResponse(await asyncio.to_thread(self._whole, _name(request, "id", 16)), headers=NEVER)

    async def _fhir(self, request: Request, _: bytes, __: str) -> Response:
        """GET /hiring/files/{id}/fhir: as a FHIR R4 Bundle."""
        name, validator = _name(request, "id", 16), self._node.name or self._node.public.urn

        def read() -> dict[str, Any]:
            row = self._hiring.row(name)
            return described.bundle(row, self._store.raws(name), validator=validator, now_ms=self._now_ms())

        found = await asyncio.to_thread(read)
        return JSONResponse(found, headers=NEVER, media_type="application/fhir+json")

    async def _ask(self, request: Request, content: bytes, _: str) -> Response:
        """POST /hiring/files/{id}/requests {needs?}: ask a wallet for what is missing, or for some of it."""
        needs = _object(content, set(), {"needs"}).get("needs", [])
        if not isinstance(needs, list) or not all(isinstance(each, str) for each in needs):
            raise Malformed("body_bad", "needs are names")
        if self._collecting is None:
            raise NotFound("verifier_missing", "this party asks no wallets: set ledger_url and trust")
        made = await asyncio.to_thread(self._collecting.ask, _name(request, "id", 16), needs)
        return JSONResponse(request_described(made), status_code=201, headers=NEVER)

    async def _receive(self, request: Request, content: bytes, by: str) -> Response:
        """POST /hiring/files/{id}/credentials {shown, nonce}: base64 of a presentation, for a question of POST /questions."""
        body = _object(content, {"shown", "nonce"}, set())
        raw, nonce = base64text.decode(_text(body, "shown"), code="body_bad"), _text(body, "nonce")
        name = _name(request, "id", 16)

        def take() -> list[dict[str, str]]:
            self._hiring.row(name)  # before the question is spent
            answer = self._verifier.answered(raw, nonce=nonce)
            return [{"type": each.type, "code": each.code} for each in self._hiring.receive(name, answer, by=by)]

        taken = await asyncio.to_thread(take)
        found = await asyncio.to_thread(self._whole, name)
        return JSONResponse({"taken": taken, "file": found}, headers=NEVER)

    async def _remove(self, request: Request, _: bytes, by: str) -> Response:
        """DELETE /hiring/files/{id}/credentials/{name}"""
        name = _name(request, "id", 16)
        await asyncio.to_thread(self._hiring.remove, name, _name(request, "name", 32), by=by)
        return JSONResponse(await asyncio.to_thread(self._whole, name), headers=NEVER)

    async def _step(self, request: Request, content: bytes, by: str) -> Response:
        """POST /hiring/files/{id}/{event}: verify, hire, renew, suspend, reinstate, end, refuse, erase."""
        _object(content, set(), set())
        name, event = _name(request, "id", 16), request.path_params["event"]
        if event not in (*STEPS, *MOVES):
            raise NotFound("event_unknown", f"a file is taken through {', '.join((*STEPS, *MOVES))}")
        done = await asyncio.to_thread(getattr(self._hiring, event), name, by=by)
        found = await asyncio.to_thread(self._whole, name)
        against = described.review(done)["causes"] if event in STEPS else []
        return JSONResponse({"done": not against, "against": against, "file": found}, headers=NEVER)

    async def _permit(self, request: Request, content: bytes, by: str) -> Response:
        """POST /hiring/files/{id}/permits/{capability}/{event}: withdraw, grant."""
        _object(content, set(), set())
        name, asked = _name(request, "id", 16), request.path_params
        await asyncio.to_thread(self._hiring.permit, name, asked["capability"], asked["event"], by=by)
        return JSONResponse(await asyncio.to_thread(self._whole, name), headers=NEVER)

    async def _decide(self, request: Request, content: bytes, by: str) -> Response:
        """POST /hiring/files/{id}/matches/{name} {same}: whether somebody on a list is this person."""
        same = _object(content, {"same"}, set())["same"]
        if not isinstance(same, bool):
            raise Malformed("body_bad", "same is true or false")
        name = _name(request, "id", 16)
        await asyncio.to_thread(self._hiring.decide, name, _name(request, "name", 32), same=same, by=by)
        return JSONResponse(await asyncio.to_thread(self._whole, name), headers=NEVER)

    async def _alerts(self, request: Request, _: bytes, __: str) -> Response:
        """GET /hiring/alerts?standing=true"""
        standing = request.query_params.get("standing") == "true"
        found = await asyncio.to_thread(self._hiring.alerts, standing=standing)
        return JSONResponse({"alerts": [described.alert(each) for each in found]}, headers=NEVER)

    async def _round(self, _: Request, content: bytes, __: str) -> Response:
        """POST /hiring/round: look at everybody now."""
        _object(content, set(), set())
        return JSONResponse(asdict(await asyncio.to_thread(self._hiring.round)), headers=NEVER)

    async def _may(self, _: Request, content: bytes, __: str) -> Response:
        """POST /hiring/may {holder, capability}"""
        body = _object(content, {"holder", "capability"}, set())
        holder, capability = _text(body, "holder"), _text(body, "capability")
        if len(holder) > DID_MAX:
            raise Malformed("body_bad", f"a holder is a DID of at most {DID_MAX} characters")
        found = await asyncio.to_thread(self._hiring.may, MayAct(holder=holder, capability=capability))
        return JSONResponse(asdict(found), headers=NEVER)

    async def _exclude(self, request: Request, content: bytes, _: str) -> Response:
        """PUT /hiring/exclusions/{name}: text/csv."""
        name = request.path_params["name"]
        if not 0 < len(name) <= described.TEXT_MAX or not name.isprintable():
            raise Malformed("name_bad", "a list has a short name")
        return JSONResponse({"count": await asyncio.to_thread(self._hiring.take_list, name, content)})

    def _whole(self, name: bytes) -> dict[str, Any]:
        row, seen = self._hiring.row(name), self._hiring.review(name)
        return described.whole(row, seen, self._store.permits(name), self._store.history(name), now_ms=self._now_ms())

    def _route(self, path: str, handler: Handler, method: str, *, most: int = api.BODY_MAX) -> Route:
        """A route for writers alone. by: whose key it was."""

        async def answer(request: Request) -> Response:
            async with self._lists if most > api.BODY_MAX else contextlib.nullcontext():
                content = await bodies.read(request, most=most)
                caller = await self._node.caller(request.scope, content)
                if not self._node.may_write(caller):
                    raise api.NotAllowed("caller_not_allowed", "this key may not see or change hiring files here")
                return await handler(request, content, caller.hex())

        return Route(path, answer, methods=[method])


def _post(body: Mapping[str, Any]) -> Post:
    if isinstance(body.get("post"), Mapping):
        return Post.read(body["post"])
    name, place = _text(body, "usual"), _text(body, "place")
    if not is_jurisdiction(place):
        raise Malformed("body_bad", "place is a jurisdiction, as US-CA")
    posts = usual(place)
    if name not in posts:
        raise Malformed("post_unknown", f"the usual posts are {', '.join(posts)}")
    return posts[name]


def _object(content: bytes, needed: set[str], known: set[str]) -> dict[str, Any]:
    body = jcs.parse(content, size_max=api.BODY_MAX) if content else {}
    if not needed <= body.keys() <= needed | known:
        raise Malformed(
            "body_bad", f"send {', '.join(sorted(needed)) or 'nothing'}, and perhaps {', '.join(sorted(known))}"
        )
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str):
        raise Malformed("body_bad", f"{name} is a text")
    return found


def _name(request: Request, name: str, size: int) -> bytes:
    text = str(request.path_params[name])
    try:
        found = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed("name_bad", f"a name here is {2 * size} hex digits") from error
    if len(found) != size or found.hex() != text:
        raise Malformed("name_bad", f"a name here is {2 * size} hex digits in lower case")
    return found
