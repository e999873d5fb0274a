"""The pages for people: the log's health, one entry with its proof, and what went wrong. No scripts, one style sheet."""

import contextlib
import re
import time
from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ledger import registry
from ledger.http import caching, facts, page, picture, problems
from ledger.http.readers import Readers
from ledger.http.source import Source
from ledger.log.engine import Engine
from ledger.log.shelf import Shelf
from ledger.rules import Refused
from protocol import merkle, receipt
from protocol.errors import NotFound, ProtocolError, Unavailable
from protocol.statement import Statement

RECENT = 8  # entries on the first page
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": caching.NEVER,
}
TYPES = {"log.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9a-fA-F:]{2,45}\](?::[0-9]{1,5})?")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


class Pages:
    """The handlers."""

    def __init__(self, source: Source, readers: Readers) -> None:
        self._source, self._readers = source, readers
        folder = files("ledger.http").joinpath("static")
        self._static: Mapping[str, bytes] = {name: folder.joinpath(name).read_bytes() for name in TYPES}

    async def home(self, _: Request) -> Response:
        """GET /: the log's health, and how to check it."""
        return _shown(await self._source.read(lambda: page.home(_home(self._source.engine), _now_ms())))

    async def entry(self, request: Request) -> Response:
        """GET /log/entries/{id}: one entry, its proof and its files."""
        name, address = request.path_params["entry_id"], _address(request)
        origin = self._source.engine.origin
        return _shown(await self._source.read(lambda: page.entry(self._entry(name, address), origin, _now_ms())))

    async def find(self, request: Request) -> Response:
        """GET /log/find?q=: the page of the entry with this number, or with the statement of this SHA-256."""
        asked = request.query_params.get("q", "").strip()
        engine = self._source.engine
        if _DIGEST.fullmatch(asked):
            name = await self._source.read(lambda: _named(engine, bytes.fromhex(asked)))
        else:
            shelf, index = engine.locate(asked)
            name = shelf.entry_id(index)
        headers = {"cache-control": caching.NEVER}
        return RedirectResponse(f"/log/entries/{quote(name)}", status_code=303, headers=headers)

    async def static(self, request: Request) -> Response:
        """GET /log/static/{name}: the style sheet and the picture."""
        name = request.path_params["name"]
        body = self._static.get(name)
        if body is None:
            raise NotFound("http_404", "there is nothing under this address")
        answer = caching.answer(request, body, media=TYPES[name], cache="public, max-age=300")
        answer.headers["x-content-type-options"] = "nosniff"
        return answer

    def trouble(self, request: Request, status: int, code: str, detail: str) -> Response:
        """A problem as a page."""
        found = page.trouble(
            status,
            problems.title(status, code),
            code,
            detail,
            asked=request.query_params.get("q", ""),
            origin=self._source.engine.origin,
            now_ms=_now_ms(),
        )
        answer = _shown(found)
        answer.status_code = status
        answer.headers.update(problems.headers_of(status))
        return answer

    def _entry(self, name: str, address: str) -> page.Shown:
        """Blocks. Raises NotFound."""
        shelf, index = self._source.engine.locate(name)
        found = shelf.entry(index)
        leaf = merkle.leaf_hash(found.digest)
        try:
            proof = receipt.read(shelf.receipt(index))
            drawn, size = picture.steps(leaf=leaf, index=index, size=proof.size, path=proof.path), proof.size
        except Unavailable:
            drawn, size = None, shelf.published.size
        said, gone = self._said(shelf, index)
        return page.Shown(
            name=name,
            at_ms=found.at_ms,
            entry=found.digest,
            leaf=leaf,
            size=size,
            proof=drawn,
            said=said,
            note=shelf.checkpoint(),
            address=address,
            gone=gone,
        )

    def _said(self, shelf: Shelf, index: int) -> tuple[Mapping[str, str] | None, str]:
        """What anybody may know of a statement, and why it is gone when it is."""
        try:
            found = self._readers.public(shelf, index)
        except NotFound as error:
            return {}, error.detail
        except ProtocolError:
            return None, ""
        return (None if found is None else _words(self._source.engine, found)), ""


def wanted(request: Request) -> bool:
    """Whether a person asks: browsers name HTML, programs do not."""
    return "text/html" in request.headers.get("accept", "")


def _address(request: Request) -> str:
    """Where this log was asked, for a command to copy."""
    host = request.headers.get("host", "")
    return f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else 'LEDGER'}"


def _home(engine: Engine) -> page.Home:
    shelf = engine.shelf(engine.epoch)
    head = facts.seen(shelf)
    recent = range(head.size - 1, max(head.size - 1 - RECENT, -1), -1)
    return page.Home(
        origin=engine.origin,
        epoch=engine.epoch,
        minimum=engine.minimum,
        healthy=engine.healthy,
        seen=head,
        keys=facts.keys(engine),
        vkeys=facts.vkeys(engine),
        recent=[(shelf.entry_id(index), shelf.entry(index).at_ms) for index in recent],
    )


def _named(engine: Engine, digest: bytes) -> str:
    """The name of the entry with these 32 bytes, in any epoch. Raises NotFound: entry_unknown."""
    for epoch in range(engine.epoch, 0, -1):
        with contextlib.suppress(NotFound):
            shelf = engine.shelf(epoch)
            return shelf.entry_id(shelf.index_of(digest))
    raise NotFound("entry_unknown", "this log has no statement of this SHA-256")


def _words(engine: Engine, found: Statement) -> Mapping[str, str]:
    said = {"Content type": found.content_type, "Issuer": found.iss, "Subject": found.sub}
    try:
        issuer = engine.look(lambda state: registry.issuer(state, found.kid, _now_ms()))
    except Refused:
        return said
    who = f"{issuer.name} ({issuer.role})" if issuer.name else f"the {issuer.role} of this log"
    return {"Content type": found.content_type, "Issued by": who, **said}


def _shown(text: str) -> Response:
    return HTMLResponse(text, headers=HEADERS)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
