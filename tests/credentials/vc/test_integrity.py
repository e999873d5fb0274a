"""Data Integrity over canonical JSON: W3C's vectors byte for byte, and every change of a proof or a document refused."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.credentials.vc import did, integrity, jcs, multikey
from protocol.errors import BadSignature, Malformed, ProtocolError
from protocol.keys import PublicKey, SigningKey
from protocol.p256 import P256SigningKey

KEY, OTHER = SigningKey.from_seed(bytes([1]) * 32), SigningKey.from_seed(bytes([2]) * 32)
BROWSER = P256SigningKey(bytes([3]) * 32)
DOCUMENT: dict[str, Any] = {
    "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
    "type": ["VerifiableCredential"],
    "issuer": did.did_key(KEY.public),
    "credentialSubject": {"id": "did:example:a", "score": 1.5, "names": ["Åse", "x"]},
}
NOW_S = 1_800_000_000


def signed(key: SigningKey | P256SigningKey = KEY, **changed: Any) -> dict[str, Any]:
    made = {"method": did.key_method(key.public), "created_s": NOW_S, **changed}
    return integrity.sign(DOCUMENT, key, **made)


def checked(document: dict[str, Any], key: Any = KEY) -> None:
    for proof in integrity.proofs(document):
        integrity.check(document, proof, key.public)


@pytest.mark.vectors
def test_the_published_vector_of_eddsa_jcs_2022_byte_for_byte(vectors_dir: Path) -> None:
    folder = vectors_dir / "vc-di-eddsa"
    here = folder / "eddsa-jcs-2022"
    pair = json.loads((folder / "keyPair.json").read_text())
    seed = multikey.unbase58(pair["privateKeyMultibase"])[2:]
    key = SigningKey.from_seed(seed)
    assert multikey.encode(key.public) == pair["publicKeyMultibase"]
    document = json.loads((folder / "unsigned.json").read_text())
    options = json.loads((here / "proofConfigJCS.json").read_text())
    assert jcs.canonical(document).decode() == (here / "canonDocJCS.txt").read_text().strip()
    assert jcs.canonical(options).decode() == (here / "proofCanonJCS.txt").read_text().strip()
    both = integrity.hashed(document, options)
    assert both.hex() == (here / "combinedHashJCS.txt").read_text().strip()
    assert both[:32].hex() == (here / "proofHashJCS.txt").read_text().strip()
    assert both[32:].hex() == (here / "docHashJCS.txt").read_text().strip()
    assert key.sign(both).hex() == (here / "sigHexJCS.txt").read_text().strip()
    whole = json.loads((here / "signedJCS.json").read_text())
    assert (
        multikey.base58(key.sign(both))
        == whole["proof"]["proofValue"]
        == (here / "sigBTC58JCS.txt").read_text().strip()
    )
    made = integrity.sign(document, key, method=options["verificationMethod"], created_s=1_677_281_798)
    assert made == whole
    checked(whole, key)


def test_what_is_signed_verifies_and_says_what_it_is_for() -> None:
    for key in (KEY, BROWSER):
        document = signed(key, purpose="authentication", challenge="c", domain="d")
        (proof,) = integrity.proofs(document)
        integrity.check(document, proof, key.public)
        integrity.check_use(proof, purpose="authentication", now_ms=NOW_S * 1000, challenge="c", domain="d")
        for change, code in (
            ({"purpose": "assertionMethod"}, "proof_purpose"),
            ({"now_ms": (NOW_S - 301) * 1000}, "proof_created"),
            ({"challenge": "e"}, "proof_challenge"),
            ({"domain": "e"}, "proof_domain"),
        ):
            asked: dict[str, Any] = {
                "purpose": "authentication",
                "now_ms": NOW_S * 1000,
                "challenge": "c",
                "domain": "d",
            }
            with pytest.raises(ProtocolError) as refused:
                integrity.check_use(proof, **{**asked, **change})  # type: ignore[arg-type]
            assert refused.value.code == code


def test_a_proof_that_has_ended_does_not_count() -> None:
    document = signed()
    document["proof"]["expires"] = "2027-01-15T08:00:00Z"
    (proof,) = integrity.proofs(document)
    with pytest.raises(Malformed, match="proof_expired"):
        integrity.check_use(proof, purpose="assertionMethod", now_ms=1_800_000_000_000)
    with pytest.raises(BadSignature):
        integrity.check(document, proof, KEY.public)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in leaves(each, (*path, name))]
    if isinstance(value, list):
        return [found for n, each in enumerate(value) for found in leaves(each, (*path, n))]
    return [path]


@pytest.mark.parametrize("path", leaves(signed()), ids=str)
def test_every_change_of_a_signed_document_is_refused(path: tuple[Any, ...]) -> None:
    document = copy.deepcopy(signed())
    place = document
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    place[path[-1]] = old + 1 if isinstance(old, float) else old[:-1] + ("2" if old[-1] != "2" else "3")
    with pytest.raises(ProtocolError):
        checked(document)


def test_every_bit_of_the_signature_counts() -> None:
    document = signed()
    value = multikey.unbase58(document["proof"]["proofValue"])
    for bit in range(0, 512, 7):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        document["proof"]["proofValue"] = multikey.base58(bytes(flipped))
        with pytest.raises(BadSignature):
            checked(document)


def test_an_added_context_is_allowed_behind_what_was_signed_and_nowhere_else() -> None:
    document = signed()
    document["@context"] = [*document["@context"], "https://example.com/more"]
    checked(document)
    document["@context"] = [*reversed(document["@context"])]
    with pytest.raises(Malformed, match="proof_context"):
        checked(document)


def test_proofs_in_a_set_stand_alone_and_in_a_chain_cover_each_other() -> None:
    first = signed(name="urn:uuid:1")
    method = did.key_method(OTHER.public)
    both = integrity.sign(first, OTHER, method=method, created_s=NOW_S)
    chain = integrity.sign(first, OTHER, method=method, created_s=NOW_S, previous=["urn:uuid:1"])
    for document in (both, chain):
        one, two = integrity.proofs(document)
        integrity.check(document, one, KEY.public)
        integrity.check(document, two, OTHER.public)
    other = {
        **chain,
        "proof": [
            integrity.sign(DOCUMENT, OTHER, method=method, created_s=1, name="urn:uuid:1")["proof"],
            chain["proof"][1],
        ],
    }
    with pytest.raises(BadSignature):
        integrity.check(other, integrity.proofs(other)[1], OTHER.public)
    gone = {**chain, "proof": chain["proof"][1]}
    with pytest.raises(Malformed, match="proof_previous"):
        integrity.check(gone, integrity.proofs(gone)[0], OTHER.public)


def test_a_key_of_one_kind_does_not_verify_a_suite_of_the_other() -> None:
    with pytest.raises(Malformed, match="proof_suite"):
        checked(signed(KEY), BROWSER)


BAD: dict[str, dict[str, Any]] = {
    "another type": {"type": "Ed25519Signature2020"},
    "another suite": {"cryptosuite": "eddsa-rdfc-2022"},
    "no method": {"verificationMethod": None},
    "no value": {"proofValue": None},
    "a value in hex": {"proofValue": "f00"},
    "a short value": {"proofValue": multikey.base58(bytes(63) + b"1")[:-2]},
    "a time without a zone": {"created": "2027-01-15T08:00:00"},
    "an unknown member": {"jws": "x"},
    "a previous proof that is no name": {"previousProof": [1]},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_proof_that_is_none_is_refused(change: dict[str, Any]) -> None:
    document = signed()
    document["proof"] = {name: each for name, each in {**document["proof"], **change}.items() if each is not None}
    with pytest.raises(Malformed):
        integrity.proofs(document)


def test_a_document_has_a_bounded_number_of_proofs() -> None:
    document = {**DOCUMENT, "proof": [signed()["proof"]] * (integrity.PROOFS_MAX + 1)}
    with pytest.raises(Malformed, match="proof_shape"):
        integrity.proofs(document)
    for none in ({}, {"proof": []}):
        with pytest.raises(Malformed, match="proof_missing"):
            integrity.proofs({**DOCUMENT, **none})


@settings(max_examples=40)
@given(st.binary(max_size=40))
def test_multibase_comes_back(data: bytes) -> None:
    assert multikey.unbase58(multikey.base58(data)) == data


def test_multikeys_come_back_and_no_prefix_of_one_is_a_key() -> None:
    for key in (KEY.public, BROWSER.public):
        text = multikey.encode(key)
        assert multikey.decode(text) == key and did.key_of(did.did_key(key)) == key
        for size in range(len(text)):
            with pytest.raises(Malformed):
                multikey.decode(text[:size])
    assert multikey.encode(PublicKey(bytes(32))).startswith("z6Mk") and multikey.encode(BROWSER.public).startswith(
        "zDn"
    )


def test_a_did_document_comes_back_and_keeps_purposes_apart() -> None:
    document = did.document_of_did_key(did.did_key(KEY.public))
    again = did.DidDocument.from_json(json.dumps(document.to_json()).encode())
    assert again == document
    only = json.dumps({**document.to_json(), "authentication": []}).encode()
    with pytest.raises(Malformed, match="method_purpose"):
        did.DidDocument.from_json(only).key(did.key_method(KEY.public), "authentication")


def test_jcs_refuses_what_is_not_the_same_everywhere() -> None:
    for text in (
        '{"a":1,"a":2}',
        '{"a":NaN}',
        '{"a":9007199254740993}',
        "[1]",
        '{"a":"\\ud800"}',
        "{" * 99,
        '{"a":' * 40 + "1" + "}" * 40,
    ):
        with pytest.raises(Malformed):
            jcs.canonical(jcs.parse(text))
    assert hashlib.sha256(jcs.canonical({"b": 1, "a": 1.0})).digest() == hashlib.sha256(b'{"a":1,"b":1}').digest()
