"""Two institutions and a holder over a real ledger: issued here, judged there, taken back and refused there."""

import asyncio
import base64
import contextlib
import html
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import vigil
from ledger.credentials.pages import page
from ledger.credentials.pages.access import Access
from ledger.credentials.wallet import Kept, Wallet
from ledger.party.peer import Peer, PeerRefused
from tests.support import parties, staffing
from tests.support.parties import Standing

FIELDS = {
    "givenName": "Ada",
    "familyName": "Byron",
    "jurisdiction": "US-CA",
    "licenceNumber": "RN-123456",
    "licenceType": "Registered nurse",
}
TRIES = 100
WAIT_S = 0.1


@dataclass
class Town:
    """A licensing board, a clinic that hires, and a nurse."""

    folder: Path
    board: Standing
    clinic: Standing
    issuing: Peer
    judging: Peer
    wallet: Wallet

    async def post(self, peer: Peer, path: str, body: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            await peer.send("POST", f"/credentials{path}", json.dumps(body).encode(), content_type="application/json")
        )
        return found

    async def licensed(self) -> dict[str, Any]:
        """A licence of the nurse, in the wallet."""
        body = {"type": "StateLicence", "fields": FIELDS, "holder": self.wallet.did}
        made = await self.post(self.issuing, "/issued", body)
        raw = base64.b64decode(made["credential"]).decode()
        self.wallet.keep(Kept(format="ldp_vc", text=raw, issuer="", received_ms=0))
        return made

    async def verdict(self) -> dict[str, Any]:
        """What the clinic makes of what the nurse shows."""
        asked = await self.post(self.judging, "/questions", {})
        shown = self.wallet.presentation(0, nonce=asked["nonce"], audience=asked["audience"])
        body = {"shown": base64.b64encode(shown).decode(), "nonce": asked["nonce"]}
        return await self.post(self.judging, "/verify", body)

    async def until(self, outcome: str) -> dict[str, Any]:
        """The verdict, once it is this."""
        for _ in range(TRIES):
            found = await self.verdict()
            if found["outcome"] == outcome:
                return found
            await asyncio.sleep(WAIT_S)
        raise AssertionError(found)


@contextlib.asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    async with (
        staffing.world(folder) as world,
        world.party("board", accredited=["StateLicence"]) as board,
        world.party("clinic", credential_sources=(f"{board.url}/",)) as clinic,
        board.called_by(board.key) as issuing,
        clinic.called_by(clinic.key) as judging,
    ):
        wallet = Wallet.open(folder / "wallet", now_ms=parties.now_ms)
        yield Town(folder, board, clinic, issuing, judging, wallet)


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in found["credentials"][0]["steps"]}


@pytest.mark.slow
def test_what_one_institution_issues_another_judges_and_a_revocation_bites(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as here:
            made = await here.licensed()
            found = await here.until("pass")
            assert found["valid"] and found["holder"] == here.wallet.did and set(outcomes(found).values()) == {"pass"}
            assert found["credentials"][0]["says"]["Licence number"] == "RN-123456"
            valid_ms = parties.now_ms()
            await _offline(here, code=0)
            await _by_page(here)
            await here.post(here.issuing, f"/issued/{made['id']}/suspend", {"reason": "audit"})
            assert outcomes(await here.until("fail"))["suspension"] == "fail"
            await here.post(here.issuing, f"/issued/{made['id']}/reinstate", {"reason": "over"})
            await here.until("pass")
            await here.post(here.issuing, f"/issued/{made['id']}/revoke", {"reason": "fraud"})
            assert outcomes(await here.until("fail"))["revocation"] == "fail"
            raw = {"shown": made["credential"], "at_ms": valid_ms}
            past = await here.post(here.judging, "/verify", raw)
            print(past)
            then = outcomes(past)
            assert then.pop("holder") == "unknown" and set(then.values()) == {"pass"}  # it was valid on that day
            await _offline(here, code=4)

    asyncio.run(run())


async def _offline(here: Town, *, code: int) -> None:
    """A laptop with a copy of what the clinic knows comes to the same."""
    shown, pack = here.folder / "shown.json", here.folder / f"pack-{code}.db"
    shown.write_bytes(here.wallet.presentation(0, nonce="n" * 22, audience="the front desk"))

    def ran(*words: str) -> Any:
        return CliRunner(env={"VIGIL_CONFIG": ""}).invoke(vigil.cli, ["credentials", *words, "--json"])

    packed = await asyncio.to_thread(ran, "pack", "--state", str(here.folder / "clinic"), "--out", str(pack))
    assert packed.exit_code == 0, packed.output
    words = ["verify", str(shown), "--pack", str(pack), "--nonce", "n" * 22]
    result = await asyncio.to_thread(ran, *words, "--audience", "the front desk")
    assert result.exit_code == code, result.output
    assert (await asyncio.to_thread(ran, *words, "--audience", "another")).exit_code == 4
    alone = here.folder / "alone.json"
    alone.write_text(here.wallet.kept[0].text)
    words = ["verify", str(alone), "--state", str(here.folder / "clinic")]
    assert (await asyncio.to_thread(ran, *words)).exit_code == (
        5 if code == 0 else code
    )  # nobody was asked to prove it theirs
    assert (await asyncio.to_thread(ran, *words, "--paper-only")).exit_code == code


async def _by_page(here: Town) -> None:
    """The same by the clinic's pages: ask with a code, and check a file."""
    async with httpx.AsyncClient(base_url=here.clinic.url, follow_redirects=True) as browser:
        origin = {"origin": here.clinic.url}
        with contextlib.closing(Access.open(here.folder / "clinic", random_bytes=os.urandom)) as doors:
            code = doors.make_code(["verifier"], now_ms=parties.now_ms())
        await browser.post(f"{page.BASE}/sign-in", data={"code": code}, headers=origin)
        form = {"StateLicence": "yes", "purpose": "Hiring"}
        waiting = await browser.post(f"{page.BASE}/verifier/ask", data=form, headers=origin)
        assert "Waiting for the answer" in waiting.text and "<svg" in waiting.text
        link = html.unescape(re.findall(r"<pre>(.*?)</pre>", waiting.text)[0])
        with httpx.Client() as web:
            request = await asyncio.to_thread(here.wallet.asked, link, web)
            line = await asyncio.to_thread(here.wallet.present, request, web)
        assert (line.outcome, line.purpose, line.name) == ("valid", "Hiring", "clinic")
        shown = await browser.get(str(waiting.url))
        assert "Every step passed." in shown.text and "RN-123456" in shown.text
        file = {"file": ("licence.json", here.wallet.kept[0].text)}
        checked = await browser.post(f"{page.BASE}/verifier/check", files=file, data={"day": ""}, headers=origin)
        assert "Not known, so not valid." in checked.text and "does not say who brings it" in checked.text
        for data, code in (({"day": "2026-13-01"}, "day_bad"), ({"day": "2999-01-01"}, "time_future")):
            refused = await browser.post(f"{page.BASE}/verifier/check", files=file, data=data, headers=origin)
            assert refused.status_code == 400 and code in refused.text
        refused = await browser.post(f"{page.BASE}/verifier/ask", data={"purpose": "x"}, headers=origin)
        assert "request_empty" in refused.text


@pytest.mark.slow
def test_a_question_is_answered_once_and_by_callers_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as here:
            await here.licensed()
            await here.until("pass")
            asked = await here.post(here.judging, "/questions", {})
            shown = here.wallet.presentation(0, nonce=asked["nonce"], audience=asked["audience"])
            body = {"shown": base64.b64encode(shown).decode(), "nonce": asked["nonce"]}
            assert (await here.post(here.judging, "/verify", body))["valid"]
            again = await here.post(here.judging, "/verify", body)
            assert outcomes(again)["holder"] == "fail" and not again["valid"]
            for bad in ({}, {"shown": 1}, {"shown": "?"}, {"shown": "", "nonce": 1}, {"shown": "", "at_ms": -1}):
                with pytest.raises(PeerRefused, match="body_bad"):
                    await here.post(here.judging, "/verify", bad)
            async with here.clinic.called_by(parties.STRANGER) as stranger:
                with pytest.raises(PeerRefused):
                    await here.post(stranger, "/questions", {})
            assert (await here.clinic.client.post("/credentials/verify", json=body)).status_code == 401

    asyncio.run(run())
