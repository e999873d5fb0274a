"""A holder's own wallet against an issuer and a verifier over HTTP: what it takes, shows and keeps."""

import io
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import segno
from starlette.responses import RedirectResponse
from starlette.routing import Route

from ledger.credentials import codes, paper
from ledger.credentials.exchange import dcql
from ledger.credentials.vc import did, sdjwt
from ledger.credentials.wallet import FILE, KEY, Answered, Kept, Wallet
from protocol.errors import Malformed, NotFound, Unavailable
from protocol.keys import SigningKey
from tests.support import exchanging
from tests.support.exchanging import World

ORIGIN = "http://127.0.0.1:8091"
DRAFT = {"type": "Degree", "claims": {"programme": "Medicine", "birthDate": "1980-02-03"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = exchanging.opened(tmp_path)
    found.base = f"{ORIGIN}/credentials"
    yield found
    found.store.close()


@pytest.fixture
def web(world: World) -> Iterator[httpx.Client]:
    away = Route("/away", lambda _: RedirectResponse("http://127.0.0.1/secret"))
    with httpx.Client(transport=exchanging.Direct(world.app((away,))), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
def wallet(world: World, tmp_path: Path) -> Wallet:
    return Wallet.open(tmp_path / "wallet", now_ms=world.clock)


def received(world: World, wallet: Wallet, web: httpx.Client, form: str = "dc+sd-jwt") -> Kept:
    offer = world.offering.offer("Degree", form, DRAFT)
    return wallet.receive(offer.short, web, tx_code=offer.tx_code)


@pytest.mark.parametrize("form", dcql.FORMATS)
def test_a_credential_goes_from_offer_to_verdict(world: World, wallet: Wallet, web: httpx.Client, form: str) -> None:
    offer = world.offering.offer("Degree", form, DRAFT)
    wallet.receive(offer.link, web, tx_code=offer.tx_code)
    assert world.offering.state(offer.name) == "credential_accepted"
    asked = world.asking.ask(dcql.query_for(["Degree"], formats=dcql.FORMATS), purpose="Hiring")
    line = wallet.present(wallet.asked(asked.short, web), web)
    assert (line.outcome, line.types, line.name, line.purpose) == ("valid", ("Degree",), "B clinic", "Hiring")
    assert world.asking.result(asked.name).outcome == "valid"


def test_a_wallet_is_there_again_and_its_files_are_its_owners_alone(
    world: World, wallet: Wallet, web: httpx.Client, tmp_path: Path
) -> None:
    received(world, wallet, web)
    asked = world.asking.ask(dcql.query_for(["Degree"]), purpose="Hiring")
    wallet.decline(wallet.asked(asked.link, web), web)
    again = Wallet.open(tmp_path / "wallet", now_ms=world.clock)
    assert (again.did, again.kept, again.history) == (wallet.did, wallet.kept, wallet.history)
    assert [each.types for each in again.history] == [()]
    for name in (KEY, FILE):
        assert stat.S_IMODE((tmp_path / "wallet" / name).stat().st_mode) == 0o600


def test_two_programs_at_one_wallet_do_not_lose_each_others_credentials(
    world: World, wallet: Wallet, web: httpx.Client, tmp_path: Path
) -> None:
    other = Wallet.open(tmp_path / "wallet", now_ms=world.clock)
    received(world, wallet, web)
    for _ in range(2):
        with pytest.raises(Unavailable, match="wallet_changed"):
            received(world, other, web)
    assert other.kept == []
    assert Wallet.open(tmp_path / "wallet", now_ms=world.clock).kept == wallet.kept


def test_no_more_is_shown_than_was_asked(world: World, wallet: Wallet, web: httpx.Client) -> None:
    received(world, wallet, web)
    meta = {"vct_values": [dcql.vct_of("Degree")]}
    query = {"credentials": [{"id": "a", "format": "dc+sd-jwt", "meta": meta, "claims": [{"path": ["programme"]}]}]}
    asked = world.asking.ask(query, purpose="Hiring")
    (showing,) = wallet.match(query)
    assert [claim.path for claim in showing.claims] == [("programme",)] and not showing.whole
    wallet.present(wallet.asked(asked.link, web), web)
    ((raw, _, _),) = world.judged
    assert {each.name for each in sdjwt.read(raw.decode()).disclosures} == {"programme"}


def test_what_the_wallet_does_not_have_is_not_answered(world: World, wallet: Wallet, web: httpx.Client) -> None:
    received(world, wallet, web)
    asked = world.asking.ask(dcql.query_for(["Degree", "StateLicence"]), purpose="Hiring")
    with pytest.raises(NotFound, match="dcql_unmatched"):
        wallet.present(wallet.asked(asked.link, web), web)
    assert world.asking.result(asked.name).state == "asked"


def test_a_wrong_tx_code_is_told_in_the_issuers_words(world: World, wallet: Wallet, web: httpx.Client) -> None:
    offer = world.offering.offer("Degree", "ldp_vc", DRAFT)
    with pytest.raises(Answered, match=r"^invalid_grant"):
        wallet.receive(offer.link, web, tx_code="x")
    assert wallet.kept == []


def test_a_credential_about_another_key_is_not_kept_and_the_issuer_hears_it(
    world: World, wallet: Wallet, web: httpx.Client
) -> None:
    other = SigningKey.from_seed(bytes([3]) * 32).public
    world.offering._issue = lambda draft, form, holder: exchanging.issued(draft, form, other)
    offer = world.offering.offer("Degree", "ldp_vc", DRAFT)
    with pytest.raises(Malformed, match="wallet_other"):
        wallet.receive(offer.link, web, tx_code=offer.tx_code)
    assert wallet.kept == [] and world.offering.state(offer.name) == "credential_failure"


@pytest.mark.parametrize(
    "address", ["http://10.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1@evil.test/x", "ftp://a.test/"]
)
def test_a_wallet_calls_nobody_without_tls_but_this_machine(wallet: Wallet, web: httpx.Client, address: str) -> None:
    with pytest.raises(Malformed, match="address_bad"):
        wallet.receive(f"openid-credential-offer://?credential_offer_uri={address}", web)


def test_a_wallet_follows_no_redirection(wallet: Wallet, web: httpx.Client) -> None:
    with pytest.raises(Answered):
        wallet.receive(f"openid-credential-offer://?credential_offer_uri={ORIGIN}/credentials/away", web)


def test_an_issuer_that_is_gone_is_unavailable(wallet: Wallet) -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("gone")

    with httpx.Client(transport=httpx.MockTransport(gone)) as client, pytest.raises(Unavailable, match="unreachable"):
        wallet.receive("openid-credential-offer://?credential_offer_uri=https://a.example/x", client)


@pytest.mark.parametrize("form", dcql.FORMATS)
def test_a_presentation_is_handed_over_in_codes_without_a_network(
    world: World, wallet: Wallet, web: httpx.Client, form: str
) -> None:
    received(world, wallet, web, form)
    raw = wallet.presentation(0, nonce="n", audience="B clinic")
    exchanging.check_holder(raw, "n", "B clinic", now_ms=world.clock.ms)
    photos = []
    for said in codes.split(raw):
        held = io.BytesIO()
        segno.make(said, error="l", micro=False).save(held, kind="png", scale=3)
        photos.append(held.getvalue())
    assert codes.joined([paper.read(photo) for photo in reversed(photos)]) == raw


def test_long_things_come_in_parts_that_are_all_needed_and_not_mixed() -> None:
    source = [random.Random(seed).randbytes(5000) for seed in (7, 11)]
    first, second = (codes.split(each) for each in source)
    assert len(first) > 1 and all(len(each) <= codes.PART + 32 for each in first)
    assert codes.joined([*reversed(first), first[0]]) == source[0]
    with pytest.raises(Malformed, match="code_part_missing"):
        codes.joined(first[:-1])
    with pytest.raises(Malformed, match="code_bad"):
        codes.joined([first[0], *second[1:]])
    with pytest.raises(Malformed, match="code_bad"):
        codes.joined([first[0][:-1] + ("A" if first[0][-1] != "A" else "B"), *first[1:]])


def answered(web: httpx.Client, method: str, path: str, **sent: Any) -> tuple[int, str]:
    found = web.request(method, path, **sent)
    return found.status_code, found.json().get("error", "")


def test_errors_over_http_are_oauths(web: httpx.Client) -> None:
    base = "/credentials/openid"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:pre-authorized_code", "pre-authorized_code": "x"}
    assert answered(web, "POST", f"{base}/token", data=form) == (400, "invalid_grant")
    assert answered(web, "POST", f"{base}/token", json=form) == (400, "invalid_request")
    twice = {"content": b"grant_type=a&grant_type=b", "headers": {"content-type": "application/x-www-form-urlencoded"}}
    assert answered(web, "POST", f"{base}/token", **twice) == (400, "invalid_request")
    assert answered(web, "POST", f"{base}/token", data={"grant_type": "x" * 20_000}) == (413, "invalid_request")
    assert answered(web, "POST", f"{base}/credential", json={}) == (401, "invalid_token")
    assert answered(web, "GET", f"{base}/offers/x") == (404, "invalid_request")
    assert answered(web, "GET", f"{base}/requests/x") == (404, "invalid_request")


def test_wallets_of_any_origin_may_call_and_nothing_is_cached(web: httpx.Client) -> None:
    found = web.options("/credentials/openid/credential", headers={"origin": "https://wallet.example"})
    assert found.status_code == 204 and "authorization" in found.headers["access-control-allow-headers"]
    nonce = web.post("/credentials/openid/nonce")
    assert nonce.headers["cache-control"] == "no-store" and nonce.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in nonce.headers


def test_metadata_is_found_by_the_issuers_path(world: World, web: httpx.Client) -> None:
    found = web.get("/.well-known/openid-credential-issuer/credentials").json()
    assert found == world.offering.metadata()
    server = web.get("/.well-known/oauth-authorization-server/credentials").json()
    assert server["issuer"] == found["credential_issuer"] and server["token_endpoint"].endswith("/openid/token")


def test_the_wallets_key_is_a_did_key(wallet: Wallet) -> None:
    assert did.key_of(wallet.did)
