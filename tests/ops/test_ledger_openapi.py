"""ledger/http/openapi.json says what the ledger answers, status by status and code by code."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from ledger import contracts
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, receipt, statement
from protocol.errors import Unavailable
from protocol.keys import PublicKey
from tests.support import ledgers
from tests.support.openapi import Document
from tests.support.tools import REPOSITORY

PATH = REPOSITORY / "ledger" / "http" / "openapi.json"
DOCUMENT = Document.read(PATH)
COSE = {"content-type": http.COSE}
CODES = DOCUMENT.whole["x-codes"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        yield found


@pytest.fixture
def app(engine: Engine) -> Starlette:
    return http.app(engine, Metrics(contracts.CODES))


def asking(app: Starlette) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://log.example")


def code(answer: httpx.Response) -> str:
    """The code of a problem; it must be one that is documented for the status."""
    found = cbor.decode(answer.content, size_max=1000)
    assert isinstance(found, dict)
    name = found[http.PROBLEM_KEY]["code"]  # type: ignore[index]
    assert name in CODES[str(answer.status_code)], f"{answer.status_code} {name}"
    return str(name)


def test_every_route_is_documented_and_nothing_else(app: Starlette) -> None:
    routes = {
        (route.path.replace(":path", ""), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.methods
        for method in route.methods - {"HEAD"}
    }
    assert DOCUMENT.operations().keys() == routes


def test_every_documented_answer_comes_and_no_other(
    app: Starlette, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = Document.read(PATH)

    def look(path: str, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 400:
            code(answer)
        return document.observe(path, answer)

    def full(_: bytes) -> None:
        raise Unavailable("storage_failed", "the disk is full")

    def damaged(_: object) -> None:
        raise Unavailable("node_missing", "the database lacks a part of the tree")

    async def endless() -> AsyncIterator[bytes]:
        yield b""
        await asyncio.Event().wait()

    async def everything() -> None:
        raw = ledgers.admission(tmp_path)
        async with asking(app) as client:
            look("/entries/{entry_id}", await client.get("/entries/1.0"))
            with monkeypatch.context() as patch:
                patch.setattr(engine, "register", full)
                look("/entries", await client.post("/entries", content=raw, headers=COSE))
            for name, content in (("BODY_WITHIN_S", endless()), ("WAITING_MAX", raw)):
                with monkeypatch.context() as patch:
                    patch.setattr(http, name, 0)
                    look("/entries", await client.post("/entries", content=content, headers=COSE))
            for content in (raw, raw, b"", bytes(statement.SIZE_MAX + 1)):
                look("/entries", await client.post("/entries", content=content, headers=COSE))
            look("/entries", await client.post("/entries", content=raw))
            for path in ("/checkpoint", "/openapi.json", "/.well-known/scitt-keys"):
                look(path, await client.get(path))
            for entry in ("1.1", "1.9"):
                look("/entries/{entry_id}", await client.get(f"/entries/{entry}"))
            thumbprint = base64.urlsafe_b64encode(ledgers.log_key(tmp_path).thumbprint).rstrip(b"=").decode()
            for kid in (thumbprint, "A" * 43):
                look("/.well-known/scitt-keys/{kid}", await client.get(f"/.well-known/scitt-keys/{kid}"))
            for tile in ("0/000.p/2", "entries/000.p/2", "0/000.p/9", "0/0"):
                look("/tile/{path}", await client.get(f"/tile/{tile}"))
            with monkeypatch.context() as patch:
                patch.setattr(engine, "tile", damaged)
                look("/tile/{path}", await client.get("/tile/0/000.p/2"))

    asyncio.run(everything())
    assert document.seen == document.documented()


def test_what_is_said_of_every_path_holds(app: Starlette, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[tuple[int, str]]:
        async with asking(app) as client:
            answers = [await client.get("/nowhere"), await client.delete("/checkpoint")]
            monkeypatch.setattr(engine, "checkpoint", lambda: 1 // 0)
            answers.append(await client.get("/checkpoint"))
        return [(answer.status_code, code(answer)) for answer in answers]

    assert asyncio.run(ask()) == [(404, "http_404"), (405, "http_405"), (500, "http_500")]


def test_codes_and_statuses_are_those_of_the_code() -> None:
    assert set(CODES["400"]) == contracts.CODES - {"storage_failed", "too_many"}
    assert {int(status) for status in CODES} == http.TITLES.keys()
    statuses = {int(status) for _, _, status in DOCUMENT.documented()}
    assert statuses | {405, 500} == http.TITLES.keys() | {200, 201}


def test_sizes_and_types_are_those_of_the_code() -> None:
    content = DOCUMENT.whole["paths"]["/entries"]["post"]["requestBody"]["content"]
    assert content.keys() == http.STATEMENT_TYPES
    assert {media["schema"]["maxLength"] for media in content.values()} == {statement.SIZE_MAX}
    problem = DOCUMENT.whole["components"]["responses"]["Problem"]
    assert list(problem["content"]) == [http.PROBLEM_TYPE]
    assert http.PROBLEM_KEY in problem["description"]


def test_the_example_is_a_statement_with_its_receipt() -> None:
    example = DOCUMENT.whole["paths"]["/entries"]["post"]["x-example"]
    raw, proof = base64.b64decode(example["statement"]), base64.b64decode(example["receipt"])
    key = PublicKey(bytes.fromhex(example["logKey"]))
    found = receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert found.iss == example["origin"]
    receipt.verify(found, entry=statement.entry(raw), key=key)
