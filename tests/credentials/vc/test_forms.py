"""Credentials in all their forms: what is written is read again, and every change of it is refused."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from joserfc import jws as others
from joserfc.jwk import OKPKey

from ledger.credentials import model
from ledger.credentials.vc import anchor, contexts, cose_vc, did, integrity, jcs, jws, sdjwt, secured, status
from ledger.credentials.vc.status import Bits, Entry
from protocol import base64text
from protocol.errors import BadSignature, Malformed, ProtocolError
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey

ISSUER, OTHER, HOLDER = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
BROWSER = P256SigningKey(bytes([4]) * 32)
DID, METHOD = did.did_key(ISSUER.public), did.key_method(ISSUER.public)
ANCHOR = anchor.Anchor(id=bytes(range(16)), log="log.example/1", nonce=bytes(range(32)))
LISTS = [Entry(purpose=each, index=7, url=f"https://i.example/lists/{each}") for each in ("revocation", "suspension")]
NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1000


def numbers() -> Callable[[int], bytes]:
    return Random(5).randbytes


CLAIMS: dict[str, Any] = {
    "@context": [contexts.V2, contexts.OURS],
    "type": ["VerifiableCredential", "StateLicence"],
    "issuer": DID,
    "validFrom": "2026-01-01T00:00:00Z",
    "validUntil": "2028-01-01T00:00:00Z",
    "credentialSubject": {"id": did.did_key(HOLDER.public), "jurisdiction": "US-CA", "licenceNumber": "A1"},
    "credentialStatus": [each.said() for each in LISTS],
    "evidence": [ANCHOR.evidence()],
}
JWT_CLAIMS: dict[str, Any] = {
    "iss": DID,
    "vct": secured.VCT + "StateLicence",
    "nbf": 1_767_225_600,
    "exp": 1_830_297_600,
    "jurisdiction": "US-CA",
    "licenceNumber": "A1",
    "familyName": "Ånd",
    "credentialStatus": [each.said() for each in LISTS],
    "ledger": ANCHOR.said(),
}


def json_form() -> bytes:
    return json.dumps(integrity.sign(CLAIMS, ISSUER, method=METHOD, created_s=NOW_S)).encode()


def sd_form(holder: SigningKey | P256SigningKey = HOLDER) -> bytes:
    return sdjwt.issue(
        JWT_CLAIMS,
        key=ISSUER,
        kid=METHOD,
        disclosable={"licenceNumber", "familyName"},
        holder=holder.public,
        random_bytes=numbers(),
    ).encode()


FORMS: dict[str, bytes] = {
    "ldp_vc": json_form(),
    "vc+cose": cose_vc.sign(CLAIMS, ISSUER, method=METHOD),
    "dc+sd-jwt": sd_form(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: str) -> None:
    found = secured.read(FORMS[form])
    found.check(ISSUER.public, now_ms=NOW_MS)
    assert (found.format, found.issuer, found.method, found.type) == (form, DID, METHOD, "StateLicence")
    assert found.subject == did.did_key(HOLDER.public) and found.anchor == ANCHOR
    assert found.status == {each.purpose: each for each in LISTS} and found.jurisdiction == "US-CA"
    assert (found.from_ms, found.until_ms) == (1_767_225_600_000, 1_830_297_600_000)
    assert secured.said(found.claims)["licenceNumber"] == "A1"
    with pytest.raises(BadSignature):
        found.check(OTHER.public, now_ms=NOW_MS)


@pytest.mark.parametrize("form", FORMS)
def test_no_beginning_of_a_credential_is_one(form: str) -> None:
    whole = FORMS[form]
    for size in range(0, len(whole), 3):
        if form == "dc+sd-jwt" and whole[:size].endswith(b"~"):
            continue  # the holder may keep parts back
        with pytest.raises(ProtocolError):
            secured.read(whole[:size]).check(ISSUER.public, now_ms=NOW_MS)


@pytest.mark.parametrize("form", FORMS)
def test_no_flipped_bit_of_a_credential_passes(form: str) -> None:
    rng, whole = Random(1), FORMS[form]
    for _ in range(250):
        flipped = bytearray(whole)
        bit = rng.randrange(len(whole) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = secured.read(bytes(flipped))
            found.check(ISSUER.public, now_ms=NOW_MS)
        except ProtocolError:
            continue
        # JSON has more than one text for a value: what passes is the same credential, or a part of it held back
        assert form == "ldp_vc" and jcs.canonical(found.claims) == jcs.canonical(json.loads(whole))


def test_the_commitment_needs_the_nonce_and_every_byte() -> None:
    for whole in FORMS.values():
        found = secured.read(whole)
        said = ANCHOR.commitment(found.signed)
        assert said == model.commitment(ANCHOR.nonce, found.signed)
        assert said != model.commitment(bytes(32), found.signed)
        assert said != ANCHOR.commitment(found.signed + b" ")


def test_a_reformatted_json_credential_has_the_same_commitment() -> None:
    again = json.dumps(json.loads(FORMS["ldp_vc"]), indent=3, sort_keys=True).encode()
    assert secured.read(again).signed == secured.read(FORMS["ldp_vc"]).signed


def test_a_credential_by_who_is_not_its_issuer_is_refused() -> None:
    by_other = {"method": did.key_method(OTHER.public), "created_s": NOW_S}
    with pytest.raises(Malformed, match="proof_issuer"):
        secured.read(json.dumps(integrity.sign(CLAIMS, OTHER, **by_other)).encode())  # type: ignore[arg-type]
    with pytest.raises(Malformed, match="proof_issuer"):
        secured.read(cose_vc.sign(CLAIMS, OTHER, method=did.key_method(OTHER.public)))
    raw = sdjwt.issue(
        JWT_CLAIMS, key=OTHER, kid=did.key_method(OTHER.public), disclosable=(), holder=None, random_bytes=numbers()
    )
    with pytest.raises(Malformed, match="proof_issuer"):
        secured.read(raw.encode())


def test_an_issuer_signs_beside_others_and_not_on_top_of_them() -> None:
    by_other: dict[str, Any] = {"method": did.key_method(OTHER.public), "created_s": NOW_S, "name": "urn:uuid:1"}
    first = integrity.sign(CLAIMS, OTHER, **by_other)
    beside = integrity.sign(first, ISSUER, method=METHOD, created_s=NOW_S)
    found = secured.read(json.dumps(beside).encode())
    assert found.method == METHOD
    found.check(ISSUER.public, now_ms=NOW_MS)
    on_top = integrity.sign(first, ISSUER, method=METHOD, created_s=NOW_S, previous=["urn:uuid:1"])
    with pytest.raises(Malformed, match="proof_previous"):
        secured.read(json.dumps(on_top).encode())


# -- SD-JWT


@pytest.mark.parametrize("holder", [HOLDER, BROWSER], ids=["Ed25519", "P-256"])
def test_the_holder_shows_a_part_and_proves_that_it_is_theirs(holder: SigningKey | P256SigningKey) -> None:
    shown = sdjwt.present(sd_form(holder).decode(), {"licenceNumber"}, key=holder, nonce="n", aud="a", iat_s=NOW_S)
    found = sdjwt.read(shown)
    assert "licenceNumber" in found.claims and "familyName" not in found.claims
    sdjwt.check_binding(found, nonce="n", aud="a", now_s=NOW_S)
    secured.of_sd_jwt(found, shown.encode()).check(ISSUER.public, now_ms=NOW_MS)
    for asked, code in (
        ({"nonce": "m"}, "binding_nonce"),
        ({"aud": "b"}, "binding_aud"),
        ({"now_s": NOW_S + 301}, "binding_old"),
        ({"now_s": NOW_S - 301}, "binding_old"),
    ):
        with pytest.raises(BadSignature) as refused:
            sdjwt.check_binding(found, **{"nonce": "n", "aud": "a", "now_s": NOW_S, **asked})  # type: ignore[arg-type]
        assert refused.value.code == code


def test_a_binding_is_for_one_selection_and_by_one_key() -> None:
    raw = sd_form().decode()
    one = sdjwt.present(raw, {"licenceNumber"}, key=HOLDER, nonce="n", aud="a", iat_s=NOW_S)
    more = sdjwt.present(raw, {"licenceNumber", "familyName"}, key=HOLDER, nonce="n", aud="a", iat_s=NOW_S)
    mixed = more.rpartition("~")[0] + "~" + one.rpartition("~")[2]
    with pytest.raises(BadSignature, match="binding_hash"):
        sdjwt.check_binding(sdjwt.read(mixed), nonce="n", aud="a", now_s=NOW_S)
    swapped = sdjwt.present(raw, set(), key=OTHER, nonce="n", aud="a", iat_s=NOW_S)
    with pytest.raises(BadSignature, match="signature_bad"):
        sdjwt.check_binding(sdjwt.read(swapped), nonce="n", aud="a", now_s=NOW_S)
    with pytest.raises(BadSignature, match="binding_missing"):
        sdjwt.check_binding(sdjwt.read(raw), nonce="n", aud="a", now_s=NOW_S)


def hand_made(payload: dict[str, Any], *disclosures: object) -> str:
    texts = [base64text.encode_url(jcs.canonical(each)) for each in disclosures]
    return "~".join([jws.sign({"typ": sdjwt.TYP, "kid": METHOD}, payload, ISSUER), *texts, ""])


def digest(disclosure: object) -> str:
    return sdjwt._digest(base64text.encode_url(jcs.canonical(disclosure)))


NAMED, ITEM, INNER = ["s", "a", 1], ["s", 2], ["s", "b", {"_sd": [digest(["s", "c", 3])]}]


def test_nested_and_listed_parts_are_opened_and_decoys_stay_shut() -> None:
    payload = {"_sd": [digest(INNER), digest(["decoy", "x", 1])], "l": [{"...": digest(ITEM)}, {"...": "decoy"}, 5]}
    assert sdjwt.read(hand_made(payload, INNER, ["s", "c", 3], ITEM)).claims == {"l": [2, 5], "b": {"c": 3}}
    assert sdjwt.read(hand_made(payload)).claims == {"l": [5]}


REFUSED: dict[str, tuple[dict[str, Any], list[object], str]] = {
    "a disclosure without a place": ({}, [NAMED], "sd_unused"),
    "a digest twice": ({"_sd": [digest(NAMED)], "x": {"_sd": [digest(NAMED)]}}, [], "sd_digest"),
    "a name that is there": ({"a": 0, "_sd": [digest(NAMED)]}, [NAMED], "sd_name"),
    "an item as a claim": ({"_sd": [digest(ITEM)]}, [ITEM], "sd_name"),
    "a claim as an item": ({"l": [{"...": digest(NAMED)}]}, [NAMED], "sd_name"),
    "another algorithm": ({"_sd_alg": "sha-1"}, [], "sd_alg"),
    "a hidden status": (
        {"_sd": [digest(["s", "credentialStatus", []])]},
        [["s", "credentialStatus", []]],
        "sd_never_hidden",
    ),
    "a hidden end": ({"_sd": [digest(["s", "exp", 1])]}, [["s", "exp", 1]], "sd_never_hidden"),
    "a claim called _sd": ({"_sd": [digest(["s", "_sd", []])]}, [["s", "_sd", []]], "sd_disclosure"),
    "digests that are no list": ({"_sd": "x"}, [], "sd_digest"),
    "a hidden item in no list": ({"a": {"...": [digest(ITEM)]}}, [], "sd_digest"),
    "a disclosure of four": ({}, [[1, 2, 3, 4]], "sd_disclosure"),
    "a disclosure twice": ({"_sd": [digest(NAMED)]}, [NAMED, NAMED], "sd_twice"),
}


@pytest.mark.parametrize(("payload", "disclosures", "code"), REFUSED.values(), ids=REFUSED)
def test_a_credential_that_plays_tricks_is_refused(
    payload: dict[str, Any], disclosures: list[object], code: str
) -> None:
    with pytest.raises(Malformed) as refused:
        sdjwt.read(hand_made(payload, *disclosures))
    assert refused.value.code == code


def test_parts_within_parts_are_not_deeper_than_a_document_may_be() -> None:
    chain: list[list[object]] = [["s", "k", 1]]
    for _ in range(200):
        value: object = {"_sd": [digest(chain[-1])]}
        for _ in range(20):
            value = {"a": value}
        chain.append(["s", "k", value])
    with pytest.raises(Malformed, match="json_depth"):
        sdjwt.read(hand_made({"_sd": [digest(chain[-1])]}, *chain))


def test_a_claim_is_shown_whole_and_none_of_its_name_elsewhere() -> None:
    inner, other, item = ["s", "b", 1], ["s", "b", 2], ["s", {"_sd": [digest(["s", "c", 3])]}]
    hidden, plain = ["s", "a", {"_sd": [digest(inner)]}], {"_sd": [digest(other)]}
    payload = {
        "_sd": [digest(hidden)],
        "p": plain,
        "l": [{"...": digest(item)}, 4],
        "cnf": {"jwk": did.to_jwk(HOLDER.public)},
    }
    raw = hand_made(payload, hidden, inner, other, item, ["s", "c", 3])
    for names, found in (
        ({"a"}, {"a": {"b": 1}, "p": {}, "l": [4]}),
        ({"p"}, {"p": {"b": 2}, "l": [4]}),
        ({"l"}, {"p": {}, "l": [{"c": 3}, 4]}),
        ({"b", "c"}, {"p": {}, "l": [4]}),
    ):
        shown = sdjwt.read(sdjwt.present(raw, names, key=HOLDER, nonce="n", aud="a", iat_s=NOW_S))
        assert {name: each for name, each in shown.claims.items() if name != "cnf"} == found


def test_no_issuer_of_ours_hides_what_a_verifier_needs() -> None:
    with pytest.raises(Malformed, match="sd_never_hidden"):
        sdjwt.issue(JWT_CLAIMS, key=ISSUER, kid=METHOD, disclosable={"exp"}, holder=None, random_bytes=numbers())


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_token_is_one_to_another_library_and_theirs_to_us() -> None:
    token = jws.sign({"typ": "x"}, {"a": 1}, ISSUER)
    public = OKPKey.import_key(did.to_jwk(ISSUER.public))  # type: ignore[arg-type]
    assert json.loads(others.deserialize_compact(token, public, algorithms=["EdDSA"]).payload) == {"a": 1}
    secret = {**did.to_jwk(ISSUER.public), "d": base64text.encode_url(ISSUER.seed)}
    theirs = others.serialize_compact({"alg": "EdDSA"}, b'{"b": 2}', OKPKey.import_key(secret), algorithms=["EdDSA"])  # type: ignore[arg-type]
    found = jws.read(theirs)
    jws.check(found, ISSUER.public)
    assert found.payload == {"b": 2}


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"crit": ["x"]}, {"alg": None}])
def test_a_token_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    head = base64text.encode_url(json.dumps({"alg": "EdDSA", **header}).encode())
    with pytest.raises(Malformed):
        jws.read(f"{head}.{base64text.encode_url(b'{}')}.")


# -- status lists


def test_a_list_comes_back_and_its_first_bit_is_the_left_most() -> None:
    bits = Bits(model.LIST_SIZE_MIN)
    bits.set(0, True)
    bits.set(9, True)
    assert bytes(bits._data[:2]) == b"\x80\x40" and bits.count() == 2
    assert Bits.decode(bits.encoded()) == bits and bits.encoded() == bits.copy().encoded()
    bits.set(9, False)
    assert not bits[9] and bits[0]
    for index in (-1, bits.size):
        with pytest.raises(Malformed, match="list_index"):
            bits[index]


@pytest.mark.vectors
def test_the_published_list_is_one_of_zeros(vectors_dir: Any) -> None:
    text = (vectors_dir / "bitstring-status-list" / "vectors.json").read_text()
    encoded = next(each for each in _texts(json.loads(text)) if each.startswith("uH4s"))
    found = Bits.decode(encoded)
    assert (found.size, found.count()) == (131_072, 0)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [found for each in inner for found in _texts(each)]


def test_a_bomb_a_short_list_and_a_tail_are_refused() -> None:
    import gzip

    def encoded(data: bytes) -> str:
        return "u" + base64text.encode_url(gzip.compress(data))

    whole = bytes(model.LIST_SIZE_MIN // 8)
    for data, code in (
        (bytes(1 << 26), "list_size"),
        (bytes(model.LIST_SIZE_MIN // 8 - 1), "list_size"),
    ):
        with pytest.raises(Malformed, match=code):
            Bits.decode(encoded(data))
    two = "u" + base64text.encode_url(gzip.compress(whole) + gzip.compress(whole))
    for text in (two, "uAAAA", "x", "u", encoded(whole)[:-4], encoded(whole)[1:]):
        with pytest.raises(Malformed, match="list_encoding"):
            Bits.decode(text)


def test_a_list_credential_is_read_as_it_was_written() -> None:
    bits = Bits(model.LIST_SIZE_MIN)
    bits.set(77, True)
    made = status.credential(
        url="https://i.example/l", issuer=DID, purpose="revocation", bits=bits, from_ms=0, until_ms=NOW_MS
    )
    found = status.read_list(made)
    assert (found.purpose, found.issuer, found.valid_until_ms, found.bits) == ("revocation", DID, NOW_MS, bits)
    for change in ({"type": ["VerifiableCredential"]}, {"id": None}, {"credentialSubject": {"type": "x"}}):
        with pytest.raises(Malformed):
            status.read_list({name: each for name, each in {**made, **change}.items() if each is not None})


def test_free_indexes_are_random_and_never_given_twice() -> None:
    rng, taken = Random(9), Bits(model.LIST_SIZE_MIN)
    given = []
    for count in range(2000):
        index = status.free_index(taken, count, rng.randrange)
        assert not taken[index]
        taken.set(index, True)
        given.append(index)
    assert given != sorted(given) and len(set(given)) == 2000
    nearly = Bits(model.LIST_SIZE_MIN, b"\xff" * (model.LIST_SIZE_MIN // 8 - 1) + b"\xfd")
    assert status.free_index(nearly, nearly.count(), rng.randrange) == model.LIST_SIZE_MIN - 2
    with pytest.raises(Malformed, match="list_full"):
        status.free_index(nearly, nearly.size, rng.randrange)
