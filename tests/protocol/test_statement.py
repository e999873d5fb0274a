"""Signed statements: what is read, what is refused, and what software that we did not write has signed."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, cose, keys, statement
from protocol.errors import BadSignature, Malformed, VigilError
from tests.support import damage

KEY = keys.SigningKey.from_seed(bytes([2]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
TYPE = "application/vigil-registry+cbor"
CLAIMS = {statement.ISS: "issuer", statement.SUB: "subject"}
HEAD: dict[object, object] = {1: -8, 3: TYPE, 4: KEY.public.thumbprint, 15: CLAIMS}
ENVELOPE: dict[object, object] = {1: -8, 4: KEY.public.thumbprint, 15: CLAIMS, 258: -16, 259: TYPE}

texts = st.text(min_size=1, max_size=60)
times = st.none() | st.integers(0, (1 << 53) - 1)

SIGNED = statement.sign(KEY, iss="issuer", sub="subject", payload=b"said", content_type=TYPE, iat_s=1_700_000_000)
HASHED = statement.sign_hash_envelope(KEY, iss="issuer", sub="subject", preimage=b"kept", preimage_content_type=TYPE)


def read(raw: bytes) -> statement.Statement:
    found = statement.parse(raw)
    statement.verify(found, KEY.public, thumbprint=KEY.public.thumbprint)
    return found


def laid(
    head: dict[object, object], *, payload: bytes | None = b"said", unprotected: dict[object, object] | None = None
) -> bytes:
    """A statement as someone else might lay it out, with a signature that holds."""
    protected = cbor.encode(head)
    signature = KEY.sign(cose.signature_input(protected, b"", payload or b""))
    return b"\xd2" + cbor.encode([protected, unprotected or {}, payload, signature])


@given(texts, texts, st.binary(max_size=80), texts, times)
def test_a_statement_comes_back(iss: str, sub: str, payload: bytes, kind: str, iat_s: int | None) -> None:
    raw = statement.sign(KEY, iss=iss, sub=sub, payload=payload, content_type=kind, iat_s=iat_s)
    found = read(raw)
    assert (found.iss, found.sub, found.payload, found.content_type, found.iat_s) == (iss, sub, payload, kind, iat_s)
    assert (found.raw, found.kid, found.hashed) == (raw, KEY.public.thumbprint, False)
    assert found.entry == statement.entry(raw) == hashlib.sha256(raw).digest()


@given(texts, texts, st.binary(max_size=80), texts, times)
def test_a_hash_envelope_comes_back(iss: str, sub: str, preimage: bytes, kind: str, iat_s: int | None) -> None:
    raw = statement.sign_hash_envelope(
        KEY, iss=iss, sub=sub, preimage=preimage, preimage_content_type=kind, iat_s=iat_s
    )
    found = read(raw)
    assert (found.iss, found.sub, found.content_type, found.iat_s, found.hashed) == (iss, sub, kind, iat_s, True)
    assert found.payload == hashlib.sha256(preimage).digest()
    statement.check_preimage(found, preimage)
    with pytest.raises(BadSignature, match="preimage_mismatch"):
        statement.check_preimage(found, preimage + b"\x00")


def test_a_statement_in_full_is_over_no_preimage() -> None:
    with pytest.raises(BadSignature, match="preimage_mismatch"):
        statement.check_preimage(read(SIGNED), b"said")
    said = hashlib.sha256(b"said").digest()  # the words of an envelope, without being one
    full = statement.sign(KEY, iss="issuer", sub="subject", payload=said, content_type=TYPE)
    with pytest.raises(BadSignature, match="preimage_mismatch"):
        statement.check_preimage(read(full), b"said")


@pytest.mark.parametrize("raw", [SIGNED, HASHED], ids=["full", "hashed"])
def test_every_cut_and_every_flipped_bit_is_refused(raw: bytes) -> None:
    assert read(raw).raw == raw
    assert damage.accepted(read, damage.every_prefix(raw)) == []
    assert damage.accepted(read, damage.every_bit_flip(raw)) == []
    with pytest.raises(Malformed):
        statement.parse(raw + b"\x00")


@given(st.binary(max_size=100))
def test_arbitrary_bytes_only_fail(data: bytes) -> None:
    for raw in (data, b"\xd2\x84" + data, b"\xd2" + cbor.encode([data, {}, b"said", bytes(64)])):
        assert damage.read_or_refuse(statement.parse, raw) is None


@given(
    st.dictionaries(st.sampled_from([1, 3, 4, 15, 258, 259, 260]), st.integers() | st.text() | st.binary(), max_size=7)
)
def test_arbitrary_headers_only_fail(changes: dict[object, object]) -> None:
    for head in (changes, HEAD | changes, ENVELOPE | changes):
        found = damage.read_or_refuse(statement.parse, laid(head))
        assert found is None or head.keys() == HEAD.keys()


def test_another_key_or_another_name_of_it_is_refused() -> None:
    found = statement.parse(SIGNED)
    with pytest.raises(BadSignature, match="kid_mismatch"):
        statement.verify(found, OTHER.public, thumbprint=OTHER.public.thumbprint)
    with pytest.raises(BadSignature, match="signature_bad"):
        statement.verify(found, OTHER.public, thumbprint=KEY.public.thumbprint)
    named = statement.parse(laid(HEAD | {4: OTHER.public.thumbprint}))
    with pytest.raises(BadSignature, match="kid_mismatch"):
        statement.verify(named, KEY.public, thumbprint=KEY.public.thumbprint)


def test_a_layout_of_ours_is_what_these_tests_lay_out() -> None:
    assert laid(HEAD) == statement.sign(KEY, iss="issuer", sub="subject", payload=b"said", content_type=TYPE)
    assert laid(ENVELOPE, payload=hashlib.sha256(b"kept").digest()) == HASHED
    location: dict[object, object] = ENVELOPE | {260: "somewhere"}
    assert read(laid(location, payload=bytes(32))).hashed


def without(head: dict[object, object], label: int) -> dict[object, object]:
    return {key: value for key, value in head.items() if key != label}


WRONG: dict[str, tuple[dict[object, object], str]] = {
    "no kid": (without(HEAD, 4), "statement_headers"),
    "no algorithm": (without(HEAD, 1), "statement_headers"),
    "no claims": (without(HEAD, 15), "statement_headers"),
    "one header more": (HEAD | {99: 1}, "statement_headers"),
    "a header that must be understood": (HEAD | {2: [99]}, "statement_headers"),
    "a short kid": (HEAD | {4: bytes(8)}, "statement_kid"),
    "a kid that is a text": (HEAD | {4: "x" * 32}, "statement_kid"),
    "claims that are an array": (HEAD | {15: ["issuer", "subject"]}, "statement_claims"),
    "no subject": (HEAD | {15: {1: "issuer"}}, "statement_claims"),
    "no issuer": (HEAD | {15: {2: "subject"}}, "statement_claims"),
    "an empty issuer": (HEAD | {15: {1: "", 2: "subject"}}, "statement_claims"),
    "a long issuer": (HEAD | {15: {1: "x" * 1025, 2: "subject"}}, "statement_claims"),
    "an issuer that is bytes": (HEAD | {15: {1: b"issuer", 2: "subject"}}, "statement_claims"),
    "one claim more": (HEAD | {15: CLAIMS | {4: 1}}, "statement_claims"),
    "a time below zero": (HEAD | {15: CLAIMS | {6: -1}}, "statement_claims"),
    "a time far out": (HEAD | {15: CLAIMS | {6: 1 << 53}}, "statement_claims"),
    "a time with a fraction": (HEAD | {15: CLAIMS | {6: 1.5}}, "statement_claims"),
    "a time that is a truth": (HEAD | {15: CLAIMS | {6: True}}, "statement_claims"),
    "no content type": (without(HEAD, 3), "statement_content_type"),
    "an empty content type": (HEAD | {3: ""}, "statement_content_type"),
    "a content type as a number": (HEAD | {3: 60}, "statement_content_type"),
    "a long content type": (HEAD | {3: "x" * 1025}, "statement_content_type"),
    "a preimage without an envelope": (HEAD | {259: TYPE}, "statement_headers"),
    "a location without an envelope": (HEAD | {260: "somewhere"}, "statement_headers"),
    "an envelope with a content type": (ENVELOPE | {3: TYPE}, "statement_content_type"),
    "an envelope without a preimage type": (without(ENVELOPE, 259), "statement_content_type"),
    "a location that is bytes": (ENVELOPE | {260: b"somewhere"}, "statement_location"),
    "a location that is an array": (ENVELOPE | {260: [1, [2]]}, "statement_location"),
    "an empty location": (ENVELOPE | {260: ""}, "statement_location"),
    "a long location": (ENVELOPE | {260: "x" * 1025}, "statement_location"),
    "an envelope with another hash": (ENVELOPE | {258: -43}, "statement_hash"),
    "an envelope with a float as a hash": (ENVELOPE | {258: -16.0}, "statement_hash"),
}


@pytest.mark.parametrize(("head", "code"), WRONG.values(), ids=WRONG.keys())
def test_another_header_is_malformed(head: dict[object, object], code: str) -> None:
    with pytest.raises(Malformed) as caught:
        statement.parse(laid(head, payload=bytes(32)))
    assert caught.value.code == code


def test_an_envelope_holds_32_bytes() -> None:
    for size in (0, 31, 33):
        with pytest.raises(Malformed, match="statement_hash"):
            statement.parse(laid(ENVELOPE, payload=bytes(size)))


def test_a_statement_is_bare_and_whole_when_it_is_registered() -> None:
    with pytest.raises(Malformed, match="statement_unprotected"):
        statement.parse(laid(HEAD, unprotected={394: [b"receipt"]}))
    with pytest.raises(Malformed, match="statement_payload"):
        statement.parse(laid(HEAD, payload=None))


def test_size_is_bounded_before_anything_is_read() -> None:
    most = statement.SIZE_MAX - len(laid(HEAD, payload=bytes(60_000))) + 60_000
    assert len(laid(HEAD, payload=bytes(most))) == statement.SIZE_MAX
    assert read(laid(HEAD, payload=bytes(most))).payload == bytes(most)
    with pytest.raises(Malformed, match="cbor_size"):
        statement.parse(laid(HEAD, payload=bytes(most + 1)))


@pytest.mark.parametrize(
    "name", ["valid-eddsa", "fail-tampered-path", "fail-unsupported-vds", "fail-bad-statement-sig"]
)
def test_published_statements_hold_and_are_entered_under_our_hash(vectors_dir: Path, name: str) -> None:
    """Their headers are out of order and name no key, so our log refuses them; entry and signed bytes are the same rules."""
    folder = vectors_dir / "scitt-cose" / "v1" / name
    expected = json.loads((folder / "expected.json").read_text())
    raw = (folder / "statement.cose").read_bytes()
    assert statement.entry(raw).hex() == expected["leaf_entry"]
    with pytest.raises(Malformed, match="cbor_not_deterministic"):
        statement.parse(raw)
    parts = cbor.decode_loosely(raw[1:])
    assert isinstance(parts, list)
    head, _, payload, signature = parts
    headers = cbor.decode_loosely(head)
    assert isinstance(headers, dict)
    assert headers[cose.ALG] == keys.EDDSA
    stated = expected["protected_header"]["statement"]
    claims = headers[statement.CWT_CLAIMS]
    assert (claims[statement.ISS], claims[statement.SUB]) == (stated["issuer"], stated["subject"])
    assert hashlib.sha256(payload).hexdigest() == expected["payload_sha256"]
    try:
        keys.PublicKey.from_pem((folder / "issuer-key.pub").read_text()).verify(
            signature, cose.signature_input(head, b"", payload)
        )
        holds = True
    except VigilError:
        holds = False
    assert holds == expected["statement_signature_valid"]


@pytest.mark.parametrize("part", [b"\xa0", b"\x80", b"\x00"])
@pytest.mark.parametrize("protected", [False, True])
def test_a_header_of_countless_parts_is_refused_before_it_is_encoded_again(
    monkeypatch: pytest.MonkeyPatch, protected: bool, part: bytes
) -> None:
    """That takes a hundred times as long as a signature, and anybody may send one to a log."""
    many = cbor.map_head(1) + b"\x01" + cbor.array_head(60_000) + part * 60_000
    parts = (cose.bstr(many), b"\xa0") if protected else (cose.bstr(b""), many)
    raw = b"".join((b"\xd2\x84", *parts, cose.bstr(b"said"), cose.bstr(bytes(64))))
    encode = cbor.encode

    def counted(value: object) -> bytes:
        assert not isinstance(value, list | dict) or len(value) <= cose.HEADERS_PARTS_MAX
        return encode(value)

    monkeypatch.setattr(cbor, "encode", counted)
    with pytest.raises(Malformed, match="cbor_size"):
        statement.parse(raw)
