"""What anybody may read and check: keys, the checkpoint, tiles and bundles, the status, and this interface. C2SP tlog-tiles."""

import base64
import json
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from ledger.http import caching, facts
from ledger.http.source import Source
from ledger.log.shelf import Shelf
from protocol import tiles
from protocol.errors import NotFound

_EPOCH = re.compile(r"[1-9][0-9]{0,9}")
_OPENAPI = Path(__file__).with_name("openapi.json")


class Public:
    """The handlers."""

    def __init__(self, source: Source) -> None:
        self._source, self._openapi = source, _OPENAPI.read_bytes()

    async def keys(self, request: Request) -> Response:
        """GET /.well-known/scitt-keys: the COSE key set, retired keys too."""
        found = self._source.engine.keys()
        return caching.answer(request, found, media="application/cbor", cache=caching.SHORT, compress=False)

    async def key(self, request: Request) -> Response:
        """GET /.well-known/scitt-keys/{kid}: one COSE key."""
        found = self._source.engine.key(_kid(request.path_params["kid"]))
        return caching.answer(request, found, media="application/cbor", cache=caching.SHORT, compress=False)

    async def checkpoint(self, request: Request) -> Response:
        """GET /checkpoint, /epochs/{epoch}/checkpoint: the newest signed note, with its cosignatures."""
        note = self.shelf(request).checkpoint()
        media = "text/plain; charset=utf-8"
        return caching.answer(request, note.encode(), media=media, cache=caching.SHORT, compress=False)

    async def tile(self, request: Request) -> Response:
        """GET /tile/..., /epochs/{epoch}/tile/...: hashes, or entries."""
        wanted, shelf = tiles.Tile.from_path(f"tile/{request.path_params['path']}"), self.shelf(request)
        hashes = wanted.level is not None
        job = shelf.tile if hashes else shelf.entries
        return await self._source.read(
            lambda: caching.answer(
                request,
                job(wanted),
                media="application/octet-stream",
                cache=caching.IMMUTABLE,
                compress=not hashes,  # a tile is all hashes, which no compression makes smaller
            )
        )

    def shelf(self, request: Request) -> Shelf:
        """The epoch that a path names, else the newest. Raises NotFound: epoch_unknown."""
        engine, named = self._source.engine, request.path_params.get("epoch")
        if named is None:
            return engine.shelf(engine.epoch)
        if not _EPOCH.fullmatch(named):
            raise NotFound("epoch_unknown", "epochs are counted from 1")
        return engine.shelf(int(named))

    async def status(self, request: Request) -> Response:
        """GET /status: what the log says about itself, unsigned."""
        found = await self._source.read(lambda: facts.status(self._source.engine))
        body = json.dumps(found, ensure_ascii=False).encode()
        return caching.answer(request, body, media="application/json", cache=caching.SHORT)

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json: this interface."""
        return caching.answer(request, self._openapi, media="application/json", cache=caching.SHORT)


def _kid(name: str) -> bytes:
    """The key id in its one base64url form, without padding. Raises NotFound: key_unknown."""
    try:
        kid = base64.urlsafe_b64decode(f"{name}{'=' * (-len(name) % 4)}")
    except ValueError as error:
        raise NotFound("key_unknown", "a key is named by its thumbprint in base64url") from error
    if base64.urlsafe_b64encode(kid).rstrip(b"=").decode() != name:
        raise NotFound("key_unknown", "a key is named by its thumbprint in base64url, without padding")
    return kid
