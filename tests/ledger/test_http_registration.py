"""Registering over HTTP, status by status: one statement, those whose clients do not wait, and many in one request."""

import asyncio
import socket
import sqlite3
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger import contracts
from ledger.client import PROBLEM_KEY
from ledger.http import app as http
from ledger.http import bodies, operations, registration
from ledger.http.registration import patience
from ledger.log import intake
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, cose, receipt, statement
from protocol.errors import Malformed, VigilError
from tests.support import ledgers
from tests.support.serving import served
from tests.support.web import COSE, Web, problem

CBOR = {"content-type": "application/cbor"}
LATER = {**COSE, "prefer": "respond-async"}


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
    web.register(raw)
    return raw


@pytest.fixture
def held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written before this is set."""
    free, register = threading.Event(), engine.register_many

    def wait(raws: Any) -> Any:
        assert free.wait(20)
        return register(raws)

    monkeypatch.setattr(engine, "register_many", wait)
    return free


def counted(metrics: Metrics, code: str) -> float | None:
    """How often a refusal was counted."""
    return metrics.registry.get_sample_value("vigil_ledger_refusals_total", {"code": code})


@pytest.mark.parametrize("media", ["application/cose", "application/scitt-statement+cose", "Application/COSE; a=b"])
def test_a_new_statement_is_answered_201_with_its_receipt(tmp_path: Path, engine: Engine, web: Web, media: str) -> None:
    raw, index = ledgers.admission(tmp_path), engine.size
    answer = web.post("/entries", content=raw, headers={"content-type": media})
    assert (answer.status_code, answer.headers["location"]) == (201, f"/entries/1.{index}")
    assert answer.headers["content-type"] == "application/cose"
    key = ledgers.log_key(tmp_path)
    found = receipt.check(answer.content, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert (found.index, found.size) == (index, index + 1)


def test_a_statement_that_is_there_is_answered_200_with_the_same_entry(engine: Engine, web: Web, admitted) -> None:
    index = engine.size - 1
    web.register(ledgers.anchor(1))
    answer = web.post("/entries?api-version=2026-03-26", content=admitted, headers=COSE)
    assert (answer.status_code, answer.headers["location"]) == (200, f"/entries/1.{index}")
    assert receipt.read(answer.content).size == engine.size == index + 2


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
    assert counted(metrics, code) == 1
    assert metrics.registry.get_sample_value("vigil_ledger_entries_total") == 0


@pytest.mark.parametrize("size", [statement.SIZE_MAX + 1, 1_000_000])
def test_a_statement_that_is_too_long_is_answered_413(web: Web, size: int) -> None:
    assert problem(web.post("/entries", content=bytes(size), headers=COSE)) == (413, "statement_size")

    async def chunks() -> AsyncIterator[bytes]:
        for place in range(0, size, 1000):
            yield bytes(min(1000, size - place))

    assert problem(web.post("/entries", content=chunks(), headers=COSE)) == (413, "statement_size")


def test_a_statement_in_pieces_is_put_together(tmp_path: Path, web: Web) -> None:
    raw = ledgers.admission(tmp_path)

    async def chunks() -> AsyncIterator[bytes]:
        for place in range(0, len(raw), 7):
            yield raw[place : place + 7]

    assert web.post("/entries", content=chunks(), headers=COSE).status_code == 201


@pytest.mark.parametrize("media", ["", "application/json", "application/cose+json", "text/plain"])
def test_another_media_type_is_answered_415(web: Web, media: str) -> None:
    answer = web.post("/entries", content=ledgers.anchor(1), headers={"content-type": media})
    assert problem(answer) == (415, "media_type")


@pytest.mark.parametrize("path", ["/entries", "/batches"])
def test_a_body_that_drips_is_left(web: Web, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(bodies, "WITHIN_S", 0.05)

    async def drip() -> AsyncIterator[bytes]:
        yield b"\xd2"
        await asyncio.Event().wait()

    headers = COSE if path == "/entries" else CBOR
    assert problem(web.post(path, content=drip(), headers=headers)) == (408, "body_slow")


def test_who_drips_a_body_loses_the_connection(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WITHIN_S", 0.05)
    head = b"POST /entries HTTP/1.1\r\nhost: a\r\ncontent-type: application/cose\r\ncontent-length: 99\r\n\r\n"
    with served(web.app) as url, socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10) as to:
        to.sendall(head + b"\xd2")
        found = b""
        while part := to.recv(65_536):
            found += part
    assert found.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("path", ["/entries", "/batches"])
def test_a_client_that_goes_away_leaves_nothing(web: Web, engine: Engine, path: str) -> None:
    media = b"application/cose" if path == "/entries" else b"application/cbor"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(b"content-type", media)], "http_version": "1.1", "scheme": "http", "server": ("log", 80)}
    messages = [{"type": "http.request", "body": b"\xd2", "more_body": True}, {"type": "http.disconnect"}]
    size, sent = engine.size, []

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    asyncio.run(web.app(scope, receive, send))  # type: ignore[arg-type]
    assert engine.size == size
    assert [one["status"] for one in sent if "status" in one] in ([], [400])


def test_a_disk_that_fails_is_answered_503_and_a_bug_500(
    web: Web, engine: Engine, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    raw = ledgers.admission(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(engine._store, "add", full)
        answer = web.post("/entries", content=raw, headers=COSE)
        assert problem(answer) == (503, "storage_failed")
        assert answer.headers["retry-after"] == "1"
        assert counted(metrics, "storage_failed") == 1
    inner = Web(http.metrics_app(engine, metrics))
    health = inner.get("/healthz")
    assert (health.status_code, health.json()["ok"]) == (503, False)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "register_many", lambda _: 1 // 0)
        assert problem(web.post("/entries", content=raw, headers=COSE)) == (500, "http_500")
    assert web.post("/entries", content=raw, headers=COSE).status_code == 201
    assert inner.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "Malformed request"),
        (b"\xd2\x84", "Malformed request"),
        (ledgers.anchor(1), "Rejected"),
        (cose.sign1(ledgers.GATEWAY, protected={1: -8}, payload=b"kept", detached=True), "Payload Missing"),
    ],
)
def test_a_refusal_has_the_title_of_the_standard(web: Web, content: bytes, title: str) -> None:
    answer = web.post("/entries", content=content, headers=COSE)
    assert (answer.status_code, cbor.decode(answer.content, size_max=1000)[-1]) == (400, title)


def test_another_algorithm_has_the_title_of_the_standard(tmp_path: Path, web: Web) -> None:
    root = ledgers.keyring.load(tmp_path, ledgers.keyring.REGISTRY_KEY)
    signed = cose.parse_sign1(ledgers.admission(tmp_path), size_max=statement.SIZE_MAX)
    raw = cose.sign1(root, protected={**signed.protected, 1: -7}, payload=signed.payload)
    answer = web.post("/entries", content=raw, headers=COSE)
    assert problem(answer) == (400, "alg_unsupported")
    assert cbor.decode(answer.content, size_max=1000)[-1] == "Bad Signature Algorithm"


def test_too_many_at_once_are_sent_away_and_may_come_back(
    engine: Engine, metrics: Metrics, admitted: bytes, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake.Intake.__init__, "__kwdefaults__", {"waiting_max": 2})
    web = Web(http.app(engine, metrics))

    async def crowd(client: httpx.AsyncClient) -> list[httpx.Response]:
        tasks = [asyncio.create_task(client.post("/entries", content=admitted, headers=COSE)) for _ in range(5)]
        while sum(task.done() for task in tasks) < 3:
            await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        held.set()
        found = [await task for task in tasks]
        return [*found, await client.post("/entries", content=admitted, headers=COSE)]

    answers = web.together(crowd)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429, 429]
    busy = [answer for answer in answers if answer.status_code == 429]
    assert {problem(answer) for answer in busy} == {(429, "too_many")}
    assert {answer.headers["retry-after"] for answer in busy} == {"1"}
    assert counted(metrics, "too_many") == 3


def test_many_clients_at_once_get_one_entry_for_each_statement(
    web: Web, engine: Engine, tmp_path: Path, admitted: bytes
) -> None:
    raws, first = [ledgers.anchor(n) for n in range(12)] * 8, engine.size

    async def crowd(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/entries", content=raw, headers=COSE) for raw in raws))

    key, found = ledgers.log_key(tmp_path), {}
    for raw, answer in zip(raws, web.together(crowd), strict=True):
        proof = receipt.check(answer.content, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
        assert answer.headers["location"] == f"/entries/1.{proof.index}"
        found.setdefault((raw, proof.index), []).append(answer.status_code)
    assert sorted(index for _, index in found) == list(range(first, first + 12))
    assert all(sorted(statuses) == [*[200] * 7, 201] for statuses in found.values())


# Those whose clients do not wait


async def ended(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """What a registration that ran came to."""
    answer = await client.get(path)
    while answer.status_code == 302:
        await asyncio.sleep(0)
        answer = await client.get(answer.headers["location"])
    return answer


def test_a_client_that_does_not_wait_asks_until_there_is_a_receipt(
    tmp_path: Path, web: Web, engine: Engine, held: threading.Event
) -> None:
    raw, index = ledgers.admission(tmp_path), engine.size

    async def later(client: httpx.AsyncClient) -> list[httpx.Response]:
        accepted = await client.post("/entries", content=raw, headers=LATER)
        path = accepted.headers["location"]
        running = await client.get(f"{path}?api-version=2026-03-26")
        held.set()
        return [accepted, running, await ended(client, path), await client.get(path)]

    accepted, running, done, again = web.together(later)
    assert accepted.status_code == 303
    path = accepted.headers["location"]
    assert path.startswith("/entries/0.")
    assert (accepted.content, accepted.headers["retry-after"]) == (b"", "1")
    assert accepted.headers["preference-applied"] == "respond-async"
    assert (running.status_code, running.content) == (302, b"")
    assert (running.headers["location"], running.headers["retry-after"]) == (path, "1")
    for answer in (done, again):
        assert (answer.status_code, answer.headers["location"]) == (200, f"/entries/1.{index}")
        assert answer.headers["cache-control"] == "no-store"
        key = ledgers.log_key(tmp_path)
        receipt.check(answer.content, entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)


@pytest.mark.parametrize("within_s", [0.0, 0.02])
def test_a_statement_that_takes_too_long_goes_on_after_303(
    tmp_path: Path, engine: Engine, metrics: Metrics, held: threading.Event, within_s: float
) -> None:
    web = Web(http.app(engine, metrics, answer_within_s=within_s))

    async def slow(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        accepted = await client.post("/entries", content=ledgers.admission(tmp_path), headers=COSE)
        held.set()
        return accepted, await ended(client, accepted.headers["location"])

    accepted, done = web.together(slow)
    assert (accepted.status_code, done.status_code) == (303, 200)
    assert "preference-applied" not in accepted.headers


def test_the_statement_of_a_registration_leads_to_the_transparent_one(
    tmp_path: Path, web: Web, held: threading.Event
) -> None:
    raw = ledgers.admission(tmp_path)

    async def later(client: httpx.AsyncClient) -> list[httpx.Response]:
        path = (await client.post("/entries", content=raw, headers=LATER)).headers["location"]
        running = await client.get(f"{path}/statement")
        held.set()
        await ended(client, path)
        done = await client.get(f"{path}/statement")
        return [running, done, await client.get(done.headers["location"])]

    running, done, transparent = web.together(later)
    assert (running.status_code, running.headers["retry-after"]) == (302, "1")
    assert running.headers["location"].endswith("/statement")
    assert (done.status_code, transparent.status_code) == (303, 200)
    assert receipt.detach(transparent.content)[0] == raw


def test_a_refusal_that_comes_later_is_found_where_the_receipt_would_be(web: Web, metrics: Metrics) -> None:
    async def later(client: httpx.AsyncClient) -> httpx.Response:
        accepted = await client.post("/entries", content=ledgers.anchor(1), headers=LATER)
        assert accepted.status_code == 303
        return await ended(client, accepted.headers["location"])

    answer = web.together(later)
    assert problem(answer) == (400, "issuer_unknown")
    assert answer.headers["cache-control"] == "no-store"
    assert counted(metrics, "issuer_unknown") == 1


@pytest.mark.parametrize("name", ["0.0", "0.1", "0.01", "0.x", "0.", "0.²", "0.99999999999999999999", "0.-1"])
def test_a_registration_that_nobody_knows_is_not_found(web: Web, name: str) -> None:
    answer = web.get(f"/entries/{name}")
    assert problem(answer) == (404, "operation_unknown")
    assert cbor.decode(answer.content, size_max=1000)[-1] == "Operation Not Found"


def test_the_oldest_outcome_is_forgotten_and_its_statement_found_again(
    web: Web, tmp_path: Path, admitted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "ENDED_MAX", 2)

    async def three(client: httpx.AsyncClient) -> list[httpx.Response]:
        paths = []
        for n in range(3):
            accepted = await client.post("/entries", content=ledgers.anchor(n), headers=LATER)
            paths.append(accepted.headers["location"])
            await ended(client, paths[-1])
        await asyncio.sleep(0)  # the loop has counted the last one too
        found = [await client.get(path) for path in paths]
        return [*found, await client.post("/entries", content=ledgers.anchor(0), headers=COSE)]

    forgotten, second, third, again = web.together(three)
    assert problem(forgotten) == (404, "operation_unknown")
    assert (second.status_code, third.status_code, again.status_code) == (200, 200, 200)


def test_too_many_that_run_are_sent_away(web: Web, held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "RUNNING_MAX", 1)

    async def two(client: httpx.AsyncClient) -> list[httpx.Response]:
        found = [await client.post("/entries", content=ledgers.anchor(n), headers=LATER) for n in range(2)]
        held.set()
        await ended(client, found[0].headers["location"])
        return found

    first, second = web.together(two)
    assert first.status_code == 303
    assert problem(second) == (429, "too_many")


def test_no_number_of_an_earlier_run_is_given_again(engine: Engine, metrics: Metrics) -> None:
    names = []
    for _ in range(2):
        web = Web(http.app(engine, metrics))

        async def later(client: httpx.AsyncClient) -> str:
            accepted = await client.post("/entries", content=ledgers.anchor(1), headers=LATER)
            await ended(client, accepted.headers["location"])
            return str(accepted.headers["location"])

        names.append(web.together(later))
    assert names[0] < names[1]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", registration.ANSWER_WITHIN_S),
        ("return=minimal", registration.ANSWER_WITHIN_S),
        ("wait=1", registration.ANSWER_WITHIN_S),
        ("respond-async", 0.0),
        ("Respond-Async, wait=2", 2.0),
        ("return=minimal, respond-async; wait=0", 0.0),
        ("respond-async, wait=100000000000000000000", registration.ANSWER_WITHIN_S),
        ("respond-async, wait=-1", 0.0),
        ("respond-async, wait=\xb2", 0.0),
    ],
)
def test_a_preference_says_how_long_a_client_waits(said: str, seconds: float) -> None:
    assert patience(said) == seconds


def test_an_outcome_keeps_nothing_of_its_statement() -> None:
    async def end() -> operations.Outcome | None:
        found = operations.Operations(first=1)

        async def refuse(raw: bytes) -> Any:
            raise VigilError("statement_bad", f"{len(raw)} bytes")

        running = asyncio.ensure_future(refuse(bytes(65_536)))
        name = found.add(running)
        assert found.find(name) is None
        await asyncio.wait((running,))
        await asyncio.sleep(0)  # the loop has counted it
        return found.find(name)

    outcome = asyncio.run(end())
    assert isinstance(outcome, VigilError)
    assert (outcome.code, outcome.__traceback__, outcome.__context__) == ("statement_bad", None, None)


# Many in one request


def verdicts(answer: httpx.Response) -> list[dict[str, Any]]:
    """The verdicts of a batch."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor"), answer.content
    found = cbor.decode(answer.content, size_max=1_000_000)
    assert isinstance(found, list)
    return found


def test_each_statement_of_a_batch_has_a_verdict_of_its_own(
    tmp_path: Path, web: Web, engine: Engine, metrics: Metrics, admitted: bytes
) -> None:
    raws = [ledgers.anchor(1), b"", ledgers.anchor(2, ledgers.STRANGER), ledgers.anchor(1), admitted]
    raws += [bytes(statement.SIZE_MAX + 1), ledgers.anchor(2)]
    first, key = engine.size, ledgers.log_key(tmp_path)
    found = verdicts(web.post("/batches", content=cbor.encode(raws), headers=CBOR))
    assert [one["status"] for one in found] == [201, 400, 400, 200, 200, 413, 201]
    codes = [one["problem"][PROBLEM_KEY]["code"] for one in found if "problem" in one]
    assert codes == ["cose_tag", "issuer_unknown", "statement_size"]
    assert [one["entry"] for one in found if "entry" in one] == [
        f"1.{index}" for index in (first, first, first - 1, first + 1)
    ]
    for raw, one in zip(raws, found, strict=True):
        assert one.keys() == ({"status", "problem"} if one["status"] >= 400 else {"status", "entry", "receipt"})
        if "receipt" in one:
            receipt.check(one["receipt"], entry=statement.entry(raw), key=key, thumbprint=key.thumbprint)
    assert (counted(metrics, "cose_tag"), counted(metrics, "issuer_unknown")) == (1, 1)
    assert metrics.registry.get_sample_value("vigil_ledger_entries_total") == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "cbor_invalid"),
        (cbor.encode([]), "batch_shape"),
        (cbor.encode({"a": b""}), "batch_shape"),
        (cbor.encode([b"", "text"]), "batch_shape"),
        (cbor.encode([[b""]]), "batch_shape"),
        (cbor.encode([b""] * 257), "batch_shape"),
        (cbor.encode([b"a"])[:-1], "cbor_invalid"),
        (cbor.encode([b"a"]) + b"\x00", "cbor_not_deterministic"),
        (b"\x9f\x41a\xff", "cbor_invalid"),
        (b"\x81\x5f\x41a\xff", "cbor_invalid"),
        (b"\x81\x58\x01a", "cbor_not_deterministic"),
        (b"\x98\x01\x41a", "cbor_not_deterministic"),
        (b"\x82\x41a", "cbor_invalid"),
        (b"\x81\x5b" + b"\xff" * 8, "cbor_invalid"),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(
    web: Web, engine: Engine, metrics: Metrics, body: bytes, code: str
) -> None:
    size = engine.size
    assert problem(web.post("/batches", content=body, headers=CBOR)) == (400, code)
    assert counted(metrics, code) == (1 if code in contracts.CODES else None)
    assert engine.size == size


@pytest.mark.parametrize(
    "head", [b"\x9a\x00\x01\x86\xa0", b"\x81\x9a\x00\x01\x86\xa0", b"\x82\x41a\x9a\x00\x01\x86\xa0"]
)
@pytest.mark.parametrize("part", [b"\xa0", b"\x80", b"\x00"])
def test_a_batch_of_countless_parts_costs_nothing(head: bytes, part: bytes) -> None:
    """Anybody may send one, and the loop that reads it answers everybody."""
    body = head + part * 100_000
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="batch_shape"):
            registration.statements_of(body)
        assert tracemalloc.get_traced_memory()[1] < len(body) // 4
    finally:
        tracemalloc.stop()


def test_a_batch_has_at_most_four_mebibytes_and_one_media_type(web: Web) -> None:
    body = bytes(registration.BATCH_SIZE_MAX + 1)
    assert problem(web.post("/batches", content=body, headers=CBOR)) == (413, "batch_size")
    assert problem(web.post("/batches", content=cbor.encode([b""]), headers=COSE)) == (415, "media_type")
    largest = cbor.encode([bytes(statement.SIZE_MAX)] * 63)
    assert [one["status"] for one in verdicts(web.post("/batches", content=largest, headers=CBOR))] == [400] * 63


def test_batches_that_are_too_many_at_once_are_sent_away(
    web: Web, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "BATCHES_MAX", 2)
    body = cbor.encode([ledgers.anchor(1)])

    async def crowd(client: httpx.AsyncClient) -> list[httpx.Response]:
        tasks = [asyncio.create_task(client.post("/batches", content=body, headers=CBOR)) for _ in range(3)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        held.set()
        return [*[await task for task in tasks], await client.post("/batches", content=body, headers=CBOR)]

    answers = web.together(crowd)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429]
    assert {problem(answer) for answer in answers if answer.status_code == 429} == {(429, "too_many")}


def test_a_batch_that_takes_too_long_is_found_when_it_is_sent_again(
    web: Web, engine: Engine, tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = cbor.encode([ledgers.admission(tmp_path)])

    async def slow(client: httpx.AsyncClient) -> list[httpx.Response]:
        with monkeypatch.context() as patch:
            patch.setattr(registration, "BATCH_WITHIN_S", 0.02)
            late = await client.post("/batches", content=body, headers=CBOR)
        held.set()
        return [late, await client.post("/batches", content=body, headers=CBOR)]

    late, again = web.together(slow)
    assert problem(late) == (503, "batch_slow")
    assert [one["status"] for one in verdicts(again)] == [200]


def test_nothing_of_a_statement_is_in_the_counters(web: Web, engine: Engine, metrics: Metrics, admitted: bytes) -> None:
    look: Callable[[str], httpx.Response] = Web(http.metrics_app(engine, metrics)).get
    web.post("/entries", content=b"", headers=COSE)
    assert look("/healthz").json() == {"ok": True, "tree_size": engine.size, "origin": ledgers.ORIGIN}
    lines = look("/metrics").text.splitlines()
    assert "vigil_ledger_entries_total 1.0" in lines
    assert f"vigil_ledger_tree_size {engine.size}.0" in lines
    assert 'vigil_ledger_refusals_total{code="issuer_unknown"} 0.0' in lines
    assert 'vigil_ledger_request_seconds_count{route="register"} 2.0' in lines
    assert "clinic" not in "\n".join(lines)
    assert look("/entries/1.0").status_code == 404
