"""@sd-jwt, which is not ours, judges our SD-JWT credentials and presentations, and we judge theirs."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from ledger.credentials import types
from ledger.credentials.issuing.signing import Said, Signer
from ledger.credentials.vc import did, jws, sdjwt, secured
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.status import Entry
from protocol import base64text
from protocol.errors import ProtocolError
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.support.outside import ask_node
from tests.support.vouching import LICENCE

pytestmark = pytest.mark.outside

ISSUER, OTHER = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2))
SECRET = bytes([3]) * 32
HOLDERS: dict[str, SigningKey | P256SigningKey] = {
    "Ed25519": SigningKey.from_seed(SECRET),
    "P-256": P256SigningKey(SECRET),
}
NOW_S = 1_800_000_000
NONCE, AUD = "n-0S6_WzA2Mj", "https://v.example/answers"
ANCHOR = Anchor(id=bytes(range(16)), log="log.example/1", nonce=bytes(range(32)))
LISTS = [Entry(purpose=each, index=7, url=f"https://i.example/lists/{each}") for each in ("revocation", "suspension")]


def asked(*cases: dict[str, Any]) -> list[Any]:
    """Its answers, in the order of the cases."""
    found = ask_node("ask_sd_jwt.js", list(cases))
    assert isinstance(found, list) and len(found) == len(cases)
    return found


def secret(key: SigningKey | P256SigningKey) -> dict[str, str]:
    """The key pair as a JSON Web Key. Its private part is the seed that it was made from."""
    seed = key.seed if isinstance(key, SigningKey) else SECRET
    return {**did.to_jwk(key.public), "d": base64text.encode_url(seed)}


def issued(holder: SigningKey | P256SigningKey) -> str:
    """A nurse's licence, as our issuer makes it."""
    said = Said(
        draft=types.draft("StateLicence", LICENCE),
        holder=holder.public,
        anchor=ANCHOR,
        entries=LISTS,
        from_ms=NOW_S * 1000,
        until_ms=(NOW_S + 86_400) * 1000,
    )
    signer = Signer(key=ISSUER, method=did.key_method(ISSUER.public))
    return signer.sign(said, secured.SD_JWT, random_bytes=Random(5).randbytes).decode()


def judging(credential: str, **more: Any) -> dict[str, Any]:
    return {"ask": "verify", "credential": credential, "key": did.to_jwk(ISSUER.public), "now": NOW_S + 60, **more}


@pytest.mark.parametrize("library", ["core", "vc"])
def test_it_accepts_our_credentials_and_reads_what_we_read(library: str) -> None:
    raw = issued(HOLDERS["Ed25519"])
    (found,) = asked(judging(raw, library=library))
    assert found["payload"] == json.loads(json.dumps(sdjwt.read(raw).claims)), found
    assert found["payload"]["familyName"] == LICENCE["familyName"]


@pytest.mark.parametrize("curve", HOLDERS)
def test_it_accepts_our_presentations(curve: str) -> None:
    holder = HOLDERS[curve]
    shown = sdjwt.present(issued(holder), {"licenceNumber"}, key=holder, nonce=NONCE, aud=AUD, iat_s=NOW_S + 30)
    (found,) = asked(judging(shown, nonce=NONCE))
    assert found["payload"]["licenceNumber"] == LICENCE["licenceNumber"], found
    assert "familyName" not in found["payload"] and "npi" not in found["payload"]
    assert found["kb"]["aud"] == AUD and found["kb"]["nonce"] == NONCE


def test_it_refuses_what_was_changed() -> None:
    holder = HOLDERS["Ed25519"]
    raw = issued(holder)
    shown = sdjwt.present(raw, {"licenceNumber"}, key=holder, nonce=NONCE, aud=AUD, iat_s=NOW_S + 30)
    less = sdjwt.present(raw, set(), key=holder, nonce=NONCE, aud=AUD, iat_s=NOW_S + 30)
    swapped = sdjwt.present(raw, {"licenceNumber"}, key=OTHER, nonce=NONCE, aud=AUD, iat_s=NOW_S + 30)
    _, body, mark = sdjwt.read(raw).token.raw.split(".")
    claims = json.loads(base64text.decode_url(body, code=""))
    forged = base64text.encode_url(json.dumps({**claims, "jurisdiction": "US-NY"}).encode())
    cases = [
        judging(shown.replace(body, forged), nonce=NONCE),
        judging(shown.replace(mark, "A" * 86), nonce=NONCE),
        judging(shown, nonce="another"),
        judging(raw, nonce=NONCE),
        judging(swapped, nonce=NONCE),
        judging(shown.rpartition("~")[0] + "~" + less.rpartition("~")[2], nonce=NONCE),
        judging(shown, nonce=NONCE, key=did.to_jwk(OTHER.public)),
        judging(shown, nonce=NONCE, now=NOW_S + 86_401),
    ]
    assert ["refused" in each for each in asked(judging(shown, nonce=NONCE), *cases)] == [False] + [True] * len(cases)


CLAIMS: Mapping[str, Any] = {
    "iss": did.did_key(ISSUER.public),
    "vct": secured.VCT + "StateLicence",
    "nbf": NOW_S,
    "exp": NOW_S + 86_400,
    "jurisdiction": "US-CA",
    "licenceNumber": "A1",
    "scope": {"schedules": ["II", "IV", "V"], "supervision": "none", "site": {"name": "Ward 7", "floor": 3}},
    "specialty": ["cardiology", {"name": "surgery", "since": 2019}],
    "credentialStatus": [each.said() for each in LISTS],
    "ledger": ANCHOR.said(),
}
FRAME = {
    "_sd": ["licenceNumber", "scope"],
    "_sd_decoy": 3,
    "scope": {"_sd": ["supervision"], "schedules": {"_sd": [0, 2], "_sd_decoy": 1}, "site": {"_sd": ["floor"]}},
    "specialty": {"_sd": [1], "1": {"_sd": ["since"]}},
}


@pytest.fixture(params=HOLDERS)
def theirs(request: pytest.FixtureRequest) -> tuple[SigningKey | P256SigningKey, str]:
    """(holder, a credential of theirs) with parts hidden within parts, in lists, and decoys."""
    holder = HOLDERS[request.param]
    claims = {**CLAIMS, "cnf": {"jwk": did.to_jwk(holder.public)}}
    case = {
        "ask": "issue",
        "claims": claims,
        "frame": FRAME,
        "kid": did.key_method(ISSUER.public),
        "key": secret(ISSUER),
    }
    (made,) = asked(case)
    assert isinstance(made, str), made
    return holder, made


def test_we_read_all_that_they_hid(theirs: tuple[SigningKey | P256SigningKey, str]) -> None:
    holder, raw = theirs
    found = sdjwt.read(raw)
    jws.check(found.token, ISSUER.public)
    assert len(found.disclosures) == 8 and found.holder == holder.public
    assert found.claims == {**CLAIMS, "cnf": {"jwk": did.to_jwk(holder.public)}}
    secured.read(raw.encode()).check(ISSUER.public, now_ms=NOW_S * 1000)


def test_we_accept_what_their_holder_shows_and_nothing_that_was_changed(
    theirs: tuple[SigningKey | P256SigningKey, str],
) -> None:
    holder, raw = theirs
    frame = {"scope": True, "specialty": {"1": True}}
    kb = {"iat": NOW_S, "nonce": NONCE, "aud": AUD}
    case = {"ask": "present", "credential": raw, "frame": frame, "kb": kb, "holder": secret(holder)}
    (shown,) = asked(case)
    found = sdjwt.read(shown)
    sdjwt.check_binding(found, nonce=NONCE, aud=AUD, now_s=NOW_S + 10)
    assert found.claims["scope"] == {"schedules": ["IV"], "site": {"name": "Ward 7"}}
    assert found.claims["specialty"] == ["cardiology", {"name": "surgery"}] and "licenceNumber" not in found.claims
    rng = Random(1)
    for _ in range(200):
        place = rng.randrange(len(shown))
        bent = shown[:place] + rng.choice("ABCxyz019_-~.") + shown[place + 1 :]
        if bent != shown:
            with pytest.raises(ProtocolError):
                accepted(bent)


def test_we_show_a_part_of_a_credential_of_theirs_and_they_accept_it(
    theirs: tuple[SigningKey | P256SigningKey, str],
) -> None:
    holder, raw = theirs
    shown = sdjwt.present(raw, {"licenceNumber"}, key=holder, nonce=NONCE, aud=AUD, iat_s=NOW_S)
    (found,) = asked(judging(shown, nonce=NONCE))
    assert found["payload"]["licenceNumber"] == "A1" and "scope" not in found["payload"], found
    whole = sdjwt.present(raw, {"scope", "specialty"}, key=holder, nonce=NONCE, aud=AUD, iat_s=NOW_S)
    (found,) = asked(judging(whole, nonce=NONCE))
    assert {name: found["payload"][name] for name in ("scope", "specialty")} == {
        name: CLAIMS[name] for name in ("scope", "specialty")
    }


def accepted(shown: str) -> None:
    """Raises ProtocolError unless all of it holds."""
    found = sdjwt.read(shown)
    jws.check(found.token, ISSUER.public)
    sdjwt.check_binding(found, nonce=NONCE, aud=AUD, now_s=NOW_S + 10)
