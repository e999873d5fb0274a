"""Offers, codes, nonces and proofs of an issuer: what a wallet gets, and what nobody else does."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ledger.credentials.exchange import oid4vci, store
from ledger.credentials.exchange.offering import Offered
from ledger.credentials.exchange.oid4vci import GRANT, Refused
from ledger.credentials.vc import did, jws
from protocol.errors import Malformed, NotFound, Unavailable
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.support import exchanging
from tests.support.exchanging import BASE, START_MS, World

HOLDER, OTHER = SigningKey.from_seed(bytes([7]) * 32), SigningKey.from_seed(bytes([8]) * 32)
DRAFT = {"type": "Degree", "claims": {"programme": "Medicine"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = exchanging.opened(tmp_path)
    yield found
    found.store.close()


def offered(world: World, *, tx_code: bool = True, form: str = "ldp_vc") -> Offered:
    return world.offering.offer("Degree", form, DRAFT, tx_code=tx_code)


def code_in(offer: Offered) -> str:
    found, _ = oid4vci.read_link(offer.link)
    assert found is not None
    return found.code


def token(world: World, offer: Offered, **changed: str) -> str:
    form = {"grant_type": GRANT, "pre-authorized_code": code_in(offer)}
    if offer.tx_code is not None:
        form["tx_code"] = offer.tx_code
    return str(world.offering.token(form | changed)["access_token"])


def proof(
    nonce: object,
    *,
    key: SigningKey | P256SigningKey = HOLDER,
    head: dict[str, Any] | None = None,
    aud: str = BASE,
    iat: object = START_MS // 1000,
) -> str:
    header = {"typ": oid4vci.PROOF_TYP, "kid": did.key_method(key.public)} if head is None else head
    return jws.sign(header, {"aud": aud, "iat": iat, "nonce": nonce}, key)


def asked(*proofs: str, configuration: str = "Degree_ldp_vc") -> bytes:
    return json.dumps({"credential_configuration_id": configuration, "proofs": {"jwt": list(proofs)}}).encode()


def refusal(code: str) -> Any:
    return pytest.raises(Refused, match=f"^{code}\\b")


@pytest.mark.parametrize("form", ["ldp_vc", "vc+cose", "dc+sd-jwt"])
@pytest.mark.parametrize("key", [HOLDER, P256SigningKey(bytes([9]) * 32)], ids=["EdDSA", "ES256"])
def test_a_wallet_gets_what_was_offered_for_its_key(world: World, form: str, key: Any) -> None:
    access = token(world, offered(world, form=form))
    jwk = {"typ": oid4vci.PROOF_TYP, "jwk": did.to_jwk(key.public)}
    said = asked(proof(world.offering.nonce(), key=key, head=jwk), configuration=f"Degree_{form}")
    answer = world.offering.credential(access, said)
    assert [each["credential"] for each in answer["credentials"]] == world.issued
    if form == "ldp_vc":
        assert world.issued[0]["credentialSubject"]["id"] == did.did_key(key.public)


def test_an_offer_by_reference_is_the_same_offer(world: World) -> None:
    offer = offered(world)
    (address,) = parse_qs(urlsplit(offer.short).query)["credential_offer_uri"]
    assert address == offer.address and address.endswith(f"/openid/offers/{offer.name}")
    (inside,) = parse_qs(urlsplit(offer.link).query)["credential_offer"]
    assert json.loads(inside) == world.offering.offered(offer.name)
    token(world, offer)
    with pytest.raises(NotFound, match="offer_unknown"):
        world.offering.offered(offer.name)


def test_a_code_is_good_once(world: World) -> None:
    offer = offered(world)
    token(world, offer)
    with refusal("invalid_grant"):
        token(world, offer)


def test_guessing_the_tx_code_ends_the_offer(world: World) -> None:
    offer = offered(world)
    wrong = "000000" if offer.tx_code != "000000" else "111111"
    for _ in range(store.TRIES_MAX):
        with refusal("invalid_grant"):
            token(world, offer, tx_code=wrong)
    with refusal("invalid_grant"):
        token(world, offer)


def test_a_tx_code_is_neither_left_out_nor_made_up(world: World) -> None:
    offer, plain = offered(world), offered(world, tx_code=False)
    with refusal("invalid_request"):
        world.offering.token({"grant_type": GRANT, "pre-authorized_code": code_in(offer)})
    with refusal("invalid_request"):
        token(world, plain, tx_code="123456")
    with refusal("unsupported_grant_type"):
        token(world, plain, grant_type="authorization_code")
    assert token(world, plain) and token(world, offer)


def test_no_code_token_or_tx_code_is_in_the_file(world: World, tmp_path: Path) -> None:
    offer = offered(world)
    access = token(world, offer)
    again = offered(world)
    world.store.close()
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (offer.name, code_in(offer), access, again.name, code_in(again)):
        assert secret.encode() not in data


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "http://other.test"},
        {"iat": START_MS // 1000 - 301},
        {"iat": START_MS // 1000 + 301},
        {"iat": "now"},
        {"head": {"typ": "JWT", "kid": did.key_method(HOLDER.public)}},
        {"head": {"typ": oid4vci.PROOF_TYP}},
        {"head": {"typ": oid4vci.PROOF_TYP, "kid": did.key_method(OTHER.public)}},
        {"head": {"typ": oid4vci.PROOF_TYP, "kid": "did:web:clinic.example#key"}},
        {"head": {"typ": oid4vci.PROOF_TYP, "kid": did.key_method(HOLDER.public), "jwk": did.to_jwk(HOLDER.public)}},
        {"head": {"typ": oid4vci.PROOF_TYP, "jwk": {**did.to_jwk(HOLDER.public), "d": "AA"}}},
    ],
)
def test_a_proof_for_others_old_or_without_its_key_is_refused(world: World, changed: dict[str, Any]) -> None:
    access = token(world, offered(world))
    with refusal("invalid_proof"):
        world.offering.credential(access, asked(proof(world.offering.nonce(), **changed)))
    assert world.issued == []


def test_a_nonce_is_ours_young_and_answered_once(world: World, tmp_path: Path) -> None:
    access = token(world, offered(world))
    nonce = world.offering.nonce()
    for wrong in ("", "x", None, nonce[:-1] + ("A" if nonce[-1] != "A" else "B"), nonce[:20]):
        with refusal("invalid_nonce"):
            world.offering.credential(access, asked(proof(wrong)))
    world.offering.credential(access, asked(proof(nonce)))
    with refusal("invalid_nonce"):
        world.offering.credential(access, asked(proof(nonce)))
    other = token(world, offered(world))
    with refusal("invalid_nonce"):
        world.offering.credential(other, asked(proof(nonce, key=OTHER)))
    late = world.offering.nonce()
    world.clock.ms += 300_001
    fresh = token(world, offered(world))
    with refusal("invalid_nonce"):
        world.offering.credential(fresh, asked(proof(late, iat=world.clock.ms // 1000)))


def test_a_lost_answer_is_given_again_to_the_same_key_alone(world: World) -> None:
    access = token(world, offered(world))
    first = world.offering.credential(access, asked(proof(world.offering.nonce())))
    assert world.offering.credential(access, asked(proof(world.offering.nonce()))) == first
    with refusal("credential_request_denied"):
        world.offering.credential(access, asked(proof(world.offering.nonce(), key=OTHER)))
    assert len(world.issued) == 1


def test_two_requests_at_once_issue_one_credential(world: World) -> None:
    access, entered, leave, outcomes = token(world, offered(world)), threading.Event(), threading.Event(), []
    plain = world.offering._issue

    def slow(*said: Any) -> Any:
        entered.set()
        assert leave.wait(10)
        return plain(*said)

    world.offering._issue = slow
    said = asked(proof(world.offering.nonce()))
    thread = threading.Thread(target=lambda: outcomes.append(world.offering.credential(access, said)))
    thread.start()
    assert entered.wait(10)
    with refusal("credential_request_denied"):
        world.offering.credential(access, asked(proof(world.offering.nonce(), key=OTHER)))
    leave.set()
    thread.join(10)
    assert len(world.issued) == len(outcomes) == 1


def test_a_wallet_may_try_again_when_issuing_failed(world: World) -> None:
    access = token(world, offered(world))
    world.failing.append(Malformed("not_accredited", "not accredited for that now"))
    with refusal("credential_request_denied"):
        world.offering.credential(access, asked(proof(world.offering.nonce())))
    assert world.offering.credential(access, asked(proof(world.offering.nonce())))


def test_a_crash_between_issuing_and_its_answer_lets_the_wallet_ask_again(world: World, tmp_path: Path) -> None:
    access = token(world, offered(world))
    claim = world.store.claimed(access, now_ms=START_MS)
    world.store.begin(claim, b"n", now_ms=START_MS, nonce_until_ms=START_MS + 1)
    world.store.close()
    again = exchanging.opened(tmp_path, world.clock)
    assert again.offering.credential(access, asked(proof(again.offering.nonce())))
    again.store.close()


def test_what_a_wallet_kept_is_forgotten_here(world: World) -> None:
    offer = offered(world)
    access = token(world, offer)
    answer = world.offering.credential(access, asked(proof(world.offering.nonce())))
    said = {"notification_id": answer["notification_id"], "event": "credential_accepted"}
    with refusal("invalid_notification_id"):
        world.offering.notify(access, json.dumps({**said, "notification_id": "x"}).encode())
    with refusal("invalid_notification_request"):
        world.offering.notify(access, json.dumps({**said, "event": "x"}).encode())
    world.offering.notify(access, json.dumps(said).encode())
    assert world.offering.state(offer.name) == "credential_accepted"
    with refusal("invalid_token"):
        world.offering.credential(access, asked(proof(world.offering.nonce())))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "invalid_credential_request"),
        (b"{}", "invalid_credential_request"),
        (asked("x", configuration="StateLicence_ldp_vc"), "unknown_credential_configuration"),
        (asked(), "invalid_proof"),
        (asked("x", "y"), "invalid_proof"),
        (asked("x"), "invalid_proof"),
        (
            b'{"credential_identifier": "a", "credential_configuration_id": "Degree_ldp_vc"}',
            "invalid_credential_request",
        ),
    ],
)
def test_errors_are_in_the_words_of_the_standard(world: World, body: bytes, code: str) -> None:
    access = token(world, offered(world))
    with refusal(code):
        world.offering.credential(access, body)


def test_offers_end_and_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "OFFERS_MAX", 2)
    first, _ = offered(world), offered(world)
    with pytest.raises(Unavailable, match="offers_full"):
        offered(world)
    world.offering.withdraw(first.name)
    offered(world)
    world.clock.ms += store.OFFER_LIFE_MS
    world.store.forget(now_ms=world.clock.ms)
    with pytest.raises(NotFound):
        world.offering.state(first.name)
    assert offered(world)


def test_metadata_is_where_the_standard_looks_for_it(world: World) -> None:
    assert oid4vci.well_known("https://a.example/credentials", "openid-credential-issuer") == (
        "https://a.example/.well-known/openid-credential-issuer/credentials"
    )
    said = world.offering.metadata()
    assert said["credential_issuer"] == BASE
    one = said["credential_configurations_supported"]["Degree_ldp_vc"]
    assert one["proof_types_supported"]["jwt"]["proof_signing_alg_values_supported"] == ["EdDSA", "ES256"]
