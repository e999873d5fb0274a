"""An issuer's pages, click by click: preview, sign, print, take back; and an offer that a wallet takes up."""

import asyncio
import contextlib
import html
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from ledger.credentials.pages import page
from ledger.credentials.pages.access import Access
from ledger.credentials.vc import did, secured
from ledger.credentials.wallet import Wallet
from protocol.keys import SigningKey
from tests.support import parties, staffing
from tests.support.parties import Standing

HOLDER = did.did_key(SigningKey.from_seed(bytes([7]) * 32).public)
LICENCE = {
    "type": "StateLicence",
    "givenName": "Ada <b>",
    "familyName": "Byron",
    "jurisdiction": "US-CA",
    "licenceNumber": "RN-123456",
    "licenceType": "Registered nurse",
    "format": "ldp_vc",
    "days": "30",
}
Ask = Callable[..., Awaitable[httpx.Response]]


def told(folder: Path, story: Callable[[Standing, Ask], Awaitable[None]], role: str = "issuer") -> None:
    """Somebody of an issuer's staff who has signed in. ask: a path under the pages; with data, a form that is sent."""

    async def run() -> None:
        async with (
            staffing.world(folder) as world,
            world.party("board", accredited=["StateLicence"]) as party,
            httpx.AsyncClient(base_url=party.url, follow_redirects=True) as browser,
        ):

            async def ask(path: str, data: dict[str, str] | None = None) -> httpx.Response:
                if data is None:
                    return await browser.get(page.BASE + path)
                return await browser.post(page.BASE + path, data=data, headers={"origin": party.url})

            with contextlib.closing(Access.open(folder / "board", random_bytes=os.urandom)) as doors:
                code = doors.make_code([role], now_ms=parties.now_ms())
            assert (await ask("/sign-in", {"code": code})).status_code == 200
            await story(party, ask)

    asyncio.run(run())


def carried(text: str) -> dict[str, str]:
    """What the first form of a page carries on unseen."""
    first = text[text.index("<form") : text.index("</form>")]
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', first)
    return {html.unescape(name): html.unescape(value) for name, value in pairs}


def test_a_licence_is_previewed_signed_printed_and_taken_back(tmp_path: Path) -> None:
    async def story(_: Standing, ask: Ask) -> None:
        blank = await ask("/issuer/new?type=StateLicence")
        assert 'name="licenceNumber"' in blank.text
        wrong = await ask("/issuer/preview", {**LICENCE, "npi": "1234567890"})
        assert "npi_bad" in wrong.text and 'value="RN-123456"' in wrong.text  # nothing has to be typed again
        shown = await ask("/issuer/preview", {**LICENCE, "holder": HOLDER})
        assert "Ada &lt;b&gt;" in shown.text and "Sign and issue" in shown.text
        made = await ask("/issuer/issue", carried(shown.text))
        where = made.url.path.removeprefix(page.BASE)
        assert re.fullmatch(r"/issuer/credentials/[0-9a-f]{32}", where) and "Valid." in made.text
        sheet = await ask(f"{where}/certificate")
        assert "RN-123456" in sheet.text and "<svg" in sheet.text and "Ada" not in str(sheet.url)
        raw = (await ask(f"{where}/file")).content
        assert secured.read(raw).subject == HOLDER
        sure = await ask(f"{where}/suspend")
        assert "Suspend?" in sure.text and "Valid" in (await ask("/issuer/")).text  # nothing was done yet
        assert "Suspended." in (await ask(f"{where}/suspend", {"reason": "audit"})).text
        assert (await ask(f"{where}/suspend", {"reason": "audit"})).status_code == 400
        assert "Valid." in (await ask(f"{where}/reinstate", {"reason": "over"})).text
        again = await ask(f"{where}/refresh", {"x": ""})
        assert "Valid." in again.text and again.url.path != made.url.path
        last = again.url.path.removeprefix(page.BASE)
        assert "Revoked." in (await ask(f"{last}/revoke", {"reason": "fraud"})).text
        assert (await ask("/issuer/")).text.count("Revoked") == 2
        for path in (
            f"{where}/nothing",
            "/issuer/credentials/x",
            "/issuer/new?type=x",
            f"/issuer/credentials/{'0' * 32}",
        ):
            assert (await ask(path)).status_code == 404

    told(tmp_path, story)


def test_an_offer_is_taken_up_by_a_wallet_with_the_number_that_the_holder_was_told(tmp_path: Path) -> None:
    async def story(party: Standing, ask: Ask) -> None:
        shown = await ask("/issuer/preview", LICENCE)
        offered = await ask("/issuer/issue", carried(shown.text))
        link = html.unescape(re.findall(r"<pre>(.*?)</pre>", offered.text)[0])
        number = re.findall(r"<strong>([0-9]+)</strong>", offered.text)[0]
        wallet = Wallet.open(tmp_path / "wallet", now_ms=parties.now_ms)
        with httpx.Client() as web:
            kept = await asyncio.to_thread(wallet.receive, link, web, tx_code=number)
        assert secured.read(kept.raw).subject == wallet.did
        assert "State licence" in (await ask("/issuer/")).text

    told(tmp_path, story)


def test_a_verifier_sees_no_issuers_page(tmp_path: Path) -> None:
    async def story(_: Standing, ask: Ask) -> None:
        for path in ("/issuer/", "/issuer/new?type=StateLicence", f"/issuer/credentials/{'0' * 32}/file"):
            assert (await ask(path)).status_code == 401
        assert (await ask("/issuer/issue", {**LICENCE, "holder": HOLDER})).status_code == 401

    told(tmp_path, story, role="verifier")
