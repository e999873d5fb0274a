"""P-256 keys: another library verifies what they sign, names and forms are the standards', and nothing else is a key."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given
from hypothesis import strategies as st

from protocol import cose, keys
from protocol.errors import BadSignature, Malformed
from protocol.p256 import ES256, ESP256, P256PublicKey, P256SigningKey

KEY = P256SigningKey(bytes([7]) * 32)
# RFC 6979, appendix A.2.5: the key, and what its author signed with it (SHA-256, "sample")
RFC_SECRET = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
RFC_X = bytes.fromhex("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6")
RFC_Y = bytes.fromhex("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299")
RFC_SIGNATURE = bytes.fromhex(
    "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
)


def test_the_published_key_and_signature_hold() -> None:
    key = P256SigningKey(RFC_SECRET).public
    assert (key.x, key.y) == (RFC_X, RFC_Y)
    key.verify(RFC_SIGNATURE, b"sample")
    with pytest.raises(BadSignature):
        key.verify(RFC_SIGNATURE, b"test")


@given(st.binary(max_size=200))
def test_what_is_signed_holds_here_and_in_another_library(data: bytes) -> None:
    signature = KEY.sign(data)
    KEY.public.verify(signature, data)
    other = serialization.load_pem_public_key(KEY.public.pem().encode())
    assert isinstance(other, ec.EllipticCurvePublicKey)
    whole = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    other.verify(whole, data, ec.ECDSA(hashes.SHA256()))


def test_a_changed_signature_and_one_of_another_size_do_not_hold() -> None:
    signature = KEY.sign(b"data")
    for place in range(0, 64, 7):
        changed = signature[:place] + bytes((signature[place] ^ 1,)) + signature[place + 1 :]
        with pytest.raises(BadSignature):
            KEY.public.verify(changed, b"data")
    for wrong in (b"", signature[:-1], signature + b"x", bytes(64), b"\xff" * 64):
        with pytest.raises(BadSignature):
            KEY.public.verify(wrong, b"data")


def test_it_signs_cose_under_both_of_its_names() -> None:
    for alg in (ES256, ESP256):
        protected = {cose.ALG: alg, cose.KID: KEY.thumbprint}
        raw = cose.sign1(KEY, protected=protected, payload=b"data")
        cose.verify_sign1(cose.parse_sign1(raw, size_max=1000), KEY.public)
    protected = {cose.ALG: keys.EDDSA, cose.KID: KEY.thumbprint}
    raw = cose.sign1(KEY, protected=protected, payload=b"data")
    with pytest.raises(BadSignature, match="alg_unsupported"):
        cose.verify_sign1(cose.parse_sign1(raw, size_max=1000), KEY.public)


def test_the_thumbprint_is_over_the_required_members() -> None:
    written = bytes.fromhex("a40102200121") + b"\x58\x20" + KEY.public.x + b"\x22\x58\x20" + KEY.public.y
    assert KEY.thumbprint == KEY.public.thumbprint == hashlib.sha256(written).digest()
    assert KEY.public.cose_key() == {1: 2, 2: KEY.thumbprint, 3: -7, -1: 1, -2: KEY.public.x, -3: KEY.public.y}


def test_a_key_comes_back_from_its_file_and_shows_no_secret() -> None:
    assert P256SigningKey.from_pem(KEY.pem()).public == KEY.public
    assert (bytes([7]) * 8).hex() not in repr(KEY)
    others = [keys.SigningKey.from_seed(bytes(32)).pem(), KEY.public.pem(), "", "x", KEY.pem()[:-40]]
    for text in others:
        with pytest.raises(Malformed, match="key_pem"):
            P256SigningKey.from_pem(text)


@pytest.mark.parametrize(
    ("x", "y", "code"),
    [
        (KEY.public.x[:-1], KEY.public.y, "key_size"),
        (KEY.public.x, b"", "key_size"),
        (KEY.public.y, KEY.public.x, "key_point"),
        (bytes(32), bytes(32), "key_point"),
        (b"\xff" * 32, KEY.public.y, "key_point"),
    ],
)
def test_only_points_of_the_curve_are_keys(x: bytes, y: bytes, code: str) -> None:
    with pytest.raises(Malformed, match=code):
        P256PublicKey(x=x, y=y)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(32), b"\xff" * 32])
def test_only_numbers_below_the_order_are_secrets(secret: bytes) -> None:
    with pytest.raises(Malformed, match="key_size"):
        P256SigningKey(secret)
