"""A home carer is hired by page and by command: asked for what is missing, verified, hired, and suspended when a credential is."""

import asyncio
import base64
import contextlib
import html
import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import vigil
from ledger.credentials.pages import page
from ledger.credentials.pages.access import Access
from ledger.credentials.wallet import Kept, Wallet
from ledger.party.peer import Peer
from tests.support import parties, staffing

WHO = {"givenName": "Ada", "familyName": "Byron", "jurisdiction": "US-CA"}
CREDENTIALS: dict[str, dict[str, str]] = {
    "Training": {**WHO, "programme": "Home care", "conferredAt": "2024-05-01"},
    "ImmunisationRecord": {**WHO, "vaccineCode": "141", "conferredAt": "2025-10-01"},
    "ComplianceRecord": {**WHO, "compliance": "background-check", "checkedAt": "2026-01-05"},
}
TRIES = 200


async def issued(issuing: Peer, wallet: Wallet) -> dict[str, str]:
    """One credential of each type in the wallet; their numbers by type."""
    found = {}
    for kind, fields in CREDENTIALS.items():
        body = json.dumps({"type": kind, "fields": fields, "holder": wallet.did}).encode()
        made = json.loads(await issuing.send("POST", "/credentials/issued", body, content_type="application/json"))
        found[kind] = made["id"]
        raw = base64.b64decode(made["credential"]).decode()
        wallet.keep(Kept(format="ldp_vc", text=raw, issuer="", received_ms=0))
    return found


def ran(*words: str) -> Any:
    result = CliRunner(env={"VIGIL_CONFIG": ""}).invoke(vigil.cli, ["credentials", "hiring", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
def test_a_home_carer_is_hired_and_told_of_when_a_credential_is_taken_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            staffing.world(tmp_path) as world,
            world.party("board", accredited=[*CREDENTIALS]) as board,
            world.party("clinic", credential_sources=(f"{board.url}/",)) as clinic,
            board.called_by(board.key) as issuing,
            httpx.AsyncClient(base_url=clinic.url, follow_redirects=True) as browser,
        ):
            origin = {"origin": clinic.url}
            where = ["--state", str(tmp_path / "clinic"), "--party", clinic.url]

            async def send(path: str, **data: str) -> httpx.Response:
                return await browser.post(page.BASE + path, data={"x": "", **data}, headers=origin)

            with contextlib.closing(Access.open(tmp_path / "clinic", random_bytes=os.urandom)) as doors:
                code = doors.make_code(["verifier"], now_ms=parties.now_ms())
            await send("/sign-in", code=code)
            wallet = Wallet.open(tmp_path / "wallet", now_ms=parties.now_ms)
            numbers = await issued(issuing, wallet)
            assert "There is no file yet." in (await browser.get(f"{page.BASE}/hiring/")).text
            refused = await send("/hiring/open", post="home-carer", place="Mars", given="Ada", family="Byron")
            assert refused.status_code == 400 and "place_bad" in refused.text
            opened = await send("/hiring/open", post="home-carer", place="US-CA", given="Ada", family="Byron")
            file = opened.url.path.removeprefix(page.BASE)
            assert "Background check" in opened.text and "Ask the wallet" in opened.text
            asked = await send(f"{file}/ask")
            link = html.unescape(re.findall(r"<pre>(.*?)</pre>", asked.text)[0])
            with httpx.Client() as web:
                await _known(browser, board.url, clinic.url, wallet)
                line = await asyncio.to_thread(lambda: wallet.present(wallet.asked(link, web), web))
            assert line.outcome == "valid" and set(line.types) == set(CREDENTIALS)
            shown = await browser.get(page.BASE + file)
            assert "Nothing is missing." in shown.text
            assert "verify" in str((await browser.get(f"{page.BASE}{file}/verify")).url)
            await send(f"{file}/verify")
            hired = await send(f"{file}/hire")
            assert "hired" in hired.text and hired.status_code == 200
            name = file.rpartition("/")[2]
            assert (await asyncio.to_thread(ran, "show", name, *where))["state"] == "hired"
            assert (await asyncio.to_thread(ran, "list", *where))["files"][0]["id"] == name
            body = json.dumps({"reason": "fraud"}).encode()
            path = f"/credentials/issued/{numbers['ComplianceRecord']}/revoke"
            await issuing.send("POST", path, body, content_type="application/json")
            for _ in range(TRIES):
                told = await asyncio.to_thread(ran, "alerts", "--standing", *where)
                if any(each["code"] == "revoked" for each in told["alerts"]):
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(told)
            home = await browser.get(f"{page.BASE}/hiring/")
            assert "revoked" in home.text
            ended = await send(f"{file}/end")
            assert "ended" in ended.text

    asyncio.run(run())


async def _known(browser: httpx.AsyncClient, board: str, clinic: str, wallet: Wallet) -> None:
    """Wait until the clinic has read of the ledger what the board said."""
    file = {"file": ("one.json", wallet.kept[-1].text)}
    for _ in range(TRIES):
        found = await browser.post(
            f"{page.BASE}/verifier/check", files=file, data={"day": ""}, headers={"origin": clinic}
        )
        if found.text.count(">Yes</strong>") == 9:  # all but who brings it
            return
        await asyncio.sleep(0.1)
    raise AssertionError(found.text)


@pytest.mark.slow
def test_a_file_is_worked_on_from_the_command_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with staffing.world(tmp_path) as world, world.party("clinic") as clinic:
            where = ["--state", str(tmp_path / "clinic"), "--party", clinic.url]

            async def told(*words: str) -> Any:
                return await asyncio.to_thread(ran, *words, *where)

            posts = await told("posts", "--place", "US-CA")
            assert "home-carer" in {each["name"] for each in posts["posts"]}
            who = ["--post", "home-carer", "--place", "US-CA", "--given", "Ada", "--family", "Byron"]
            name = (await told("open", *who))["id"]
            assert (await told("ask", name))["link"].startswith("openid4vp://")
            assert len((await told("show", name))["gaps"]) == 3
            assert (await told("step", name, "refuse"))["file"]["state"] == "refused"
            assert (await told("alerts"))["alerts"] == []

    asyncio.run(run())
