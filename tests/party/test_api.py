"""A party's own addresses over real HTTP: who may do what, and everything that is refused."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from ledger import signing
from ledger.party import api, service, store
from ledger.party.metrics import Metrics
from ledger.party.mount import Face, Slice
from ledger.party.node import Node
from ledger.party.peer import Peer, PeerRefused
from ledger.party.settings import Settings
from ledger.questions import Question
from ledger.signing import Message
from protocol import documents, statement
from protocol.errors import Malformed, NotFound, Unavailable
from protocol.keys import SigningKey
from tests.support import exposition, parties
from tests.support.parties import STRANGER, Standing

WRITER, PEER = SigningKey.from_seed(bytes([21]) * 32), SigningKey.from_seed(bytes([22]) * 32)
NONCE = "nonce-nonce-nonce-1"


def story(told: Callable[[Standing], Coroutine[Any, Any, None]], tmp_path: Path, **more: object) -> None:
    """Run a coroutine with a party that has no ledger."""

    async def run() -> None:
        async with parties.spoken_to(tmp_path, writers=[WRITER], peers=[PEER], **more) as party:
            await told(party)

    asyncio.run(run())


async def send(party: Standing, message: Message, *, to: str | None = None) -> httpx.Response:
    """The answer to a message as it is, signatures and all."""
    target = httpx.URL(message.url).raw_path.decode()
    host = httpx.URL(message.url).netloc.decode()
    fields = [("host", host), *((name, value) for name, value in message.fields)]
    return await party.client.request(message.method, (to or party.url) + target, headers=fields, content=message.body)


def asked(party: Standing, key: SigningKey, path: str = "/whoami", **changed: object) -> Message:
    """A signed question."""
    message = Message(method="GET", url=f"{party.url}{path}")
    values = {"now_s": parties.now_s(), "nonce": NONCE, **changed}
    return dataclasses.replace(message, fields=tuple(signing.sign(message, key, **values).items()))


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == api.PROBLEM_TYPE


def test_anybody_reads_who_it_is(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        async with party.called_by(STRANGER) as stranger:
            assert await stranger.about() == ("clinic", party.key.public)
        facts = (await party.client.get("/.well-known/vigil-party")).json()
        assert facts["thumbprint"] == party.key.public.thumbprint.hex() and facts["urn"] == party.key.public.urn
        assert str(party.key.seed.hex()) not in str(facts)

    story(told, tmp_path)


def test_who_calls_is_known_by_their_key_and_nobody_else_is(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        for key in (WRITER, PEER, party.key):
            async with party.called_by(key) as peer:
                assert await peer.whoami() == key.public.thumbprint
        async with party.called_by(STRANGER) as stranger:
            with pytest.raises(PeerRefused, match="signature_key_unknown"):
                await stranger.whoami()

    story(told, tmp_path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda message: dataclasses.replace(message, fields=()), "signature_missing"),
        (lambda message: dataclasses.replace(message, method="POST", url=message.url + "?a=1"), "http_405"),
        (lambda message: dataclasses.replace(message, url=message.url + "?a=1"), "signature_bad"),
        (lambda message: dataclasses.replace(message, body=b"x"), "signature_components"),
    ],
)
def test_what_is_not_signed_or_was_altered_is_refused(
    tmp_path: Path, change: Callable[[Message], Message], code: str
) -> None:
    async def told(party: Standing) -> None:
        answer = await send(party, change(asked(party, PEER)))
        refused(answer, 405 if code == "http_405" else 401, code)
        if answer.status_code == 401:
            assert answer.headers["accept-signature"] == signing.ACCEPT and answer.headers["www-authenticate"]

    story(told, tmp_path)


def test_what_was_sent_before_is_refused(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        message = asked(party, PEER)
        assert (await send(party, message)).status_code == 200
        refused(await send(party, message), 401, "signature_replayed")

    story(told, tmp_path)


def test_what_is_too_old_or_of_a_time_to_come_is_refused(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        late = parties.now_s() - signing.LIFETIME_S - signing.SKEW_S - 5
        refused(await send(party, asked(party, PEER, now_s=late)), 401, "signature_expired")
        early = parties.now_s() + signing.SKEW_S + 60
        refused(await send(party, asked(party, PEER, now_s=early)), 401, "signature_early")
        before = parties.now_s() - 20  # still valid, and from before this process began
        refused(await send(party, asked(party, PEER, now_s=before)), 401, "signature_expired")

    story(told, tmp_path)


def test_a_request_to_another_party_cannot_be_handed_on(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        other = dataclasses.replace(party, url="http://other.example:8091")
        refused(await send(party, asked(other, PEER), to=party.url), 401, "signature_elsewhere")

    story(told, tmp_path)


def test_behind_a_proxy_it_answers_to_the_name_that_others_call(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        named = dataclasses.replace(party, url="http://party.example")
        assert (await send(party, asked(named, PEER), to=party.url)).status_code == 200
        refused(await send(party, asked(party, PEER)), 401, "signature_elsewhere")

    story(told, tmp_path, authorities=("party.example",))


def test_a_writer_queues_and_reads_and_the_party_signs(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        async with party.called_by(WRITER) as writer:
            digest = await writer.queue(b'{"lot": 1}', content_type="application/json", sub="lot ä/1")
            again = await writer.queue(b'{"lot": 1}', content_type="application/json", sub="lot ä/1")
            said = await writer.statement(digest)
        assert again == digest and (said.state, said.receipt, said.refused) == ("waiting", None, None)
        found = statement.parse(party.store.find(digest).statement)
        statement.verify(found, party.key.public, thumbprint=party.key.public.thumbprint)
        assert (found.iss, found.sub, found.content_type) == (party.key.public.urn, "lot ä/1", "application/json")
        assert found.payload == b'{"lot": 1}' and not found.hashed
        assert party.store.counts().waiting == 1

    story(told, tmp_path)


def test_of_a_hashed_document_the_party_keeps_nothing_but_the_hash(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        digest = await party.queue(b"the secret document")
        found = statement.parse(party.store.find(digest).statement)
        assert found.hashed

    story(told, tmp_path)
    assert b"the secret document" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_peer_may_call_and_have_nothing_signed_nor_read_what_was(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        digest = await party.queue(b"x")
        async with party.called_by(PEER) as peer:
            with pytest.raises(PeerRefused, match="caller_not_allowed"):
                await peer.queue(b"x", content_type="text/plain", sub="x")
            with pytest.raises(PeerRefused, match="caller_not_allowed"):
                await peer.statement(digest)
        refused(await party.client.post("/statements?sub=x", content=b"x"), 401, "signature_missing")
        assert party.store.counts().waiting == 1

    story(told, tmp_path)


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("", b"x", "query_bad"),
        ("?sub=a&sub=b", b"x", "query_bad"),
        ("?sub=a&hashed=maybe", b"x", "query_bad"),
        ("?sub=a&more=1", b"x", "query_bad"),
        ("?sub=", b"x", "statement_claims"),
        ("?sub=" + "a" * 1025, b"x", "statement_claims"),
        ("?sub=a", b"", "document_empty"),
        ("?sub=a", b"x" * 66_000, "statement_size"),
    ],
)
def test_what_no_statement_can_be_made_of_is_refused(tmp_path: Path, query: str, body: bytes, code: str) -> None:
    async def told(party: Standing) -> None:
        async with party.called_by(WRITER) as writer:
            with pytest.raises(PeerRefused) as caught:
                await writer.send("POST", f"/statements{query}", body, content_type="text/plain")
        assert caught.value.code == code
        assert party.store.counts().waiting == 0

    story(told, tmp_path)


@pytest.mark.parametrize("content_type", [documents.PARTY_KEY, documents.REVOCATION, documents.ANCHOR.upper()])
def test_a_writer_cannot_have_the_partys_key_changed_or_revoked(tmp_path: Path, content_type: str) -> None:
    async def told(party: Standing) -> None:
        async with party.called_by(WRITER) as writer:
            with pytest.raises(PeerRefused, match="type_reserved"):
                await writer.queue(b"x", content_type=content_type, sub="x")
        assert party.store.counts().waiting == 0

    story(told, tmp_path)


def test_a_statement_that_it_has_not_made_is_not_found(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        async with party.called_by(WRITER) as writer:
            with pytest.raises(NotFound, match="statement_unknown"):
                await writer.statement(bytes(32))
            with pytest.raises(NotFound, match="statement_unknown"):
                await writer.send("GET", "/statements/ABC")
            with pytest.raises(NotFound, match="http_404"):
                await writer.send("GET", "/nothing")

    story(told, tmp_path)


def test_a_body_that_is_too_long_is_read_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BODY_MAX", 1000)

    async def told(party: Standing) -> None:
        async with party.called_by(WRITER) as writer:
            with pytest.raises(PeerRefused, match="body_size"):
                await writer.queue(b"x" * 1001, content_type="text/plain", sub="x", hashed=True)
            await writer.queue(b"x" * 1000, content_type="text/plain", sub="x", hashed=True)

    story(told, tmp_path)


def test_a_full_outbox_says_when_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WAITING_MAX", 1)

    async def told(party: Standing) -> None:
        await party.queue(b"1")
        async with party.called_by(party.key) as writer:
            with pytest.raises(Unavailable, match="outbox_full"):
                await writer.queue(b"2", content_type="text/plain", sub="x")

    story(told, tmp_path)


class Weather(Question[str]):
    """Something that one use case knows."""


def _slice(name: str = "supply", held: list[str] | None = None) -> Slice:
    """A use case that captures events, and writes down when it was opened and closed."""
    steps = [] if held is None else held

    def routes(node: Node) -> list[Route]:
        async def capture(request: Request) -> JSONResponse:
            content = await api.body(request)
            caller = await node.caller(request.scope, content)
            digest = await node.queue(content, content_type="text/plain", sub="event")
            return JSONResponse({"caller": caller.hex(), "digest": digest.hex(), "weather": node.ask(Weather())})

        return [Route("/capture", capture, methods=["POST"])]

    def pages(node: Node) -> list[Route]:
        async def home(_: Request) -> PlainTextResponse:
            return PlainTextResponse(f"events of {node.name}")

        return [Route("/", home)]

    @contextlib.asynccontextmanager
    async def opened(node: Node) -> AsyncIterator[Face]:
        steps.append(f"opened in {node.folder.name}")
        yield Face(routes=routes(node), pages=pages(node), answers={Weather: lambda _: f"fine at {node.name}"})
        steps.append("closed")

    return Slice(name=name, opened=opened)


def test_a_use_case_finds_its_party_under_its_routes_and_pages(tmp_path: Path) -> None:
    held: list[str] = []

    async def told(party: Standing) -> None:
        assert held == [f"opened in {tmp_path.name}"]
        assert (await party.client.get("/supply/pages/")).text == "events of clinic"
        async with party.called_by(PEER) as peer:
            said = json.loads(await peer.send("POST", "/supply/capture", b"shipped", content_type="text/plain"))
        assert said["weather"] == "fine at clinic"
        assert party.store.counts().waiting == 1
        refused(await party.client.post("/supply/capture", content=b"x"), 401, "signature_missing")

    story(told, tmp_path, slices=(_slice(held=held),))
    assert held[-1] == "closed"


def test_a_question_has_one_answer_at_a_party(tmp_path: Path) -> None:
    async def told(_: Standing) -> None:
        raise AssertionError("it does not start")

    with pytest.raises(AssertionError, match="answer one question"):
        story(told, tmp_path, slices=(_slice(), _slice("records")))


def test_what_is_said_in_a_thread_wakes_the_outbox_of_the_loop(tmp_path: Path) -> None:
    with parties.folder(tmp_path) as (key, store):
        node = Node(
            key=key,
            chosen=Settings(state=tmp_path),
            store=store,
            writers={},
            peers={},
            now_ms=parties.now_ms,
            admitted=lambda _: None,
        )
        told: list[str] = []
        node.queued_elsewhere = lambda: told.append("woken")
        digest = node.say(b"a lot", content_type="text/plain", sub="lot 1")
        assert told == ["woken"] and store.find(digest).state == node.stands(digest) == "waiting"
        store.refuse(digest, "issuer_not_allowed", now_ms=0)
        assert node.stands(digest) == "issuer_not_allowed"
        assert node.stands(bytes(32)) == "statement_unknown"


def test_two_use_cases_cannot_have_one_place(tmp_path: Path) -> None:
    async def told(_: Standing) -> None:
        raise AssertionError("it does not start")

    with pytest.raises(AssertionError, match="two use cases have one name"):
        story(told, tmp_path, slices=(_slice(), _slice()))


def test_counters_are_there_from_the_start_and_count(tmp_path: Path) -> None:
    metrics = Metrics()

    async def told(party: Standing) -> None:
        operator = httpx.ASGITransport(app=service.metrics_app(party.store, metrics))
        async with httpx.AsyncClient(base_url="http://operator", transport=operator) as client:
            before = exposition.read((await client.get("/metrics")).text)
            await party.client.get("/whoami")
            await party.queue(b"x")
            after = (await client.get("/metrics")).text
            health = (await client.get("/healthz")).json()
        assert before.keys() == exposition.read(after).keys()
        assert 'vigil_party_requests_refused_total{code="signature_missing"} 1.0' in after
        assert 'vigil_party_statements{state="waiting"} 1.0' in after
        assert health == {"ok": True, "waiting": 1, "conflicts": 0}

    story(told, tmp_path, metrics=metrics)


def test_storage_that_fails_is_said_and_the_party_keeps_answering(tmp_path: Path) -> None:
    async def told(party: Standing) -> None:
        party.store.close()
        async with party.called_by(party.key) as writer:
            with pytest.raises(Unavailable, match="store_failing"):
                await writer.queue(b"x", content_type="text/plain", sub="x")
            assert await writer.whoami() == party.key.public.thumbprint
        operator = httpx.ASGITransport(app=service.metrics_app(party.store, Metrics()))
        async with httpx.AsyncClient(base_url="http://operator", transport=operator) as client:
            health = await client.get("/healthz")
        assert (health.status_code, health.json()) == (503, {"ok": False, "code": "store_failing"})

    story(told, tmp_path)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"name": 1}', b"\xff"])
def test_an_answer_without_sense_is_an_error_that_has_a_code(body: bytes) -> None:
    async def told() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(body)))
        async with Peer("http://other.test", key=PEER, now_s=parties.now_s, transport=transport) as peer:
            with pytest.raises(Malformed, match="peer_answer"):
                await peer.about()

    asyncio.run(told())


def test_a_peer_whose_answer_drips_is_left() -> None:
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.005)
                yield b" "

    async def told() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Dripping()))
        async with Peer(
            "http://other.test", key=PEER, now_s=parties.now_s, timeout_s=0.05, transport=transport
        ) as peer:
            with pytest.raises(Unavailable, match="peer_unreachable"):
                async with asyncio.timeout(5):
                    await peer.about()

    asyncio.run(told())
