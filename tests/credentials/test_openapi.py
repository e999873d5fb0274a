"""ledger/credentials/api/openapi.json says what a party answers of credentials: routes, answers, examples."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Mount, Route

from ledger.credentials.slice import SLICE
from ledger.credentials.vc import did, secured
from ledger.credentials.wallet import Kept, Wallet
from ledger.party import settings
from ledger.party.mount import PAGES
from ledger.signing import Signed
from protocol.keys import SigningKey
from tests.support import parties, staffing
from tests.support.openapi import Document
from tests.support.parties import STRANGER, Standing
from tests.support.tools import REPOSITORY

DOCUMENT = Document.read(REPOSITORY / "ledger" / "credentials" / "api" / "openapi.json")
PEER = SigningKey.from_seed(bytes([22]) * 32)
HOLDER = did.did_key(SigningKey.from_seed(bytes([7]) * 32).public)
FIELDS = {"givenName": "Ada", "familyName": "Byron", "jurisdiction": "US-CA", "licenceNumber": "RN-123456"}
LICENCE = {"type": "StateLicence", "fields": {**FIELDS, "licenceType": "Registered nurse"}, "holder": HOLDER}
ONE = "/credentials/issued/{id}"
SETTINGS = {"did": "did:web:board.example", "vc_api": True, "peers": (PEER.public.x.hex(),)}
V2 = ["https://www.w3.org/ns/credentials/v2"]


class Look:
    """Asks, and holds each answer against the document."""

    def __init__(self, party: Standing) -> None:
        self._party = party

    async def ask(
        self, of: str, target: str = "", *, body: object = None, by: SigningKey | None = None, **headers: str
    ) -> httpx.Response:
        """of: the path in the document; target: as it is sent; body: POSTed as JSON; by: whose signature."""
        auth = None if by is None else Signed(by, now_s=parties.now_s)
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers = {"content-type": "application/json", **headers}
        method = "GET" if body is None else "POST"
        answer = await self._party.client.request(method, target or of, auth=auth, content=content, headers=headers)
        return DOCUMENT.observe(of, answer)


def told(folder: Path, story: Callable[[Standing, Look], Awaitable[None]]) -> None:
    async def run() -> None:
        async with (
            staffing.world(folder) as world,
            world.party("board", accredited=["StateLicence"], **SETTINGS) as party,
        ):
            await story(party, Look(party))

    asyncio.run(run())


async def _issuer(look: Look, own: SigningKey) -> dict[str, Any]:
    made = (await look.ask("/credentials/issued", body=LICENCE, by=own)).json()
    one = f"/credentials/issued/{made['id']}"
    await look.ask("/credentials/issued", by=own)
    await look.ask(ONE, one, by=own)
    await look.ask(f"{ONE}/{{event}}", f"{one}/suspend", body={"reason": "audit"}, by=own)
    await look.ask(f"{ONE}/{{event}}", f"{one}/reinstate", body={"reason": "over"}, by=own)
    await look.ask(f"{ONE}/refresh", f"{one}/refresh", body={}, by=own)
    await look.ask("/credentials/lists", body={"again": True}, by=own)
    await look.ask("/credentials/keys", body={}, by=own)
    await look.ask("/credentials/keys/stolen", body={"since": [1, 4]}, by=own)
    found: dict[str, Any] = made
    return found


async def _refused(look: Look, own: SigningKey) -> None:
    nobody = "/credentials/issued/" + "0" * 32
    for of, target, body, bad in (
        ("/credentials/issued", "", LICENCE, {}),
        (f"{ONE}/refresh", f"{nobody}/refresh", {}, {"more": 1}),
        (f"{ONE}/{{event}}", f"{nobody}/revoke", {"reason": "x"}, {}),
        ("/credentials/lists", "", {}, {"again": 1}),
        ("/credentials/keys", "", {}, {"more": 1}),
        ("/credentials/keys/stolen", "", {"since": [1, 4]}, {}),
        ("/credentials/questions", "", {}, {"more": 1}),
        ("/credentials/verify", "", {"shown": "e30="}, {}),
    ):
        await look.ask(of, target, body=body)
        await look.ask(of, target, body=body, by=STRANGER)
        if of not in ("/credentials/questions", "/credentials/verify"):
            await look.ask(of, target, body=body, by=PEER)
        await look.ask(of, target, body=bad, by=own)
        await look.ask(of, target, body={"x": "x" * 1_048_577}, by=own)
        if "{id}" in of:
            await look.ask(of, target, body=body, by=own)
    for target, by in (("?most=0", own), ("", STRANGER), ("", PEER)):
        await look.ask("/credentials/issued", f"/credentials/issued{target}", by=by)
    await look.ask(ONE, nobody)
    await look.ask(ONE, nobody, by=PEER)
    await look.ask(ONE, nobody, by=own)
    await look.ask(ONE, "/credentials/issued/x", by=own)


async def _everybody(look: Look, made: dict[str, Any]) -> None:
    lists = secured.read(base64.b64decode(made["credential"])).status
    place = httpx.URL(lists["revocation"].url).path
    for of, target in (
        ("/credentials/did.json", ""),
        ("/credentials/contexts/v1", ""),
        ("/credentials/openapi.json", ""),
        ("/credentials/status/{name}", place),
    ):
        found = await look.ask(of, target)
        again = await look.ask(of, target, **{"if-none-match": found.headers["etag"]})
        assert again.status_code == 304
    await look.ask("/credentials/status/{name}", "/credentials/status/" + "0" * 32)
    await look.ask("/credentials/status/{name}", f"{place}?timestamp=then")


async def _suites(look: Look) -> None:
    api = "/credentials/vc-api"
    credential = {"@context": V2, "type": ["VerifiableCredential"], "credentialSubject": {"id": HOLDER}}
    made = await look.ask(f"{api}/credentials/issue", body={"credential": credential})
    presentation = {"@context": V2, "type": ["VerifiablePresentation"]}
    shown = await look.ask(f"{api}/presentations/create", body={"presentation": presentation})
    for of, body in (("credentials/verify", made.json()), ("presentations/verify", shown.json())):
        assert (await look.ask(f"{api}/{of}", body=body)).status_code == 200
        (name,) = body
        await look.ask(f"{api}/{of}", body={name: {**body[name], "type": []}})
    for path in ("credentials/issue", "credentials/verify", "presentations/create", "presentations/verify"):
        await look.ask(f"{api}/{path}", body={})
        await look.ask(f"{api}/{path}", body={}, host="rebound.example")
        await look.ask(f"{api}/{path}", body={"x": "x" * 1_048_577})


async def _judged(look: Look, own: SigningKey, folder: Path, made: dict[str, Any]) -> None:
    asked = (await look.ask("/credentials/questions", body={}, by=own)).json()
    wallet = Wallet.open(folder / "wallet", now_ms=parties.now_ms)
    wallet.kept.append(
        Kept(format="ldp_vc", text=base64.b64decode(made["credential"]).decode(), issuer="", received_ms=0)
    )
    shown = wallet.presentation(0, nonce=asked["nonce"], audience=asked["audience"])
    body = {"shown": base64.b64encode(shown).decode(), "nonce": asked["nonce"]}
    assert (await look.ask("/credentials/verify", body=body, by=own)).json()["valid"] is False  # somebody else's


@pytest.mark.slow
def test_every_answer_is_documented_and_what_is_documented_comes(tmp_path: Path) -> None:
    async def story(party: Standing, look: Look) -> None:
        made = await _issuer(look, party.key)
        await _refused(look, party.key)
        await _everybody(look, made)
        await _suites(look)
        await _judged(look, party.key, tmp_path, made)

    told(tmp_path, story)
    # busy, slow and in trouble are the party's own answers, held in its own test
    missing = {one for one in DOCUMENT.documented() - DOCUMENT.seen if one[2] not in ("404", "408", "413", "503")}
    assert missing == set()


def test_every_route_is_documented_and_nothing_else(tmp_path: Path) -> None:
    async def found() -> set[tuple[str, str]]:
        chosen = settings.Settings(state=tmp_path, name="clinic", vc_api=True)
        async with parties.spoken_to(tmp_path, slices=(SLICE,), chosen=chosen) as party:
            assert isinstance(party.transport, httpx.ASGITransport)
            app: Any = party.transport.app
            (mount,) = (one for one in app.routes if isinstance(one, Mount) and one.path == "/credentials")
            return {
                (f"/credentials{route.path}", method.lower())
                for route in mount.routes
                if isinstance(route, Route) and route.methods
                for method in route.methods - {"HEAD", "OPTIONS"}
            }

    routes = {one for one in asyncio.run(found()) if "/openid/" not in one[0] and "/.well-known/" not in one[0]}
    assert PAGES not in {path for path, _ in routes}
    assert DOCUMENT.operations().keys() == routes


def test_every_example_is_as_its_schema_says() -> None:
    found = DOCUMENT.examples()
    assert len(found) > 10
    for example in found:
        assert DOCUMENT.faults(*example) == []
