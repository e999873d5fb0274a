"""ledger/http/openapi.json says what the ledger answers, status by status and code by code."""

import asyncio
import base64
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from ledger import contracts, signing
from ledger.http import app as http
from ledger.http import bodies, facts, operations, problems, registration
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, notes, receipt, statement, tlog_proof
from protocol.errors import NotFound, Unavailable, VigilError
from protocol.keys import PublicKey, SigningKey
from tests.support import ledgers, policies
from tests.support.openapi import Document
from tests.support.tools import REPOSITORY

PATH = REPOSITORY / "ledger" / "http" / "openapi.json"
DOCUMENT = Document.read(PATH)
COSE = {"content-type": registration.COSE}
CBOR = {"content-type": registration.CBOR}
LATER = {**COSE, "prefer": "respond-async"}
CODES = DOCUMENT.whole["x-codes"]
STORED = ("/checkpoint", "/status", "/openapi.json", "/.well-known/scitt-keys")
FEEDS = tuple(
    (f"{under}/contracts/anchors/entries", f"{of}/contracts/{{name}}/entries")
    for under, of in (("", ""), ("/epochs/1", "/epochs/{epoch}"))
)
UNKNOWN = SigningKey.from_seed(bytes([8]) * 32)
OF_AN_ENTRY = ("", "/statement", "/transparent", "/proof")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        found.register(ledgers.admission(tmp_path))
        yield found


@pytest.fixture
def app(engine: Engine) -> http.Ledger:
    return http.app(engine, Metrics(contracts.CODES))


def asking(app: http.Ledger) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://log.example")


def code(answer: httpx.Response) -> str:
    """The code of a problem; it must be one that is documented for the status."""
    found = cbor.decode(answer.content, size_max=1000)
    assert isinstance(found, dict)
    name = found[problems.KEY]["code"]  # type: ignore[index]
    assert name in CODES[str(answer.status_code)], f"{answer.status_code} {name}"
    return str(name)


def failing(error: VigilError) -> Callable[..., Any]:
    """Something that fails so."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def endless() -> AsyncIterator[bytes]:
    """A body that does not end."""
    yield b""
    await asyncio.Event().wait()


class Look:
    """Asks, and holds each answer against the document."""

    def __init__(self, client: httpx.AsyncClient, document: Document) -> None:
        self.client, self.document = client, document

    async def get(self, path: str, of: str = "", **headers: str) -> httpx.Response:
        """of: the path in the document, where it has a parameter."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._seen(of or path, await self.client.get(path, headers=fields))

    async def post(self, path: str, content: bytes | AsyncIterator[bytes], headers: dict[str, str]) -> httpx.Response:
        """POST."""
        return self._seen(path, await self.client.post(path, content=content, headers=headers))

    def _seen(self, path: str, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 400:
            code(answer)
        return self.document.observe(path, answer)


def test_every_route_is_documented_and_nothing_else(app: http.Ledger) -> None:
    routes = {
        (route.path.replace(":path", ""), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.methods
        for method in route.methods - {"HEAD"}
    }
    assert DOCUMENT.operations().keys() == routes


async def _ended(look: Look, path: str) -> None:
    """Ask until a registration has ended."""
    answer = await look.get(path, "/entries/{entry_id}")
    while answer.status_code == 302:
        await asyncio.sleep(0)
        answer = await look.get(path, "/entries/{entry_id}")


async def _register(look: Look, engine: Engine, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Each answer to what is registered."""
    raw, free, register = ledgers.admission(folder), threading.Event(), engine.register_many
    batch = cbor.encode([raw])
    with patch.context() as held:
        held.setattr(engine, "register_many", lambda raws: free.wait(20) and register(raws))
        running = (await look.post("/entries", raw, LATER)).headers["location"]
        assert (await look.get(running, "/entries/{entry_id}")).status_code == 302
        assert (await look.get(f"{running}/statement", "/entries/{entry_id}/statement")).status_code == 302
        held.setattr(operations, "RUNNING_MAX", 0)
        await look.post("/entries", raw, COSE)
        free.set()
    await _ended(look, running)
    refused = (await look.post("/entries", b"", LATER)).headers["location"]
    await _ended(look, refused)
    for path in (running, refused):
        await look.get(f"{path}/statement", "/entries/{entry_id}/statement")
    for path, sent, headers, size in (
        ("/entries", raw, COSE, statement.SIZE_MAX),
        ("/batches", batch, CBOR, registration.BATCH_SIZE_MAX),
    ):
        for content in (sent, ledgers.anchor(1), sent, b"", bytes(size + 1)):
            await look.post(path, content, headers)
        await look.post(path, sent, {"content-type": "text/plain"})
        with patch.context() as slow:
            slow.setattr(bodies, "WITHIN_S", 0.01)
            await look.post(path, endless(), headers)
    with patch.context() as full:
        full.setattr(engine._shelf, "published", engine._shelf.published)
        full.setattr(engine._writer, "write", failing(Unavailable("storage_failed", "the disk is full")))
        await look.post("/entries", ledgers.anchor(2), COSE)
    with patch.context() as busy:
        busy.setattr(registration, "BATCHES_MAX", 0)
        await look.post("/batches", batch, CBOR)
    with patch.context() as late:
        free.clear()
        late.setattr(engine, "register_many", lambda raws: free.wait(20) and register(raws))
        late.setattr(registration, "BATCH_WITHIN_S", 0.01)
        await look.post("/batches", batch, CBOR)
        free.set()


async def _read(look: Look, engine: Engine, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Each answer to what is read."""
    shelf = engine.shelf(1)
    kid = base64.urlsafe_b64encode(ledgers.log_key(folder).thumbprint).rstrip(b"=").decode()
    kept = [
        *((path, path) for path in STORED),
        (f"/.well-known/scitt-keys/{kid}", "/.well-known/scitt-keys/{kid}"),
        ("/tile/0/000.p/2", "/tile/{path}"),
        ("/epochs/1/checkpoint", "/epochs/{epoch}/checkpoint"),
        ("/epochs/1/tile/entries/000.p/2", "/epochs/{epoch}/tile/{path}"),
        ("/log/static/log.css", "/log/static/{name}"),
        ("/log/static/icon.svg", "/log/static/{name}"),
        *FEEDS,
    ]
    for path, of in kept:
        tag = (await look.get(path, of)).headers["etag"]
        await look.get(path, of, if_none_match=tag)
    for path, of in (
        (f"/.well-known/scitt-keys/{'A' * 43}", "/.well-known/scitt-keys/{kid}"),
        ("/tile/0/0", "/tile/{path}"),
        ("/tile/0/999", "/tile/{path}"),
        ("/epochs/9/checkpoint", "/epochs/{epoch}/checkpoint"),
        ("/epochs/9/tile/0/000", "/epochs/{epoch}/tile/{path}"),
        ("/log/static/none.js", "/log/static/{name}"),
        ("/log/entries/1.1", "/log/entries/{entry_id}"),
        ("/log/entries/1.99", "/log/entries/{entry_id}"),
        ("/log/find?q=1.1", "/log/find"),
        ("/log/find?q=x", "/log/find"),
        ("/consistency/2", "/consistency/{size1}"),
        ("/consistency/99", "/consistency/{size1}"),
        ("/entries/0.0", "/entries/{entry_id}"),
        ("/", "/"),
        *((f"{path}?from=x", of) for path, of in FEEDS),
        *((f"/entries/1.{index}{part}", f"/entries/{{entry_id}}{part}") for part in OF_AN_ENTRY for index in (1, 99)),
    ):
        await look.get(path, of)
    failures = [
        ("tile", Unavailable("node_missing", "damaged"), 503),
        ("tile", NotFound("tile_pruned", "gone"), 410),
        ("inclusion", Unavailable("node_missing", "damaged"), 503),
        ("inclusion", NotFound("entry_pruned", "gone"), 410),
        ("receipt", Unavailable("node_missing", "damaged"), 503),
        ("receipt", NotFound("entry_pruned", "gone"), 410),
        ("statement", Unavailable("entry_missing", "damaged"), 503),
        ("statement", NotFound("statement_redacted", "gone"), 410),
        ("consistency", Unavailable("node_missing", "damaged"), 503),
        ("consistency", NotFound("size_pruned", "gone"), 410),
        ("entry", Unavailable("entry_missing", "damaged"), 503),
        ("entry", NotFound("entry_pruned", "gone"), 410),
        ("of_contract", Unavailable("entry_missing", "damaged"), 503),
    ]
    reading = {
        "tile": [("/tile/0/000.p/2", "/tile/{path}"), ("/epochs/1/tile/0/000.p/2", "/epochs/{epoch}/tile/{path}")],
        "receipt": [(f"/entries/1.1{part}", f"/entries/{{entry_id}}{part}") for part in ("", "/transparent")],
        "inclusion": [("/entries/1.1/proof", "/entries/{entry_id}/proof")],
        "statement": [("/entries/1.1/statement", "/entries/{entry_id}/statement")],
        "consistency": [("/consistency/2", "/consistency/{size1}")],
        "entry": [("/log/entries/1.1", "/log/entries/{entry_id}")],
        "of_contract": list(FEEDS),
    }
    for name, error, status in failures:
        with patch.context() as broken:
            broken.setattr(shelf, name, failing(error))
            also = [("/", "/"), ("/status", "/status")] if name == "entry" and status == 503 else []
            for path, of in (*reading[name], *also):
                assert (await look.get(path, of)).status_code == status, (path, name)


async def _private(look: Look, engine: Engine, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Each answer to who may not read."""
    engine.register(policies.read_by(folder, engine, "issuer"))
    name = engine.register(ledgers.anchor(1)).entry_id
    engine.register(ledgers.admission(folder, ledgers.STRANGER, "other"))
    of_an_entry = [
        (f"/entries/{name}/{part}", f"/entries/{{entry_id}}/{part}") for part in ("statement", "transparent")
    ]
    for path, of in (*of_an_entry, *FEEDS):
        await look.get(path, of)
        for who in (ledgers.STRANGER, UNKNOWN):
            await look.get(path, of, **policies.signed(path, who))
        with patch.context() as busy:
            busy.setattr(signing, "NONCES_MAX", 0)
            await look.get(path, of, **policies.signed(path, ledgers.STRANGER))


@pytest.mark.parametrize("asked", ["cbor", "html"])
def test_every_documented_answer_comes_and_no_other(
    app: http.Ledger, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    if asked == "html":
        monkeypatch.setitem(globals(), "code", lambda answer: "")
    document = Document.read(PATH)

    async def everything() -> None:
        async with asking(app) as client:
            if asked == "html":
                client.headers["accept"] = "text/html,*/*;q=0.8"
            look = Look(client, document)
            await _register(look, engine, tmp_path, monkeypatch)
            await _read(look, engine, tmp_path, monkeypatch)
            await _private(look, engine, tmp_path, monkeypatch)
            await look.post("/entries", ledgers.anchor(77), COSE)

    asyncio.run(everything())
    assert document.documented() - document.seen == set()
    assert document.seen - document.documented() == set()


def test_what_is_said_of_every_path_holds(app: http.Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[tuple[int, str]]:
        async with asking(app) as client:
            answers = [await client.get("/nowhere"), await client.delete("/checkpoint")]
            monkeypatch.setattr(engine.shelf(1), "checkpoint", lambda: 1 // 0)
            answers.append(await client.get("/checkpoint"))
        return [(answer.status_code, code(answer)) for answer in answers]

    assert asyncio.run(ask()) == [(404, "http_404"), (405, "http_405"), (500, "http_500")]


def test_codes_and_statuses_are_those_of_the_code() -> None:
    assert set(CODES["400"]) == contracts.CODES - {"storage_failed", "too_many"} | {"batch_shape"}
    assert set(CODES["401"]) == signing.CODES - {"signatures_too_many"}
    assert {int(status) for status in CODES} == problems.TITLES.keys()
    statuses = {int(status) for _, _, status in DOCUMENT.documented()}
    assert statuses | {405, 500} == problems.TITLES.keys() | {200, 201, 302, 303, 304}
    for name, status in problems.STATUSES.items():
        assert name in CODES[str(status)], f"{status} {name}"


def test_sizes_and_types_are_those_of_the_code() -> None:
    content = DOCUMENT.whole["paths"]["/entries"]["post"]["requestBody"]["content"]
    assert content.keys() == registration.STATEMENT_TYPES
    assert {media["schema"]["maxLength"] for media in content.values()} == {statement.SIZE_MAX}
    batch = DOCUMENT.whole["paths"]["/batches"]["post"]["requestBody"]["content"]
    assert batch["application/cbor"]["schema"]["maxLength"] == registration.BATCH_SIZE_MAX
    said = DOCUMENT.whole["paths"]["/entries"]["post"]["description"]
    assert re.findall(r"[0-9,]+(?= (?:seconds|ended))", said) == [
        f"{registration.ANSWER_WITHIN_S:.0f}",
        f"{operations.ENDED_MAX:,}",
    ]
    assert f"1 to {registration.BATCH_MAX} statements" in DOCUMENT.whole["paths"]["/batches"]["post"]["description"]
    problem = DOCUMENT.whole["components"]["responses"]["Problem"]
    assert list(problem["content"]) == [problems.TYPE, "text/html"]
    assert problems.KEY in problem["description"]


def test_the_examples_of_registering_verify() -> None:
    example = DOCUMENT.whole["paths"]["/entries"]["post"]["x-example"]
    raw, proof = base64.b64decode(example["statement"]), base64.b64decode(example["receipt"])
    key = PublicKey(bytes.fromhex(example["logKey"]))
    found = receipt.check(proof, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert found.iss == example["origin"]
    batch = DOCUMENT.whole["paths"]["/batches"]["post"]["x-example"]
    assert len(registration.statements_of(base64.b64decode(batch["request"]))) == len(batch["statuses"])


def test_the_examples_of_reading_are_of_one_log_and_fit_their_schemas() -> None:
    paths = DOCUMENT.whole["paths"]
    said = [paths[path]["get"]["responses"]["200"]["content"] for path in ("/checkpoint", "/entries/{entry_id}/proof")]
    note, proof = (content["text/plain"]["example"] for content in said)
    assert tlog_proof.Proof.decode(proof.encode()).checkpoint == note
    status = paths["/status"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    head = notes.Checkpoint.from_text(notes.parse(note).text)
    assert (status["origin"], status["size"], status["root"]) == (head.origin, head.size, note.splitlines()[2])
    for value, schema in DOCUMENT.examples():
        assert DOCUMENT.faults(value, schema) == []


def test_what_a_status_has_is_what_the_code_gives(engine: Engine) -> None:
    with contextlib.closing(engine):
        schema = DOCUMENT.whole["paths"]["/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert facts.status(engine).keys() == set(schema["required"]) == schema["properties"].keys()
