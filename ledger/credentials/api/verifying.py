"""What callers of a verifier ask: a question for a holder, and a verdict over what was shown. Signed requests (RFC 9421)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ledger.credentials import judging
from ledger.credentials.vc import jcs
from ledger.credentials.verifying import Verifier
from ledger.party import api
from ledger.party.node import Node
from protocol import base64text
from protocol.errors import Malformed, NotFound


class Verifying:
    """The routes. verifier: None while the party has no ledger to judge by."""

    def __init__(self, node: Node, verifier: Verifier | None) -> None:
        self._node, self._verifier = node, verifier

    def routes(self) -> list[BaseRoute]:
        """Under the use case."""
        return [self._route("/questions", self._question), self._route("/verify", self._verify)]

    async def _question(self, body: Mapping[str, Any]) -> Response:
        """POST /questions: what a holder signs over, good once and for five minutes."""
        if body:
            raise Malformed("body_bad", "send an empty object, or nothing")
        asked = await asyncio.to_thread(self._its.request)
        return JSONResponse(
            {"nonce": asked.nonce, "audience": asked.audience, "until_ms": asked.until_ms}, status_code=201
        )

    async def _verify(self, body: Mapping[str, Any]) -> Response:
        """POST /verify {shown, nonce? | at_ms?}: shown is base64; nonce is of a question that was asked here."""
        if not {"shown"} <= body.keys() <= {"shown", "nonce", "at_ms"} or len(body) > 2:
            raise Malformed("body_bad", "send shown, and either the nonce of a question or at_ms")
        if not isinstance(body["shown"], str):
            raise Malformed("body_bad", "shown is base64")
        raw = base64text.decode(body["shown"], code="body_bad")
        if "nonce" in body:
            if not isinstance(body["nonce"], str):
                raise Malformed("body_bad", "nonce is a text")
            answer = await asyncio.to_thread(self._its.answered, raw, nonce=body["nonce"])
        else:
            answer = await asyncio.to_thread(self._its.check, raw, at_ms=_time(body.get("at_ms")))
        return JSONResponse(judging.described(answer), headers={"cache-control": "no-store"})

    @property
    def _its(self) -> Verifier:
        if self._verifier is None:
            raise NotFound("verifier_missing", "this party has no ledger to judge by: set ledger_url and trust")
        return self._verifier

    def _route(self, path: str, handler: Callable[[Mapping[str, Any]], Awaitable[Response]]) -> Route:
        """A route for who is known here: writers, peers, and parties that the ledger beside has admitted."""

        async def answer(request: Request) -> Response:
            content = await api.body(request)
            await self._node.caller(request.scope, content)
            return await handler(jcs.parse(content, size_max=api.BODY_MAX) if content else {})

        return Route(path, answer, methods=["POST"])


def _time(found: object) -> int | None:
    if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found < 0):
        raise Malformed("body_bad", "at_ms is Unix milliseconds")
    return found
