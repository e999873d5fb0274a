"""application/vc+cose: an envelope says what is in it and who signed it, all of it under the signature."""

from typing import Any

import pytest

from ledger.credentials.vc import cose_vc, jcs, secured
from protocol import cose
from protocol.errors import BadSignature, Malformed
from tests.credentials.vc.test_forms import CLAIMS, HOLDER, ISSUER, METHOD, NOW_MS

HEAD: dict[int, object] = {
    cose.ALG: -8,
    cose.CONTENT_TYPE: cose_vc.VC,
    cose.KID: METHOD.encode(),
    cose_vc.TYP: cose_vc.VC_COSE,
}


def made(head: dict[int, object], payload: bytes | None = None, **more: Any) -> bytes:
    return cose.sign1(ISSUER, protected=head, payload=jcs.canonical(CLAIMS) if payload is None else payload, **more)


def without(name: int) -> dict[int, object]:
    return {each: value for each, value in HEAD.items() if each != name}


def test_an_envelope_is_made_of_these_headers_and_canonical_json() -> None:
    assert made(HEAD) == cose_vc.sign(CLAIMS, ISSUER, method=METHOD)
    found = cose_vc.read(made(without(cose.CONTENT_TYPE)))  # which it may leave out
    cose_vc.check(found, ISSUER.public)
    assert (found.document, found.method, found.typ) == (CLAIMS, METHOD, "application/vc+cose")


REFUSED: dict[str, tuple[bytes, str]] = {
    "without a type": (made(without(cose_vc.TYP)), "vc_cose"),
    "of another type": (made({**HEAD, cose_vc.TYP: "application/jose"}), "vc_cose"),
    "a presentation by its content": (made({**HEAD, cose.CONTENT_TYPE: cose_vc.VP}), "vc_cose"),
    "without a method": (made(without(cose.KID)), "vc_cose"),
    "with an empty method": (made({**HEAD, cose.KID: b""}), "vc_cose"),
    "with a long method": (made({**HEAD, cose.KID: b"x" * 513}), "vc_cose"),
    "with a method that is no text": (made({**HEAD, cose.KID: b"\xff"}), "vc_cose"),
    "with a header that nobody knows": (made({**HEAD, 99: 1}), "vc_cose"),
    "with a header that nobody signed": (made(HEAD, unprotected={99: 1}), "vc_cose"),
    "without what is signed": (made(HEAD, detached=True), "vc_cose"),
    "with something else in it": (made(HEAD, payload=b"\xa0"), "json_syntax"),
    "with a member twice": (made(HEAD, payload=b'{"a":1,"a":1}'), "json_member_twice"),
    "with too much in it": (made(HEAD, payload=b'{"a":"' + b"x" * cose_vc.SIZE_MAX + b'"}'), "cbor_size"),
}


@pytest.mark.parametrize(("raw", "code"), REFUSED.values(), ids=REFUSED)
def test_an_envelope_that_does_not_say_what_it_is_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(Malformed) as refused:
        cose_vc.read(raw)
    assert refused.value.code == code


def test_what_must_be_understood_and_is_not_ends_it() -> None:
    raw = made({**HEAD, cose.CRIT: [99]})
    with pytest.raises(BadSignature, match="crit_unsupported"):
        cose_vc.check(cose_vc.read(raw), ISSUER.public)
    with pytest.raises(BadSignature, match="crit_unsupported"):
        secured.read(raw).check(ISSUER.public, now_ms=NOW_MS)


def test_a_key_of_another_algorithm_or_of_another_party_does_not_verify() -> None:
    found = cose_vc.read(made({**HEAD, cose.ALG: -7}))
    with pytest.raises(BadSignature, match="alg_unsupported"):
        cose_vc.check(found, ISSUER.public)
    with pytest.raises(BadSignature, match="signature_bad"):
        cose_vc.check(cose_vc.read(made(HEAD)), HOLDER.public)
