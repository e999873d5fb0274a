"""Statements: in full or as a hash, by the key they name; one shape and nothing beside it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, cose, keys, statement
from protocol.errors import BadSignature, Malformed
from tests.support import damage

KEY = keys.SigningKey.from_seed(bytes([3]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
THUMBPRINT = KEY.public.thumbprint
CLAIMS: dict[object, object] = {1: "issuer", 2: "subject"}
HEAD: dict[int, object] = {1: -8, 3: "text/plain", 4: THUMBPRINT, 15: CLAIMS}
HASHED: dict[int, object] = {1: -8, 4: THUMBPRINT, 15: CLAIMS, 258: -16, 259: "text/plain"}
FULL = statement.sign(KEY, iss="issuer", sub="subject", payload=b"said", content_type="text/plain")
HASH = statement.sign_hash_envelope(
    KEY, iss="issuer", sub="subject", preimage=b"kept", preimage_content_type="text/plain", iat_s=1_700_000_000
)

texts = st.text(min_size=1, max_size=60)


def verified(raw: bytes) -> statement.Statement:
    found = statement.parse(raw)
    statement.verify(found, KEY.public, thumbprint=THUMBPRINT)
    return found


def signed(head: dict[int, object], payload: bytes = b"said", **more: object) -> bytes:
    return cose.sign1(KEY, protected=head, payload=payload, **more)


@given(texts, texts, texts, st.binary(max_size=100), st.none() | st.integers(0, (1 << 53) - 1))
def test_a_statement_comes_back(iss: str, sub: str, kind: str, payload: bytes, iat_s: int | None) -> None:
    raw = statement.sign(KEY, iss=iss, sub=sub, payload=payload, content_type=kind, iat_s=iat_s)
    found = verified(raw)
    assert (found.iss, found.sub, found.content_type, found.payload, found.iat_s) == (iss, sub, kind, payload, iat_s)
    assert (found.raw, found.kid, found.hashed, found.entry) == (raw, THUMBPRINT, False, hashlib.sha256(raw).digest())


def test_a_hash_envelope_holds_the_hash_and_keeps_the_preimage_back() -> None:
    """RFC 9995: 258 names the hash, 259 the preimage's content type, and there is no content type of its own."""
    found = verified(HASH)
    assert found.hashed and found.payload == hashlib.sha256(b"kept").digest() and found.content_type == "text/plain"
    assert found.signed.protected == HASHED | {15: CLAIMS | {6: 1_700_000_000}}
    assert b"kept" not in HASH
    statement.check_preimage(found, b"kept")
    for raw, preimage in ((HASH, b"lost"), (FULL, b"said"), (FULL, hashlib.sha256(b"said").digest())):
        with pytest.raises(BadSignature, match="preimage_mismatch"):
            statement.check_preimage(statement.parse(raw), preimage)


@pytest.mark.parametrize("raw", [FULL, HASH], ids=["full", "hash"])
def test_every_cut_and_every_flipped_bit_is_refused(raw: bytes) -> None:
    assert verified(raw).raw == raw
    assert damage.accepted(verified, damage.every_prefix(raw)) == []
    assert damage.accepted(verified, damage.every_bit_flip(raw)) == []
    assert damage.read_or_refuse(verified, raw + b"\x00") is None


@given(st.binary(max_size=80))
def test_any_bytes_and_any_header_are_refused(data: bytes) -> None:
    for raw in (data, b"\xd2\x84" + data, b"\xd2" + cbor.encode([data, {}, data, bytes(64)])):
        assert damage.read_or_refuse(statement.parse, raw) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.floats() | st.text(max_size=5) | st.binary(max_size=33),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(-9, 9) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from([1, 2, 3, 4, 15, 258, 259, 260, 99]), values)
def test_any_value_in_any_header_only_ever_fails(label: int, value: object) -> None:
    for head, payload in ((HEAD, b"said"), (HASHED, bytes(32))):
        damage.read_or_refuse(verified, signed(head | {label: value}, payload))


def test_another_key_is_refused() -> None:
    found = statement.parse(FULL)
    with pytest.raises(BadSignature, match="kid_mismatch"):
        statement.verify(found, OTHER.public, thumbprint=OTHER.public.thumbprint)
    with pytest.raises(BadSignature, match="signature_bad"):
        statement.verify(found, OTHER.public, thumbprint=THUMBPRINT)


HEADERS = {
    "no kid": ({1: -8, 3: "a", 15: CLAIMS}, b""),
    "a short kid": (HEAD | {4: THUMBPRINT[:8]}, b""),
    "a kid as a text": (HEAD | {4: "x" * 32}, b""),
    "no claims": ({1: -8, 3: "a", 4: THUMBPRINT}, b""),
    "claims that are no map": (HEAD | {15: ["issuer", "subject"]}, b""),
    "no issuer": (HEAD | {15: {2: "subject"}}, b""),
    "no subject": (HEAD | {15: {1: "issuer"}}, b""),
    "an empty issuer": (HEAD | {15: {1: "", 2: "subject"}}, b""),
    "a long subject": (HEAD | {15: {1: "issuer", 2: "x" * (statement.TEXT_MAX + 1)}}, b""),
    "an issuer as bytes": (HEAD | {15: {1: b"issuer", 2: "subject"}}, b""),
    "one claim more": (HEAD | {15: CLAIMS | {7: b"id"}}, b""),
    "a time as a float": (HEAD | {15: CLAIMS | {6: 1.5}}, b""),
    "a time as a truth": (HEAD | {15: CLAIMS | {6: True}}, b""),
    "a time below zero": (HEAD | {15: CLAIMS | {6: -1}}, b""),
    "a time far out": (HEAD | {15: CLAIMS | {6: 1 << 53}}, b""),
    "no content type": ({1: -8, 4: THUMBPRINT, 15: CLAIMS}, b""),
    "an empty content type": (HEAD | {3: ""}, b""),
    "a content type as a number": (HEAD | {3: 0}, b""),
    "a long content type": (HEAD | {3: "x" * (statement.TEXT_MAX + 1)}, b""),
    "one header more": (HEAD | {99: 1}, b""),
    "a critical header": (HEAD | {2: [15]}, b""),
    "a preimage type without a hash": (HEAD | {259: "a"}, b""),
    "a preimage place without a hash": (HEAD | {260: "a"}, b""),
    "both content types": (HASHED | {3: "a"}, bytes(32)),
    "a hash without a preimage type": ({key: value for key, value in HASHED.items() if key != 259}, bytes(32)),
    "another hash": (HASHED | {258: -44}, bytes(32)),
    "a hash named as a float": (HASHED | {258: -16.0}, bytes(32)),
    "a short hash": (HASHED, bytes(31)),
    "no hash": (HASHED, b""),
}


@pytest.mark.parametrize(("head", "payload"), HEADERS.values(), ids=HEADERS.keys())
def test_another_header_is_malformed(head: dict[int, object], payload: bytes) -> None:
    assert verified(signed(HEAD, b"")).payload == b"" and verified(signed(HASHED, bytes(32))).hashed
    with pytest.raises(Malformed):
        statement.parse(signed(head, payload))


def test_a_detached_or_decorated_statement_is_malformed() -> None:
    with pytest.raises(Malformed, match="statement_payload"):
        statement.parse(signed(HEAD, detached=True))
    with pytest.raises(Malformed, match="statement_unprotected"):
        statement.parse(signed(HEAD, unprotected={394: [b"receipt"]}))


def test_size_is_bounded() -> None:
    room = statement.SIZE_MAX - len(FULL) + len(b"said") - 4
    largest = statement.sign(KEY, iss="issuer", sub="subject", payload=bytes(room), content_type="text/plain")
    assert statement.SIZE_MAX - 8 < len(largest) <= statement.SIZE_MAX and verified(largest).payload == bytes(room)
    over = statement.sign(KEY, iss="issuer", sub="subject", payload=bytes(room + 8), content_type="text/plain")
    with pytest.raises(Malformed, match="cbor_size"):
        statement.parse(over)
