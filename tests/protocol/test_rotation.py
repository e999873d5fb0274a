"""Rotation of a device's key: both keys sign, over this gateway's nonce, for this device; nothing less is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, cose, keys, message, rotation
from protocol.errors import BadSignature, Malformed, VigilError
from tests.support import damage

OLD = keys.SigningKey.from_seed(bytes([4]) * 32)
NEW = keys.SigningKey.from_seed(bytes([5]) * 32)
THIRD = keys.SigningKey.from_seed(bytes([6]) * 32)
FIRST = keys.SigningKey.from_seed(bytes([7]) * 32)
NAME = keys.device_id(FIRST.public)  # the device has rotated before: its name is that of a still older key
NONCE = bytes(range(16))


def signed(
    *, old: keys.SigningKey = OLD, new: keys.SigningKey = NEW, device: str = NAME, nonce: bytes = NONCE, boot: int = 8
) -> bytes:
    return rotation.sign(old=old, new=new, device=device, nonce=nonce, boot=boot)


def read(raw: bytes) -> rotation.Rotation:
    return rotation.read(raw, old=OLD.public, device=NAME, nonce=NONCE)


def code(raw: bytes) -> str:
    with pytest.raises((Malformed, BadSignature)) as caught:
        read(raw)
    return caught.value.code


RAW = signed()


@given(st.integers(1, message.BOOT_MAX))
def test_a_rotation_comes_back(boot: int) -> None:
    raw = signed(boot=boot)
    assert read(raw) == rotation.Rotation(device=NAME, key=NEW.public, nonce=NONCE, boot=boot)
    assert len(raw) < rotation.SIZE_MAX // 2


def test_the_old_key_stays_valid_for_boots_below_the_rotations() -> None:
    found = read(RAW)
    assert [found.key_at(boot, OLD.public) for boot in (0, 7)] == [OLD.public] * 2
    assert [found.key_at(boot, OLD.public) for boot in (8, 9, message.BOOT_MAX)] == [NEW.public] * 3


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    assert damage.accepted(read, damage.every_prefix(RAW)) == []
    assert damage.accepted(read, damage.every_bit_flip(RAW)) == []
    assert damage.read_or_refuse(read, RAW + b"\x00") is None


@given(st.binary(max_size=100))
def test_arbitrary_bytes_only_fail(data: bytes) -> None:
    by_old = cose.sign1(OLD, protected=HEAD_OLD, payload=data, aad=b"vigil/1/rotate/old")
    for raw in (data, b"\xd2\x84" + data, by_old, outer(inner_of(data))):
        assert damage.read_or_refuse(read, raw) is None


HEAD_OLD = {1: -8, 3: rotation.CONTENT_TYPE, 4: OLD.public.thumbprint}
HEAD_NEW = {1: -8, 3: rotation.CONTENT_TYPE, 4: NEW.public.thumbprint}
BODY = {"v": 1, "device": NAME, "key": NEW.public.x, "nonce": NONCE, "boot": 8}


def inner_of(payload: bytes, *, key: keys.SigningKey = NEW, head: dict[int, object] | None = None) -> bytes:
    return cose.sign1(key, protected=HEAD_NEW if head is None else head, payload=payload, aad=b"vigil/1/rotate/new")


def outer(inner: bytes, *, key: keys.SigningKey = OLD, head: dict[int, object] | None = None) -> bytes:
    return cose.sign1(key, protected=HEAD_OLD if head is None else head, payload=inner, aad=b"vigil/1/rotate/old")


def test_a_layout_of_ours_is_what_these_tests_lay_out() -> None:
    assert outer(inner_of(cbor.encode(BODY))) == RAW


def test_both_keys_have_to_sign() -> None:
    assert code(signed(old=THIRD)) == "kid_mismatch"
    assert code(outer(inner_of(cbor.encode(BODY)), key=THIRD)) == "signature_bad"
    # a thief of the old key names a key that is another's: without that key nothing is handed over
    assert code(outer(inner_of(cbor.encode(BODY), key=OLD))) == "signature_bad"
    assert (
        code(outer(inner_of(cbor.encode(BODY), key=THIRD, head=HEAD_NEW | {4: THIRD.public.thumbprint})))
        == "kid_mismatch"
    )
    with pytest.raises(VigilError):  # neither half is a rotation of its own
        read(cose.parse_sign1(RAW, size_max=2048).payload or b"")
    assert code(outer(RAW)) in {"rotation_shape", "cbor_invalid", "cbor_not_deterministic"}


def test_neither_signature_stands_for_the_other() -> None:
    """They are made over different contexts, so that a chain of two rotations cannot be cut and joined."""
    inner = cose.sign1(NEW, protected=HEAD_NEW, payload=cbor.encode(BODY), aad=b"vigil/1/rotate/old")
    assert code(outer(inner)) == "signature_bad"
    raw = cose.sign1(OLD, protected=HEAD_OLD, payload=inner_of(cbor.encode(BODY)), aad=b"vigil/1/rotate/new")
    assert code(raw) == "signature_bad"


def test_it_is_for_one_nonce_and_one_device() -> None:
    assert code(signed(nonce=bytes(16))) == "rotation_nonce"
    assert code(signed(device=keys.device_id(THIRD.public))) == "rotation_device"


def test_a_key_is_not_rotated_to_itself() -> None:
    assert code(signed(new=OLD)) == "rotation_shape"


HEADS: dict[str, dict[int, object]] = {
    "another content type": {3: "application/vigil-command+cbor"},
    "a number as a content type": {3: 60},
    "one header more": {9: 1},
    "a header that must be understood": {2: [9], 9: 1},
}


@pytest.mark.parametrize("more", HEADS.values(), ids=HEADS.keys())
def test_another_header_is_malformed(more: dict[int, object]) -> None:
    inner = inner_of(cbor.encode(BODY))
    assert code(outer(inner, head={**HEAD_OLD, **more})) == "rotation_shape"
    assert code(outer(inner_of(cbor.encode(BODY), head={**HEAD_NEW, **more}))) == "rotation_shape"


def test_nothing_is_detached_and_nothing_is_beside() -> None:
    inner = inner_of(cbor.encode(BODY))
    for key, head, payload, info in ((OLD, HEAD_OLD, inner, b"old"), (NEW, HEAD_NEW, cbor.encode(BODY), b"new")):
        aad = b"vigil/1/rotate/" + info
        for changed in (
            cose.sign1(key, protected=head, payload=payload, aad=aad, detached=True),
            cose.sign1(key, protected=head, payload=payload, aad=aad, unprotected={9: 1}),
        ):
            assert damage.read_or_refuse(read, changed if key is OLD else outer(changed)) is None


BODIES: dict[str, object] = {
    "an array": [1],
    "no version": {key: value for key, value in BODY.items() if key != "v"},
    "another version": {**BODY, "v": 2},
    "a truth as a version": {**BODY, "v": True},
    "one field more": {**BODY, "more": 1},
    "a short key": {**BODY, "key": bytes(31)},
    "a key that is a text": {**BODY, "key": "x" * 32},
    "a short nonce": {**BODY, "nonce": bytes(15)},
    "a nonce that is a text": {**BODY, "nonce": "x" * 16},
    "a boot of zero": {**BODY, "boot": 0},
    "a boot below zero": {**BODY, "boot": -1},
    "a boot far out": {**BODY, "boot": 1 << 32},
    "a boot that is a truth": {**BODY, "boot": True},
    "a boot that is a float": {**BODY, "boot": 8.5},
    "a device in capitals": {**BODY, "device": NAME.upper() if NAME.upper() != NAME else "A" * 16},
    "a device with a line's end": {**BODY, "device": NAME + "\n"},
    "a device that is bytes": {**BODY, "device": NAME.encode()},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_another_body_is_malformed(body: object) -> None:
    assert code(outer(inner_of(cbor.encode(body)))) == "rotation_shape"


def test_size_is_bounded_before_anything_is_read() -> None:
    assert code(b"\xd2" + bytes(rotation.SIZE_MAX)) == "cbor_size"
