"""Presentations: what one holder shows to one verifier, in every form, and shows to nobody else, and nobody else shows."""

import json
from random import Random
from typing import Any

import pytest

from ledger.credentials.vc import contexts, cose_vc, did, integrity, jcs, presentation, sdjwt
from protocol import base64text
from protocol.errors import BadSignature, Malformed, ProtocolError
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.credentials.vc.test_forms import (
    BROWSER,
    FORMS,
    HOLDER,
    ISSUER,
    JWT_CLAIMS,
    METHOD,
    NOW_MS,
    NOW_S,
    OTHER,
    numbers,
)

ASKED: dict[str, Any] = {"nonce": "n-1", "audience": "https://v.example/answers", "now_ms": NOW_MS}
ALL = [FORMS["ldp_vc"], FORMS["vc+cose"], FORMS["dc+sd-jwt"]]


def shown(key: SigningKey | P256SigningKey = HOLDER, *, in_cose: bool = False) -> bytes:
    said: dict[str, Any] = {"nonce": ASKED["nonce"], "audience": ASKED["audience"], "now_s": NOW_S}
    items = [presentation.item(each) for each in ALL]
    if in_cose:
        return presentation.signed_in_cose(items, key, **said)
    return jcs.canonical(presentation.signed(items, key, **said))


def shown_part() -> bytes:
    raw = sdjwt.issue(
        JWT_CLAIMS, key=ISSUER, kid=METHOD, disclosable={"licenceNumber"}, holder=HOLDER.public, random_bytes=numbers()
    )
    return sdjwt.present(raw, set(), key=HOLDER, nonce=ASKED["nonce"], aud=ASKED["audience"], iat_s=NOW_S).encode()


SHOWN = {"ldp_vp": shown(), "vp+cose": shown(in_cose=True), "dc+sd-jwt": shown_part()}


@pytest.mark.parametrize("form", SHOWN)
def test_a_holder_shows_credentials_to_who_asked(form: str) -> None:
    found = presentation.read(SHOWN[form])
    assert presentation.check(found, **ASKED) == did.did_key(HOLDER.public) == found.holder
    forms = ["dc+sd-jwt"] if form == "dc+sd-jwt" else ["ldp_vc", "vc+cose", "dc+sd-jwt"]
    assert [each.format for each in found.credentials] == forms
    for each in found.credentials:
        each.check(ISSUER.public, now_ms=NOW_MS)
        assert each.subject == found.holder


@pytest.mark.parametrize("in_cose", [False, True], ids=["json", "cose"])
def test_a_key_of_a_browser_shows_credentials(in_cose: bool) -> None:
    found = presentation.read(shown(BROWSER, in_cose=in_cose))
    assert presentation.check(found, **ASKED) == did.did_key(BROWSER.public)


@pytest.mark.parametrize("form", SHOWN)
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nonce": "n-2"}, "proof_challenge binding_nonce"),
        ({"audience": "https://other.example/answers"}, "proof_domain binding_aud"),
        ({"now_ms": NOW_MS + 301_000}, "proof_old binding_old"),
        ({"now_ms": NOW_MS - 301_000}, "proof_old proof_created binding_old"),
    ],
    ids=["another question", "another verifier", "an old one", "one of the future"],
)
def test_what_was_made_for_another_question_is_refused(form: str, change: dict[str, Any], code: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        presentation.check(presentation.read(SHOWN[form]), **{**ASKED, **change})
    assert refused.value.code in code.split()


@pytest.mark.parametrize("form", SHOWN)
def test_no_beginning_of_a_presentation_is_one(form: str) -> None:
    whole = SHOWN[form]
    for size in range(0, len(whole), 17):
        with pytest.raises(ProtocolError):
            presentation.check(presentation.read(whole[:size]), **ASKED)


@pytest.mark.parametrize("form", SHOWN)
def test_no_flipped_bit_of_a_presentation_passes(form: str) -> None:
    rng, whole = Random(2), SHOWN[form]
    for _ in range(120):
        flipped = bytearray(whole)
        bit = rng.randrange(len(whole) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = presentation.read(bytes(flipped))
            presentation.check(found, **ASKED)
        except ProtocolError:
            continue
        assert form == "ldp_vp" and jcs.canonical(found.document) == jcs.canonical(json.loads(whole))


def remade(change: dict[str, Any], *, key: SigningKey = HOLDER, **signing: Any) -> bytes:
    """A presentation by HOLDER's method with some of it changed before it is signed."""
    document = {**presentation.bare([presentation.item(ALL[0])], holder=did.did_key(HOLDER.public)), **change}
    made: dict[str, Any] = {
        "method": did.key_method(HOLDER.public),
        "created_s": NOW_S,
        "purpose": did.AUTHENTICATION,
        "challenge": ASKED["nonce"],
        "domain": ASKED["audience"],
        **signing,
    }
    return json.dumps(integrity.sign(document, key, **made)).encode()


def envelope(name: str, **more: Any) -> dict[str, Any]:
    return {"@context": contexts.V2, "type": "EnvelopedVerifiableCredential", "id": name, **more}


REFUSED: dict[str, tuple[bytes, str]] = {
    "signed by who is not the holder": (remade({"holder": did.did_key(OTHER.public)}), "vp_holder"),
    "signed by another key than its method's": (remade({}, key=OTHER), "signature_bad"),
    "by a method that its DID does not have": (remade({}, method=did.did_key(HOLDER.public) + "#x"), "method_unknown"),
    "by a holder whose document would have to be fetched": (
        remade({"holder": "did:web:evil.example"}, method="did:web:evil.example#k"),
        "did_bad",
    ),
    "to assert, not to show": (remade({}, purpose=did.ASSERTION), "proof_purpose"),
    "without a challenge": (remade({}, challenge=None), "proof_challenge"),
    "without a domain": (remade({}, domain=None), "proof_domain"),
    "with nothing in it": (remade({"verifiableCredential": []}), "vp_credential"),
    "with a text in it": (remade({"verifiableCredential": ["x"]}), "vp_credential"),
    "with an envelope of another kind": (
        remade({"verifiableCredential": [envelope("data:text/html,x")]}),
        "vp_credential",
    ),
    "with an envelope that is to be fetched": (
        remade({"verifiableCredential": [envelope("https://evil.example/c")]}),
        "vp_credential",
    ),
    "with a presentation in an envelope": (
        remade({"verifiableCredential": [envelope(presentation.DATA_COSE + base64text.encode(SHOWN["vp+cose"]))]}),
        "vc_format",
    ),
    "a credential that nobody put into one": (FORMS["vc+cose"], "vp_format"),
    "a JSON credential": (FORMS["ldp_vc"], "vc_type"),
    "an SD-JWT without its binding": (FORMS["dc+sd-jwt"], "binding_missing"),
}


@pytest.mark.parametrize(("raw", "code"), REFUSED.values(), ids=REFUSED)
def test_what_only_looks_like_a_presentation_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        presentation.check(presentation.read(raw), **ASKED)
    assert refused.value.code == code


def test_two_proofs_are_one_too_many() -> None:
    document = json.loads(SHOWN["ldp_vp"])
    document["proof"] = [document["proof"], document["proof"]]
    with pytest.raises(Malformed, match="vp_proof"):
        presentation.read(json.dumps(document).encode())


def test_a_presentation_has_a_bounded_size_and_number_of_credentials() -> None:
    with pytest.raises(Malformed, match="vp_size"):
        presentation.read(b"{" + b" " * presentation.SIZE_MAX)
    document = presentation.bare([presentation.item(ALL[2])], holder=did.did_key(HOLDER.public))
    document["verifiableCredential"] *= presentation.CREDENTIALS_MAX + 1
    with pytest.raises(Malformed, match="vp_credential"):
        presentation.read(cose_vc.sign(document, HOLDER, method=did.key_method(HOLDER.public), typ=cose_vc.VP_COSE))


def test_a_credential_in_cose_says_nothing_about_who_asked() -> None:
    raw = cose_vc.sign({"@context": [contexts.V2]}, ISSUER, method=METHOD, claims={presentation.AUD: "x"})
    with pytest.raises(Malformed, match="vc_cose"):
        cose_vc.read(raw)


def test_an_envelope_verifies_with_a_key_of_p_256_and_no_other() -> None:
    envelope = cose_vc.read(cose_vc.sign({"a": 1}, BROWSER, method="did:example:a#k"))
    cose_vc.check(envelope, BROWSER.public)
    for key in (HOLDER.public, P256SigningKey(bytes([9]) * 32).public):
        with pytest.raises(BadSignature):
            cose_vc.check(envelope, key)
