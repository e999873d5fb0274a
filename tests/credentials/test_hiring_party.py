"""Hiring at a party over a real ledger: a wallet is asked for what is missing, and a suspension elsewhere bites here."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.credentials.types import fhir_shape
from ledger.credentials.wallet import Kept, Wallet
from ledger.party.peer import Peer, PeerRefused
from protocol.keys import SigningKey
from tests.support import parties, staffing

FIELDS = {
    "givenName": "Ada",
    "familyName": "Byron",
    "jurisdiction": "US-CA",
    "licenceNumber": "RN-123456",
    "licenceType": "Registered nurse",
    "npi": "1245319599",
}
PERSON = {"given": "Ada", "family": "Byron"}
POST = {
    "name": "ward-nurse",
    "needs": [
        {"name": "licence", "type": "StateLicence", "places": ["US-CA"], "says": {"licenceType": ["Registered nurse"]}},
        {"name": "training", "type": "Training"},
    ],
    "grants": {"break-glass": ["licence"]},
}
TRIES, WAIT_S = 100, 0.1
PEER = SigningKey.from_seed(bytes([22]) * 32)


@dataclass
class Town:
    """A board that licences, a clinic that hires, and a nurse with a wallet."""

    issuing: Peer
    clinic: Peer
    other: Peer
    wallet: Wallet

    async def ask(self, method: str, path: str, body: object = None, *, peer: Peer | None = None) -> dict[str, Any]:
        """What a party answers. peer: the clinic by its own key, unless another is named."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = await (peer or self.clinic).send(
            method, f"/credentials{path}", content, content_type="application/json" if content else ""
        )
        found: dict[str, Any] = json.loads(sent)
        return found

    async def issue(self, kind: str, fields: dict[str, str]) -> str:
        """A credential into the wallet; its number on the ledger."""
        body = {"type": kind, "fields": fields, "holder": self.wallet.did}
        made = await self.ask("POST", "/issued", body, peer=self.issuing)
        raw = base64.b64decode(made["credential"]).decode()
        self.wallet.keep(Kept(format="ldp_vc", text=raw, issuer="", received_ms=0))
        return str(made["id"])

    async def answer(self, file: str, *needs: str) -> None:
        """The wallet answers what the clinic asks for."""
        asked = await self.ask("POST", f"/hiring/files/{file}/requests", {"needs": needs})

        def present() -> None:
            with httpx.Client() as web:
                self.wallet.present(self.wallet.asked(asked["short"], web), web)

        await asyncio.to_thread(present)

    async def until(self, path: str, wanted: dict[str, Any], body: object = None) -> dict[str, Any]:
        """An answer, once it has these members."""
        for _ in range(TRIES):
            found = await self.ask("GET" if body is None else "POST", path, body)
            if {**found, **wanted} == found:
                return found
            await asyncio.sleep(WAIT_S)
        raise AssertionError(found)


@contextlib.asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    async with (
        staffing.world(folder) as world,
        world.party("board", accredited=["StateLicence", "Training"]) as board,
        world.party("clinic", credential_sources=(f"{board.url}/",), peers=(PEER.public.x.hex(),)) as clinic,
        board.called_by(board.key) as issuing,
        clinic.called_by(clinic.key) as own,
        clinic.called_by(PEER) as other,
    ):
        yield Town(issuing, own, other, Wallet.open(folder / "wallet", now_ms=parties.now_ms))


@pytest.mark.slow
def test_a_nurse_is_asked_for_what_is_missing_hired_and_stopped_by_another_institutions_word(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as here:
            file = (await here.ask("POST", "/hiring/files", {"person": PERSON, "post": POST}))["id"]
            licence = await here.issue("StateLicence", FIELDS)
            await here.answer(file, "licence")
            found = await here.until(f"/hiring/files/{file}", {"state": "collecting"})
            assert found["holder"] == here.wallet.did
            who = {name: FIELDS[name] for name in ("givenName", "familyName")}
            said = {"programme": "Basic life support", "conferredAt": "2026-01-01", "jurisdiction": "*"}
            await here.issue("Training", {**who, **said})
            await here.answer(file, "training")
            await _counted(here, file)
            done = await here.ask("POST", f"/hiring/files/{file}/hire", {})
            assert done["done"] and done["file"]["state"] == "hired"
            await _stopped_and_back(here, file, licence)
            await _as_fhir(here, file)
            await _for_writers_alone(here, file)

    asyncio.run(run())


async def _counted(here: Town, file: str) -> None:
    """What was shown counts as soon as the clinic has read the log and the lists up."""
    for _ in range(TRIES):
        done = await here.ask("POST", f"/hiring/files/{file}/verify", {})
        if done["done"]:
            assert done["file"]["state"] == "verified" and len(done["file"]["credentials"]) == 2
            return
        await asyncio.sleep(WAIT_S)
    raise AssertionError(done)


async def _stopped_and_back(here: Town, file: str, licence: str) -> None:
    asked = {"holder": here.wallet.did, "capability": "break-glass"}
    assert (await here.ask("POST", "/hiring/may", asked))["allowed"]
    await here.ask("POST", f"/issued/{licence}/suspend", {"reason": "audit"}, peer=here.issuing)
    await here.until("/hiring/may", {"allowed": False, "code": "suspended"}, asked)
    found = await here.ask("GET", f"/hiring/files/{file}")
    assert found["state"] == "suspended" and found["permits"]["break-glass"]["state"] == "blocked"
    alerts = (await here.ask("GET", "/hiring/alerts?standing=true"))["alerts"]
    assert "suspended" in [each["code"] for each in alerts if each["type"] == "StateLicence"]
    assert not any(word in json.dumps(alerts) for word in ("Ada", "Byron", "RN-123456", here.wallet.did))
    await here.ask("POST", f"/issued/{licence}/reinstate", {"reason": "over"}, peer=here.issuing)
    await here.until("/hiring/may", {"allowed": True}, asked)
    assert (await here.ask("GET", f"/hiring/files/{file}"))["state"] == "hired"


async def _as_fhir(here: Town, file: str) -> None:
    bundle = await here.ask("GET", f"/hiring/files/{file}/fhir")
    found = [each["resource"] for each in bundle["entry"]]
    assert [each["resourceType"] for each in found] == ["Practitioner", "VerificationResult", "VerificationResult"]
    assert [fhir_shape.problems(each) for each in found] == [()] * 3
    assert {each["status"] for each in found[1:]} == {"validated"}


async def _for_writers_alone(here: Town, file: str) -> None:
    for method, path, body in (
        ("GET", f"/hiring/files/{file}", None),
        ("GET", "/hiring/files", None),
        ("POST", "/hiring/may", {"holder": here.wallet.did, "capability": "sign"}),
        ("POST", f"/hiring/files/{file}/end", {}),
    ):
        with pytest.raises(PeerRefused) as refused:
            await here.ask(method, path, body, peer=here.other)
        assert refused.value.code == "caller_not_allowed"
