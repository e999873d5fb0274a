"""One entry over HTTP: its receipt, its statement for who may read it, and both together; and proofs that the log only grew."""

import re

from starlette.requests import Request
from starlette.responses import Response

from ledger.http import caching, facts, operations, problems
from ledger.http.operations import Operations
from ledger.http.problems import RETRY_AFTER_S
from ledger.http.readers import Readers
from ledger.http.registration import COSE
from ledger.http.source import Source
from ledger.log.registering import Registered
from protocol import receipt
from protocol.errors import NotFound, VigilError
from protocol.keys import EDDSA
from protocol.p256 import ES256

ALGS = {"EdDSA": EDDSA, "ES256": ES256}  # of receipts, by their names in COSE
_SIZE = re.compile(r"[1-9][0-9]{0,18}")


class Entries:
    """The handlers."""

    def __init__(self, source: Source, running: Operations, readers: Readers) -> None:
        self._source, self._running, self._readers = source, running, readers

    async def receipt(self, request: Request) -> Response:
        """GET /entries/{id}: its receipt for the newest tree, with ?alg=ES256 by such a key of the log.

        Of a registration that runs, 302, and then what became of it.
        """
        name = request.path_params["entry_id"]
        if operations.is_name(name):
            made = self._outcome(name)
            if isinstance(made, Response):
                return made
            headers = {"location": f"/entries/{made.entry_id}", "cache-control": caching.NEVER}
            return Response(made.receipt, media_type=COSE, headers=headers)
        alg = _alg(request.query_params.get("alg"))
        raw = await self._source.read(lambda: self._receipt(name, alg))
        return Response(raw, media_type=COSE, headers={"location": f"/entries/{name}", "cache-control": caching.SHORT})

    def _receipt(self, name: str, alg: int | None = None) -> bytes:
        shelf, index = self._source.engine.locate(name)
        return shelf.receipt(index, alg=alg)

    def _outcome(self, name: str, below: str = "") -> Registered | Response:
        """What a registration came to, or the answer while it runs and once it was refused. below: what follows its name.

        Raises NotFound: operation_unknown.
        """
        found = self._running.find(name)
        if found is None:
            headers = {"location": f"/entries/{name}{below}", "retry-after": str(RETRY_AFTER_S)}
            return Response(status_code=302, headers={**headers, "cache-control": caching.NEVER})
        if isinstance(found, VigilError):
            return problems.problem(problems.verdict_of(found), found.code, found.detail)
        return found

    async def statement(self, request: Request) -> Response:
        """GET /entries/{id}/statement: as the log keeps it, for who may read it; of a registration, 303 to the transparent one.

        The latter is what clients of CCF's ledger ask for, pyscitt for one; in SCRAPI there is neither.
        """
        name = request.path_params["entry_id"]
        if operations.is_name(name):
            made = self._outcome(name, "/statement")
            if isinstance(made, Response):
                return made
            headers = {"location": f"/entries/{made.entry_id}/transparent", "cache-control": caching.NEVER}
            return Response(status_code=303, headers=headers)
        raw = await self._readers.statement(request, name)
        return Response(raw, media_type=COSE, headers=_PRIVATE)

    async def transparent(self, request: Request) -> Response:
        """GET /entries/{id}/transparent: the statement with its receipt for the newest tree in it, likewise."""
        name = request.path_params["entry_id"]
        raw = await self._readers.statement(request, name)
        whole = await self._source.read(lambda: receipt.attach(raw, [self._receipt(name)]))
        return Response(whole, media_type=COSE, headers=_PRIVATE)

    async def proof(self, request: Request) -> Response:
        """GET /entries/{id}/proof: a file of C2SP tlog-proof, under the checkpoint that is published."""
        name, engine = request.path_params["entry_id"], self._source.engine
        body = await self._source.read(lambda: facts.proof(*engine.locate(name)).encode())
        named = {"content-disposition": f'attachment; filename="{name}.tlog-proof"', "cache-control": caching.SHORT}
        return Response(body, media_type="text/plain; charset=utf-8", headers=named)

    async def consistency(self, request: Request) -> Response:
        """GET /consistency/{size1}: a receipt that the newest tree is that of `size1` grown. RFC 9942 §5.3."""
        size1 = request.path_params["size1"]
        if not _SIZE.fullmatch(size1):
            raise NotFound("size_unknown", "a proof begins at the size of a tree")
        raw = await self._source.read(lambda: self._source.engine.consistency(int(size1)))
        return Response(raw, media_type=COSE, headers={"cache-control": caching.SHORT})


def _alg(name: str | None) -> int | None:
    if name is not None and name not in ALGS:
        raise NotFound("alg_not_offered", f"receipts are signed with one of: {', '.join(ALGS)}")
    return ALGS[name] if name is not None else None


_PRIVATE = {"cache-control": caching.NEVER, "vary": "signature, signature-input"}
