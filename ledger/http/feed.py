"""What one contract was told, in the order of the log: for whoever keeps a read model of it. Checked by whoever reads, by tiles.

An answer says how far it looked (`next`), so that what the caller may not read, or was taken away, only leaves a gap.
"""

import base64
import json
import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from ledger.contracts import GENERIC
from ledger.http import caching
from ledger.http.public import Public
from ledger.http.readers import Readers
from ledger.http.source import Source
from ledger.log.shelf import Shelf
from protocol import cbor, statement
from protocol.errors import Malformed, NotFound, Unavailable
from protocol.statement import Statement

CBOR, JSON = "application/cbor", "application/json"

_PLACE = re.compile(r"0|[1-9][0-9]{0,17}")
_VARY = "accept, signature, signature-input"


class Feed:
    """The handler."""

    def __init__(self, source: Source, readers: Readers, public: Public) -> None:
        self._source, self._readers, self._public = source, readers, public
        self._names = frozenset((GENERIC, *(contract.name for contract in source.engine.contracts.all)))

    async def entries(self, request: Request) -> Response:
        """GET /contracts/{name}/entries, /epochs/{epoch}/contracts/{name}/entries: from index ?from on, as CBOR or JSON.

        At most shelf.OF_CONTRACT_MAX statements and as many bytes as shelf.OF_CONTRACT_SIZE_MAX says. Raises NotFound:
        contract_unknown, epoch_unknown, place_unknown; NotSigned; Unavailable.
        """
        name, place = request.path_params["name"], request.query_params.get("from", "0")
        if name not in self._names:
            raise NotFound("contract_unknown", "this log has no such contract")
        if not _PLACE.fullmatch(place):
            raise NotFound("place_unknown", "from is the index of an entry")
        epoch = self._public.shelf(request)
        return await self._source.read(lambda: self._answer(request, epoch, name, int(place)))

    def _answer(self, request: Request, epoch: Shelf, name: str, first: int) -> Response:
        who = self._readers.who(request.scope)
        found, after, size = epoch.of_contract(name, first)
        may = self._readers.readable([_parsed(each.statement) for each in found], who)
        said = [
            {"index": each.place, "at_ms": each.at_ms, "statement": each.statement}
            for each, allowed in zip(found, may, strict=True)
            if allowed
        ]
        whole = {"contract": name, "epoch": epoch.published.epoch, "entries": said, "next": after, "size": size}
        media = JSON if JSON in request.headers.get("accept", "") else CBOR
        body = _json(whole) if media == JSON else cbor.encode(whole)
        if who is not None:
            return Response(body, media_type=media, headers={"cache-control": caching.NEVER, "vary": _VARY})
        # Not packed: packed forms are remembered, and these are long.
        answer = caching.answer(request, body, media=media, cache=caching.SHORT, compress=False)
        answer.headers["vary"] = _VARY
        return answer


def _parsed(raw: bytes) -> Statement:
    try:
        return statement.parse(raw)
    except Malformed as error:
        raise Unavailable("entry_missing", "the database has something in a statement's place: run fsck") from error


def _json(whole: Mapping[str, object]) -> bytes:
    """The same with statements in base64."""
    return json.dumps(whole, default=lambda raw: base64.b64encode(raw).decode()).encode()
