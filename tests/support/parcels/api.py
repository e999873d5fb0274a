"""The party's routes: take a step with a parcel, and ask where one is."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ledger.party import api
from ledger.party.node import Node
from protocol.errors import Malformed
from tests.support.parcels.model import STEP, Step, subject
from tests.support.parcels.store import Parcels


def routes(node: Node, parcels: Parcels) -> list[Route]:
    """POST /parcels/steps by a writer; GET /parcels/{number}."""

    async def take(request: Request) -> JSONResponse:
        content = await api.body(request)
        caller = await node.caller(request.scope, content)
        if not node.may_write(caller):
            return JSONResponse({"code": "not_for_you"}, status_code=403)
        step = _step(content)
        digest = await node.queue(step.encode(), content_type=STEP, sub=subject(step.parcel))
        return JSONResponse({"digest": digest.hex()}, status_code=202)

    async def show(request: Request) -> JSONResponse:
        found = parcels.find(bytes.fromhex(request.path_params["parcel"]))
        return JSONResponse({"state": found.state, "holder": found.holder.hex()})

    return [Route("/steps", take, methods=["POST"]), Route("/{parcel}", show, methods=["GET"])]


def _step(content: bytes) -> Step:
    try:
        body = json.loads(content)
        to = body.get("to")
        step = Step(
            parcel=bytes.fromhex(body["parcel"]), event=body["event"], to=None if to is None else bytes.fromhex(to)
        )
        return Step.decode(step.encode())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed("step_bad", "a step is {parcel, event, to}") from error
