"""What an issuer answers: to its writers, and to everybody."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.credentials import slice as plugged
from ledger.credentials.vc import contexts, did, secured, status
from ledger.party.peer import Peer, PeerRefused
from protocol.errors import NotFound
from protocol.keys import SigningKey
from tests.support import parties, staffing
from tests.support.parties import Standing

pytestmark = pytest.mark.slow  # a party and a ledger on sockets each

HOLDER = did.did_key(SigningKey.from_seed(bytes([7]) * 32).public)
FIELDS = {"givenName": "Ada", "familyName": "Byron", "jurisdiction": "US-CA", "licenceNumber": "RN-1"}
LICENCE = {"type": "StateLicence", "fields": {**FIELDS, "licenceType": "Registered nurse"}, "holder": HOLDER}
WEB = "did:web:board.example"


def told(folder: Path, story: Callable[[Standing, Peer], Awaitable[None]], **changed: object) -> None:
    async def run() -> None:
        async with (
            staffing.world(folder) as world,
            world.party("board", accredited=["StateLicence"], **changed) as party,
            party.called_by(party.key) as writer,
        ):
            await story(party, writer)

    asyncio.run(run())


async def post(peer: Peer, path: str, body: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        await peer.send("POST", f"/credentials{path}", json.dumps(body).encode(), content_type="application/json")
    )
    return found


def status_of(raw: bytes, at: secured.Secured) -> bool:
    found = status.read_list(json.loads(raw))
    return found.bits[at.status[found.purpose].index]


async def listed(party: Standing, made: secured.Secured, purpose: str, **query: str) -> httpx.Response:
    path = httpx.URL(made.status[purpose].url).path
    return await party.client.get(path, params=query)


def test_a_writer_issues_and_the_log_holds_the_commitment(tmp_path: Path) -> None:
    async def story(party: Standing, writer: Peer) -> None:
        for form in secured.FORMATS:
            made = await post(writer, "/issued", {**LICENCE, "format": form})
            found = secured.read(base64.b64decode(made["credential"]))
            assert (found.type, found.format, found.subject) == ("StateLicence", form, HOLDER)
            assert found.anchor is not None and found.anchor.id.hex() == made["id"] and made["state"] == "valid"
        for _ in range(200):
            if party.store.counts().waiting == 0:
                break
            await asyncio.sleep(0.02)
        counts = party.store.counts()
        assert (counts.waiting, counts.refused) == (
            0,
            {},
        ) and counts.receipted == 7  # admitted, key, two lists, and these

    told(tmp_path, story)


def test_what_is_taken_back_is_in_the_list_at_once_and_not_in_the_list_of_before(tmp_path: Path) -> None:
    async def story(party: Standing, writer: Peer) -> None:
        made = await post(writer, "/issued", LICENCE)
        found = secured.read(base64.b64decode(made["credential"]))
        before = await listed(party, found, "suspension")
        assert before.status_code == 200 and not status_of(before.content, found)
        assert before.headers["access-control-allow-origin"] == "*"
        changed = await post(writer, f"/issued/{made['id']}/suspend", {"reason": "audit"})
        assert changed["state"] == "suspended"
        assert status_of((await listed(party, found, "suspension")).content, found)
        assert not status_of((await listed(party, found, "revocation")).content, found)
        old = await listed(party, found, "suspension", timestamp=json.loads(before.content)["validFrom"])
        assert old.content == before.content
        await post(writer, f"/issued/{made['id']}/reinstate", {"reason": "over"})
        await post(writer, f"/issued/{made['id']}/revoke", {"reason": "fraud"})
        assert status_of((await listed(party, found, "revocation")).content, found)
        with pytest.raises(PeerRefused, match="status_conflict"):
            await post(writer, f"/issued/{made['id']}/reinstate", {"reason": "again"})
        tag = (await listed(party, found, "revocation")).headers["etag"]
        again = await party.client.get(httpx.URL(found.status["revocation"].url).path, headers={"if-none-match": tag})
        assert again.status_code == 304

    told(tmp_path, story)


async def _everybody(party: Standing) -> None:
    """What anybody reads."""
    answer = await party.client.get("/credentials/contexts/v1")
    assert answer.content == contexts.CONTEXT_BYTES and answer.headers["content-type"] == "application/ld+json"
    assert (await party.client.get("/credentials/did.json")).status_code == 404  # a did:key has no document
    for path, status_code in (
        ("/credentials/status/" + "0" * 32, 404),
        ("/credentials/status/x", 404),
        (f"/credentials/status/{'0' * 32}?timestamp=yesterday", 400),
        (f"/credentials/status/{'0' * 32}?other=1", 400),
    ):
        assert (await party.client.get(path)).status_code == status_code


def test_a_credential_is_renewed_in_place_of_the_old_one_and_everybody_reads_what_is_for_everybody(
    tmp_path: Path,
) -> None:
    async def story(party: Standing, writer: Peer) -> None:
        made = await post(writer, "/issued", {**LICENCE, "days": 30})
        new = await post(writer, f"/issued/{made['id']}/refresh", {"days": 60})
        assert new["id"] != made["id"] and new["until_ms"] > made["until_ms"]
        every = json.loads(await writer.send("GET", "/credentials/issued?most=10"))
        assert {one["id"]: one["state"] for one in every["issued"]} == {made["id"]: "revoked", new["id"]: "valid"}
        assert (
            json.loads(await writer.send("GET", f"/credentials/issued/{new['id']}"))["credential"] == new["credential"]
        )
        assert every["did"].startswith("did:key:")
        await _everybody(party)

    told(tmp_path, story)


def test_an_issuer_with_a_name_changes_keys_and_shows_them(tmp_path: Path) -> None:
    async def story(party: Standing, writer: Peer) -> None:
        for path in ("/.well-known/did.json", "/credentials/did.json"):
            first = (await party.client.get(path)).json()
            assert first["id"] == WEB and len(first["verificationMethod"]) == 1
        old = first["verificationMethod"][0]["id"]
        assert (await post(writer, "/keys", {}))["method"] != old
        assert len((await party.client.get("/credentials/did.json")).json()["verificationMethod"]) == 2
        method = (await post(writer, "/keys/stolen", {"since": [1, 5]}))["method"]
        assert method.startswith(f"{WEB}#")
        assert (await post(writer, "/lists", {"again": True}))["published"] == 0  # no list yet

    told(tmp_path, story, did=WEB)


REFUSED = [
    ({**LICENCE, "type": "Knighthood"}, "type_unknown"),
    ({**LICENCE, "holder": "did:web:else.example"}, "did_bad"),
    ({**LICENCE, "format": "paper"}, "format_unknown"),
    ({**LICENCE, "days": 0}, "period_bad"),
    ({**LICENCE, "days": True}, "body_bad"),
    ({**LICENCE, "fields": {**FIELDS}}, "field_missing"),
    ({**LICENCE, "fields": {**LICENCE["fields"], "npi": "1234567890"}}, "npi_bad"),  # type: ignore[dict-item]
    ({**LICENCE, "fields": {"a": 1}}, "body_bad"),
    ({"type": "StateLicence"}, "body_bad"),
    ({**LICENCE, "more": 1}, "body_bad"),
]


def test_what_cannot_be_issued_is_refused_by_name_and_strangers_issue_nothing(tmp_path: Path) -> None:
    async def story(party: Standing, writer: Peer) -> None:
        for body, code in REFUSED:
            with pytest.raises(PeerRefused) as refused:
                await post(writer, "/issued", body)
            assert refused.value.code == code, body
        assert json.loads(await writer.send("GET", "/credentials/issued"))["issued"] == []
        for path in ("/issued/" + "0" * 32, "/nothing"):
            with pytest.raises(NotFound):
                await writer.send("GET", f"/credentials{path}")
        for path in ("/issued", "/issued/" + "0" * 32):
            assert (await party.client.get(f"/credentials{path}")).status_code == 401
        assert (await party.client.post("/credentials/issued", json=LICENCE)).status_code == 401
        async with party.called_by(parties.STRANGER) as stranger:
            with pytest.raises(PeerRefused):
                await post(stranger, "/issued", LICENCE)

    told(tmp_path, story)


def test_what_was_issued_before_the_accreditation_is_said_again_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugged, "PUBLISH_EVERY_S", 0.2)

    async def run() -> None:
        async with (
            staffing.world(tmp_path) as world,
            world.party("board", issues=True) as party,
            party.called_by(party.key) as writer,
        ):
            for _ in range(200):
                if "issuer_not_accredited" in party.store.counts().refused:
                    break
                await asyncio.sleep(0.02)
            made = await post(writer, "/issued", LICENCE)

            async def until(standing: str) -> None:
                found: dict[str, Any] = {}
                for _ in range(100):
                    found = json.loads(await writer.send("GET", f"/credentials/issued/{made['id']}"))
                    if found["ledger"] == standing:
                        return
                    await asyncio.sleep(0.05)
                raise AssertionError(found["ledger"])

            await until("issuer_key_unknown")
            early = secured.read(base64.b64decode(made["credential"]))
            assert [(await listed(party, early, name)).status_code for name in early.status] == [404, 404]
            did = json.loads(await writer.send("GET", "/credentials/issued"))["did"]
            world.accredit(party.key, did, "StateLicence")
            await until("receipted")
            found = secured.read(base64.b64decode(made["credential"]))
            for _ in range(100):  # a list that the log had before the key would count for nobody
                if (await listed(party, found, "revocation")).status_code == 200:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("no list came out")

    asyncio.run(run())


def test_a_party_that_issues_nothing_says_how_to_begin(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            staffing.world(tmp_path) as world,
            world.party("clinic") as party,
            party.called_by(party.key) as writer,
        ):
            with pytest.raises(NotFound, match="issuer_missing"):
                await post(writer, "/issued", LICENCE)

    asyncio.run(run())
