"""The ledger's HTTP face, status by status."""

import asyncio
import base64
import json
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from ledger import contracts
from ledger.client import PROBLEM_KEY
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, cose, notes, receipt, statement, tiles
from tests.support import ledgers

COSE = {"content-type": "application/cose"}


class Web:
    """Asks an application without a socket."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    def request(self, method: str, path: str, **sent) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://log.example") as client:
                return await client.request(method, path, **sent)

        return asyncio.run(ask())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **sent) -> httpx.Response:
        return self.request("POST", path, **sent)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        yield found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(contracts.CODES)


@pytest.fixture
def web(engine: Engine, metrics: Metrics) -> Web:
    return Web(http.app(engine, metrics))


@pytest.fixture
def admitted(web: Web, tmp_path: Path) -> bytes:
    """A gateway's admission, posted."""
    raw = ledgers.admission(tmp_path)
    assert web.post("/entries", content=raw, headers=COSE).status_code == 201
    return raw


def problem(answer) -> tuple[int, str]:
    """(status, code) of an answer that is a problem."""
    assert answer.headers["content-type"] == "application/concise-problem-details+cbor"
    found = cbor.decode(answer.content, size_max=1000)
    assert found.keys() == {-1, -2, PROBLEM_KEY}
    assert isinstance(found[-1], str) and isinstance(found[-2], str) and found[-2]
    return answer.status_code, found[PROBLEM_KEY]["code"]


@pytest.mark.parametrize("media", ["application/cose", "application/scitt-statement+cose", "Application/COSE; a=b"])
def test_a_new_statement_is_answered_201_with_its_receipt(tmp_path: Path, web: Web, media: str) -> None:
    raw = ledgers.admission(tmp_path)
    answer = web.post("/entries", content=raw, headers={"content-type": media})
    assert (answer.status_code, answer.headers["location"]) == (201, "/entries/1.1")
    assert answer.headers["content-type"] == "application/cose"
    key = ledgers.log_key(tmp_path)
    found = receipt.check(answer.content, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert (found.index, found.size) == (1, 2)


def test_a_statement_that_is_there_is_answered_200_with_the_same_entry(web: Web, admitted: bytes) -> None:
    web.post("/entries", content=ledgers.anchor(1), headers=COSE)
    answer = web.post("/entries", content=admitted, headers=COSE)
    assert (answer.status_code, answer.headers["location"]) == (200, "/entries/1.1")
    assert receipt.read(answer.content).size == 3


def test_an_entry_is_answered_with_its_receipt_for_the_newest_tree(tmp_path: Path, web: Web, admitted) -> None:
    web.post("/entries", content=ledgers.anchor(1), headers=COSE)
    answer = web.get("/entries/1.1?api-version=2026-03-26")
    assert (answer.status_code, answer.headers["location"]) == (200, "/entries/1.1")
    assert answer.headers["content-type"] == "application/cose"
    key = ledgers.log_key(tmp_path)
    found = receipt.check(answer.content, entry=statement.entry(admitted), key=key, thumbprint=key.thumbprint)
    assert (found.index, found.size) == (1, 3)


def test_the_first_entry_has_no_receipt_before_the_second(web: Web) -> None:
    answer = web.get("/entries/1.0")
    assert problem(answer) == (503, "receipt_too_early")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "cose_tag"),
        (b"\xd2\x84", "cbor_invalid"),
        (b"\x00" * 100, "cose_tag"),
        (ledgers.anchor(1), "issuer_unknown"),
        (ledgers.anchor(1, preimage_content_type="text/plain"), "content_type_not_allowed"),
    ],
)
def test_a_statement_that_is_refused_is_answered_400_with_its_code_and_counted(
    web: Web, metrics: Metrics, content: bytes, code: str
) -> None:
    assert problem(web.post("/entries", content=content, headers=COSE)) == (400, code)
    counted = code if code in contracts.CODES else "other"
    assert metrics.registry.get_sample_value("vigil_ledger_refusals_total", {"code": counted}) == 1
    assert metrics.registry.get_sample_value("vigil_ledger_entries_total") == 0


@pytest.mark.parametrize("size", [statement.SIZE_MAX + 1, 1_000_000])
def test_a_statement_that_is_too_long_is_answered_413(web: Web, size: int) -> None:
    assert problem(web.post("/entries", content=bytes(size), headers=COSE)) == (413, "statement_size")


@pytest.mark.parametrize("media", ["", "application/json", "application/cose+json", "text/plain"])
def test_another_media_type_is_answered_415(web: Web, media: str) -> None:
    answer = web.post("/entries", content=ledgers.anchor(1), headers={"content-type": media})
    assert problem(answer) == (415, "media_type")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/", "http_404"),
        ("/entries/", "http_404"),
        ("/entries/1.1/statement", "http_404"),
        ("/entries/1.7", "entry_unknown"),
        ("/entries/2.0", "entry_unknown"),
        ("/entries/x", "entry_unknown"),
        ("/entries/1.0%0A", "entry_unknown"),
        ("/entries/..%2fcheckpoint", "http_404"),
        ("/tile/0/000", "tile_unknown"),
        ("/tile/0/000.p/2", "tile_unknown"),
        ("/tile/1/000.p/1", "tile_unknown"),
        ("/tile/entries/000.p/9", "tile_unknown"),
        ("/tile/0/0", "tile_path"),
        ("/tile/9/000", "tile_path"),
        ("/tile/0/000.p/256", "tile_path"),
        ("/tile/0/000.p/01", "tile_path"),
        ("/tile/", "tile_path"),
        ("/.well-known/scitt-keys/AAAA", "key_unknown"),
        ("/.well-known/scitt-keys/A", "key_unknown"),
        ("/.well-known/scitt-keys/", "http_404"),
        ("/.well-known/scitt-keys/%F0%9F%94%91", "key_unknown"),
        ("/metrics", "http_404"),
        ("/healthz", "http_404"),
    ],
)
def test_what_is_not_there_is_answered_404(web: Web, path: str, code: str) -> None:
    assert problem(web.get(path)) == (404, code)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/entries"), ("DELETE", "/entries/1.0"), ("PUT", "/checkpoint"), ("POST", "/tile/0/0")]
)
def test_another_method_is_answered_405_with_those_that_there_are(web: Web, method: str, path: str) -> None:
    answer = web.request(method, path)
    assert problem(answer) == (405, "http_405")
    assert answer.headers["allow"]


def test_a_disk_that_fails_is_answered_503_and_a_bug_500(
    web: Web, engine: Engine, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(engine._store, "add", full)
        answer = web.post("/entries", content=ledgers.admission(tmp_path), headers=COSE)
        assert problem(answer) == (503, "storage_failed")
        assert answer.headers["retry-after"] == "1"
        assert metrics.registry.get_sample_value("vigil_ledger_refusals_total", {"code": "storage_failed"}) == 1
    inner = Web(http.metrics_app(engine, metrics))
    health = inner.get("/healthz")
    assert (health.status_code, health.json()["ok"]) == (503, False)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "checkpoint", lambda: 1 // 0)
        assert problem(web.get("/checkpoint")) == (500, "http_500")
    assert web.post("/entries", content=ledgers.admission(tmp_path), headers=COSE).status_code == 201
    assert inner.get("/healthz").status_code == 200


def test_query_parameters_that_nobody_knows_change_nothing(web: Web, engine: Engine, admitted: bytes) -> None:
    paths = ["/checkpoint", "/entries/1.1", "/tile/0/000.p/2", "/tile/entries/000.p/2", "/openapi.json"]
    for path in [*paths, "/.well-known/scitt-keys"]:
        plain, asked = web.get(path), web.get(f"{path}?api-version=2026-03-26&x=%00&x")
        assert (asked.status_code, asked.content, asked.headers) == (200, plain.content, plain.headers), path
    again = web.post("/entries?api-version=2026-03-26", content=admitted, headers=COSE)
    assert (again.status_code, again.headers["location"], engine.size) == (200, "/entries/1.1", 2)


@pytest.mark.parametrize("path", ["/tile/0/000.p/9", "/tile/0/x", "/entries/1.7", "/entries/1.0", "/nowhere"])
def test_a_problem_is_never_called_immutable(web: Web, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code in (404, 503)
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_a_checkpoint_is_text_that_may_be_kept_for_a_second(tmp_path: Path, web: Web, admitted: bytes) -> None:
    answer = web.get("/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=1"
    key = notes.NoteKey(name=ledgers.ORIGIN, kind=notes.SIGNATURE, key=ledgers.log_key(tmp_path))
    note = notes.parse(answer.text)
    assert notes.verify(note, [key]) == [(key, None)]
    assert notes.Checkpoint.from_text(note.text).size == 2


def test_tiles_are_bytes_that_never_change(web: Web, admitted: bytes) -> None:
    raws = [admitted, *(ledgers.anchor(n) for n in range(258))]
    for raw in raws[1:]:
        assert web.post("/entries", content=raw, headers=COSE).status_code == 201
    for path, width in {"0/000": 256, "0/001.p/4": 4, "0/001.p/3": 3, "0/000.p/7": 7, "1/000.p/1": 1}.items():
        answer = web.get(f"/tile/{path}")
        assert (answer.status_code, len(answer.content)) == (200, width * 32)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
    bundle = web.get("/tile/entries/001.p/4")
    assert "immutable" in bundle.headers["cache-control"]
    assert tiles.unbundle(bundle.content, 4) == [statement.entry(raw) for raw in raws[-4:]]


def test_keys_are_found_as_a_set_and_by_thumbprint(tmp_path: Path, web: Web) -> None:
    key = ledgers.log_key(tmp_path)
    answer = web.get("/.well-known/scitt-keys")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor")
    assert cbor.decode(answer.content, size_max=1000) == [key.cose_key()]
    name = base64.urlsafe_b64encode(key.thumbprint).rstrip(b"=").decode()
    answer = web.get(f"/.well-known/scitt-keys/{name}")
    assert (answer.status_code, cbor.decode(answer.content, size_max=1000)) == (200, key.cose_key())


def test_a_key_has_one_address(tmp_path: Path, web: Web) -> None:
    name = base64.urlsafe_b64encode(ledgers.log_key(tmp_path).thumbprint).rstrip(b"=").decode()
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(name[-1])
    spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last | 1]
    for other in (f"{name}=", f"{name[:9]}!{name[9:]}", f"{name}%0A", f"%20{name}", f"{name[:-1]}{spare}"):
        assert problem(web.get(f"/.well-known/scitt-keys/{other}")) == (404, "key_unknown"), other


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "Malformed request"),
        (b"\xd2\x84", "Malformed request"),
        (ledgers.anchor(1), "Rejected"),
        (
            cose.sign1(ledgers.GATEWAY, protected={1: -8}, payload=b"kept", detached=True),
            "Payload Missing",
        ),
    ],
)
def test_a_refusal_has_the_title_of_the_standard(web: Web, content: bytes, title: str) -> None:
    answer = web.post("/entries", content=content, headers=COSE)
    assert (answer.status_code, cbor.decode(answer.content, size_max=1000)[-1]) == (400, title)


def test_another_algorithm_and_an_unknown_key_have_the_titles_of_the_standard(tmp_path: Path, web: Web) -> None:
    root = ledgers.keyring.load(tmp_path, ledgers.keyring.REGISTRY_KEY)
    signed = cose.parse_sign1(ledgers.admission(tmp_path), size_max=statement.SIZE_MAX)
    raw = cose.sign1(root, protected={**signed.protected, 1: -7}, payload=signed.payload)
    answer = web.post("/entries", content=raw, headers=COSE)
    assert problem(answer) == (400, "alg_unsupported")
    assert cbor.decode(answer.content, size_max=1000)[-1] == "Bad Signature Algorithm"
    missing = web.get(f"/.well-known/scitt-keys/{'A' * 43}")
    assert cbor.decode(missing.content, size_max=1000)[-1] == "No such key"


def test_too_many_at_once_are_sent_away_and_may_come_back(
    tmp_path: Path, engine: Engine, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WAITING_MAX", 2)
    app, raw, free = http.app(engine, metrics), ledgers.admission(tmp_path), threading.Event()
    register = engine.register
    monkeypatch.setattr(engine, "register", lambda raw: free.wait(20) and register(raw))

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://log.example") as client:
            tasks = [asyncio.create_task(client.post("/entries", content=raw, headers=COSE)) for _ in range(5)]
            away = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            while sum(task.done() for task in tasks) < 3:
                away = await asyncio.wait(away[1], return_when=asyncio.FIRST_COMPLETED)
            free.set()
            found = [await task for task in tasks]
            return [*found, await client.post("/entries", content=raw, headers=COSE)]

    answers = asyncio.run(crowd())
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201, 429, 429, 429]
    busy = [answer for answer in answers if answer.status_code == 429]
    assert {problem(answer) for answer in busy} == {(429, "too_many")}
    assert {answer.headers["retry-after"] for answer in busy} == {"1"}
    assert metrics.registry.get_sample_value("vigil_ledger_refusals_total", {"code": "too_many"}) == 3


def test_many_clients_at_once_get_one_entry_for_each_statement(web: Web, tmp_path: Path, admitted: bytes) -> None:
    raws = [ledgers.anchor(n) for n in range(12)] * 8

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=web.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://log.example") as client:
            return await asyncio.gather(*(client.post("/entries", content=raw, headers=COSE) for raw in raws))

    key, found = ledgers.log_key(tmp_path), {}
    for raw, answer in zip(raws, asyncio.run(crowd()), strict=True):
        proof = receipt.check(answer.content, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
        assert answer.headers["location"] == f"/entries/1.{proof.index}"
        found.setdefault((raw, proof.index), []).append(answer.status_code)
    assert sorted(index for _, index in found) == list(range(2, 14))
    assert all(sorted(statuses) == [*[200] * 7, 201] for statuses in found.values())


def test_a_body_that_drips_is_left(engine: Engine, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_WITHIN_S", 0.05)

    async def drip() -> AsyncIterator[bytes]:
        yield b"\xd2"
        await asyncio.Event().wait()

    answer = Web(http.app(engine, metrics)).post("/entries", content=drip(), headers=COSE)
    assert problem(answer) == (408, "body_slow")


def test_the_interface_describes_every_route_and_status(web: Web) -> None:
    document = json.loads(web.get("/openapi.json").content)
    assert document["openapi"] == "3.1.0"
    routes = {
        (re.sub(r":path", "", route.path), method.lower())
        for route in web.app.routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for path, item in document["paths"].items() for method in item} == routes
    assert document["paths"]["/entries"]["post"]["responses"].keys() == {
        "200",
        "201",
        "400",
        "408",
        "413",
        "415",
        "429",
        "503",
    }


def test_operators_see_entries_refusals_sizes_and_health_on_another_port(
    web: Web, engine: Engine, metrics: Metrics, admitted: bytes
) -> None:
    web.post("/entries", content=b"", headers=COSE)
    inner = Web(http.metrics_app(engine, metrics))
    assert inner.get("/healthz").json() == {"ok": True, "tree_size": 2, "origin": ledgers.ORIGIN}
    lines = inner.get("/metrics").text.splitlines()
    assert "vigil_ledger_entries_total 1.0" in lines
    assert "vigil_ledger_tree_size 2.0" in lines
    assert 'vigil_ledger_refusals_total{code="issuer_unknown"} 0.0' in lines
    assert 'vigil_ledger_request_seconds_count{route="register"} 2.0' in lines
    assert {tuple(re.findall(r'route="(\w+)"', line)) for line in lines if "request_seconds_count" in line} == {
        ("register",)
    }
    assert inner.get("/entries/1.0").status_code == 404
