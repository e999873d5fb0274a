"""ledger/party/openapi.json says what a party answers, status by status and code by code."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from ledger import signing
from ledger.party import api, store
from ledger.signing import Message, Signed
from protocol.keys import SigningKey
from tests.support import parties
from tests.support.openapi import Document
from tests.support.parties import STRANGER, Standing
from tests.support.tools import REPOSITORY

DOCUMENT = Document.read(REPOSITORY / "ledger" / "party" / "openapi.json")
CODES = DOCUMENT.whole["x-codes"]
PEER = SigningKey.from_seed(bytes([22]) * 32)
PLAIN = {"content-type": "text/plain"}
STATEMENT = "/statements/{digest}"


async def endless() -> AsyncIterator[bytes]:
    """A body that does not end."""
    yield b""
    await asyncio.Event().wait()


class Look:
    """Asks, and holds each answer against the document. codes: that came."""

    def __init__(self, party: Standing) -> None:
        self.party, self.codes = party, set[tuple[str, str]]()

    async def ask(self, of: str, target: str = "", *, by: SigningKey | None = None, **more: object) -> httpx.Response:
        """of: the path in the document; target: as it is sent, when it has a parameter or a query."""
        method = "POST" if of == "/statements" else "GET"
        auth = None if by is None else Signed(by, now_s=parties.now_s)
        answer = await self.party.client.request(method, target or of, auth=auth, **more)
        if answer.status_code >= 400:
            found = answer.json()
            assert DOCUMENT.faults(found, {"$ref": "#/components/schemas/Problem"}) == []
            assert found["code"] in CODES[str(answer.status_code)], found
            self.codes.add((str(answer.status_code), found["code"]))
        return DOCUMENT.observe(of, answer)


async def _ordinary(look: Look) -> str:
    """What a party answers on an ordinary day; a statement's target."""
    own = look.party.key
    for path in ("/.well-known/vigil-party", "/openapi.json"):
        await look.ask(path)
    await look.ask("/whoami", by=PEER)
    queued = await look.ask("/statements", "/statements?sub=a", by=own, content=b"x", headers=PLAIN)
    target = str(queued.headers["location"])
    await look.ask(STATEMENT, target, by=own)
    await look.ask(STATEMENT, "/statements/" + "0" * 64, by=own)
    for query, content in (("", b"x"), ("?sub=a", b""), ("?sub=a", bytes(70_000)), ("?sub=", b"x")):
        await look.ask("/statements", f"/statements{query}", by=own, content=content, headers=PLAIN)
    long = {"content-type": "text/" + "x" * 2000}
    await look.ask("/statements", "/statements?sub=a", by=own, content=b"x", headers=long)
    await look.ask("/statements", "/statements?sub=a", by=PEER, content=b"x", headers=PLAIN)
    reserved = {"content-type": "application/vigil-party-key+cbor"}
    await look.ask("/statements", "/statements?sub=a", by=own, content=b"x", headers=reserved)
    await look.ask(STATEMENT, target, by=PEER)
    return target


async def _strange(look: Look, target: str, patch: pytest.MonkeyPatch) -> None:
    """What it answers to who is not known, does not end, sends too much, or comes too often."""
    places = (("/whoami", ""), ("/statements", "/statements?sub=a"), (STATEMENT, target))
    for of, path in places:
        await look.ask(of, path)
        await look.ask(of, path, by=STRANGER)
        with patch.context() as held:
            held.setattr(api, "BODY_WITHIN_S", 0.01)
            await look.ask(of, path, headers={"signature": "x"}, content=endless())
            held.setattr(api, "BODY_MAX", 0)
            await look.ask(of, path, headers={"signature": "x"}, content=b"x")
            held.undo()
            held.setattr(signing, "NONCES_PER_KEY_MAX", 0)
            await look.ask(of, path, by=look.party.key, **({"content": b"x", "headers": PLAIN} if "?" in path else {}))


async def _damaged(look: Look) -> None:
    """Every way in which a signature does not hold here."""
    url, now_s = look.party.url, parties.now_s()
    plain = Message(method="GET", url=f"{url}/whoami")

    async def send(message: Message, **changed: object) -> None:
        values = {"now_s": now_s, "nonce": "nonce-nonce-nonce", **changed}
        fields = signing.sign(message, PEER, **values)
        await look.ask("/whoami", headers={**fields, "host": httpx.URL(message.url).netloc.decode()})

    await send(plain)
    await send(plain)  # a replay
    await send(plain, now_s=now_s + 1000)
    await send(plain, now_s=now_s - 1000)
    await send(plain, nonce="short")
    await send(dataclasses.replace(plain, url="http://other.example/whoami"))
    await send(dataclasses.replace(plain, url=f"{url}/other"))
    fields = signing.sign(plain, PEER, now_s=now_s, nonce="nonce-nonce-nonce-2")
    await look.ask("/whoami", headers=fields, content=b"added")
    await look.ask("/whoami", headers={**fields, "signature": "vigil=:YWJj:"})
    await look.ask("/whoami", headers={**fields, "signature": "?"})
    posted = Message(method="POST", url=f"{url}/statements?sub=a", fields=(("content-type", "text/plain"),), body=b"x")
    fields = {**PLAIN, **signing.sign(posted, look.party.key, now_s=now_s, nonce="nonce-nonce-nonce-3")}
    await look.ask("/statements", "/statements?sub=a", headers=fields, content=b"y")


def test_every_answer_is_documented_and_every_documented_answer_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told() -> set[tuple[str, str]]:
        async with parties.spoken_to(tmp_path, peers=[PEER]) as party:
            look = Look(party)
            target = await _ordinary(look)
            await _strange(look, target, monkeypatch)
            await _damaged(look)
            with monkeypatch.context() as held:
                held.setattr(store, "WAITING_MAX", 0)
                await look.ask("/statements", "/statements?sub=b", by=party.key, content=b"x", headers=PLAIN)
            party.store.close()
            await look.ask(STATEMENT, target, by=party.key)
            return look.codes

    codes = asyncio.run(told())
    assert DOCUMENT.documented() - DOCUMENT.seen == set()
    elsewhere = {("404", "http_404"), ("405", "http_405"), ("500", "http_500")}  # of no path that is documented
    assert {(status, code) for status, named in CODES.items() for code in named} - codes == elsewhere


def test_a_statement_with_its_receipt_is_as_documented() -> None:
    shown = api.shown(
        store.Row(
            digest=bytes(32),
            statement=b"x",
            made_ms=1,
            entry_id="1.2",
            index=2,
            size=3,
            receipt=b"receipt",
            refused=None,
        )
    )
    assert shown["state"] == "receipted"
    assert DOCUMENT.faults(shown, {"$ref": "#/components/schemas/Statement"}) == []


def test_every_route_is_documented_and_nothing_else(tmp_path: Path) -> None:
    async def found() -> Starlette:
        async with parties.spoken_to(tmp_path) as party:
            assert isinstance(party.transport, httpx.ASGITransport)
            return party.transport.app

    routes = {
        (route.path, method.lower())
        for route in asyncio.run(found()).routes
        if isinstance(route, Route) and route.methods
        for method in route.methods - {"HEAD"}
    }
    assert DOCUMENT.operations().keys() == routes


def test_codes_of_signatures_are_all_named() -> None:
    assert {*CODES["401"], "signatures_too_many"} == signing.CODES
    for examples in DOCUMENT.examples():
        assert DOCUMENT.faults(*examples) == []
    assert len(DOCUMENT.examples()) == 4
