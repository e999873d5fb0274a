"""Keys, their names and forms, the link key and the content keys: published examples and what is refused."""

import base64
import hashlib
import hmac

import nacl.bindings
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, keys
from protocol.errors import BadSignature, Malformed
from tests.support import damage

KEY = keys.SigningKey.from_seed(bytes(range(32)))
OTHER = keys.SigningKey.from_seed(bytes(32))
TEXT = b"what is signed"

# RFC 8032, section 7.1: seed, public key, message, signature
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("seed", "public", "text", "signature"), RFC8032)
def test_signatures_are_those_of_the_standard(seed: str, public: str, text: str, signature: str) -> None:
    key = keys.SigningKey.from_seed(bytes.fromhex(seed))
    assert key.public.x.hex() == public
    assert key.sign(bytes.fromhex(text)).hex() == signature
    key.public.verify(bytes.fromhex(signature), bytes.fromhex(text))


def test_a_changed_signature_or_text_or_another_key_is_refused() -> None:
    signature = KEY.sign(TEXT)
    KEY.public.verify(signature, TEXT)
    for damaged in damage.every_bit_flip(signature):
        with pytest.raises(BadSignature):
            KEY.public.verify(damaged, TEXT)
    for damaged in damage.every_bit_flip(TEXT):
        with pytest.raises(BadSignature):
            KEY.public.verify(signature, damaged)
    with pytest.raises(BadSignature):
        OTHER.public.verify(signature, TEXT)


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_a_signature_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadSignature) as caught:
        KEY.public.verify((KEY.sign(TEXT) * 2)[:size], TEXT)
    assert caught.value.code == "signature_size"


@pytest.mark.parametrize("x", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_of_small_order_verifies_nothing(x: bytes) -> None:
    for signature in (bytes(64), x + bytes(32), b"\x01" + bytes(63)):
        with pytest.raises(BadSignature):
            keys.PublicKey(x).verify(signature, TEXT)


def test_a_signature_with_a_scalar_above_the_order_is_refused() -> None:
    order = (1 << 252) + 27742317777372353535851937790883648493
    signature = KEY.sign(TEXT)
    scalar = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(BadSignature):
        KEY.public.verify(signature[:32] + scalar.to_bytes(32, "little"), TEXT)


@given(st.binary(max_size=70), st.binary(min_size=32, max_size=32))
def test_any_signature_and_any_key_only_ever_fail(signature: bytes, x: bytes) -> None:
    with pytest.raises(BadSignature):
        keys.PublicKey(x).verify(signature, TEXT)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_have_32_bytes(size: int) -> None:
    with pytest.raises(Malformed):
        keys.PublicKey(bytes(size))
    with pytest.raises(Malformed):
        keys.SigningKey.from_seed(bytes(size))


def test_the_name_of_a_key_is_its_thumbprint() -> None:
    """RFC 9679, section 3: SHA-256 over the deterministic COSE_Key of the required members, kty, crv and x."""
    required = cbor.encode({1: 1, -1: 6, -2: KEY.public.x})
    assert required.hex() == "a301012006215820" + KEY.public.x.hex()
    assert KEY.public.thumbprint == hashlib.sha256(required).digest()
    assert KEY.public.kid == KEY.public.thumbprint[:8]
    assert keys.device_id(KEY.public) == KEY.public.kid.hex()
    assert KEY.public.urn.startswith("urn:ietf:params:oauth:ckt:sha-256:") and "=" not in KEY.public.urn
    assert len(KEY.public.urn) == len("urn:ietf:params:oauth:ckt:sha-256:") + 43
    assert KEY.public.cose_key() == {1: 1, 2: KEY.public.thumbprint, 3: -8, -1: 6, -2: KEY.public.x}


def test_pem_is_what_other_libraries_write_and_read() -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(KEY.seed)
    private = theirs.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        theirs.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    assert KEY.pem() == private
    assert KEY.public.pem() == public
    assert keys.SigningKey.from_pem(private).seed == KEY.seed
    assert keys.PublicKey.from_pem(public) == KEY.public
    assert keys.PublicKey.from_pem(public.replace("\n", "\r\n")) == KEY.public


def test_damaged_pem_is_refused() -> None:
    for text, read in ((KEY.pem(), keys.SigningKey.from_pem), (KEY.public.pem(), keys.PublicKey.from_pem)):
        for end in range(len(text) - 1):
            with pytest.raises(Malformed):
                read(text[:end])
        for wrong in (
            "",
            "\n\n\n",
            text.replace("KEY", "KEYS"),
            text.replace("\n", "\n!", 1),
            text[:40] + "\u00e4" + text[41:],
        ):
            with pytest.raises(Malformed):
                read(wrong)
    with pytest.raises(Malformed):
        keys.PublicKey.from_pem(KEY.pem())
    with pytest.raises(Malformed):
        keys.SigningKey.from_pem(KEY.public.pem())


def test_bits_that_say_nothing_are_not_set_in_pem() -> None:
    text = KEY.public.pem()
    spare = text.index("=\n") - 1  # half of the last letter before the padding
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = text[:spare] + letters[letters.index(text[spare]) + 1] + text[spare + 1 :]
    assert base64.b64decode(changed.splitlines()[1]) == base64.b64decode(text.splitlines()[1])
    with pytest.raises(Malformed):
        keys.PublicKey.from_pem(changed)


def test_a_flipped_bit_of_pem_is_refused_or_another_key() -> None:
    """But for line ends, which other software writes in its own way."""
    pem = KEY.public.pem()
    for damaged in damage.every_bit_flip(pem.encode()):
        said = damaged.decode("utf-8", "surrogateescape")
        found = damage.read_or_refuse(
            lambda data: keys.PublicKey.from_pem(data.decode("utf-8", "surrogateescape")), damaged
        )
        assert found != KEY.public or said.split() == pem.split(), said


@given(st.text(max_size=120))
def test_any_text_only_fails_as_pem(text: str) -> None:
    for whole in (text, f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(Malformed):
            keys.PublicKey.from_pem(whole)


def test_a_secret_key_does_not_show_its_secret() -> None:
    assert KEY.seed.hex() not in repr(KEY) and KEY.seed.hex() not in str(KEY)
    assert not hasattr(KEY, "__dict__")


def derive(own: bytes, peer: bytes, device: bytes, gateway: bytes) -> bytes:
    return keys.link_key(
        own_secret=own, peer_public=peer, device_x25519=device, gateway_x25519=gateway, device_ed25519=KEY.public.x
    )


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_both_sides_derive_the_link_key_of_the_standard(one: bytes, two: bytes) -> None:
    device, gateway = keys.x25519_public(one), keys.x25519_public(two)
    lk = derive(one, gateway, device, gateway)
    assert lk == derive(two, device, device, gateway)
    shared = X25519PrivateKey.from_private_bytes(one).exchange(X25519PrivateKey.from_private_bytes(two).public_key())
    info = b"vigil/1/link" + device + gateway + KEY.public.x
    assert lk == HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(shared)


def test_the_link_key_binds_every_public_key() -> None:
    device, gateway = keys.x25519_public(bytes([1]) * 32), keys.x25519_public(bytes([2]) * 32)
    base = derive(bytes([1]) * 32, gateway, device, gateway)
    assert derive(bytes([1]) * 32, gateway, gateway, device) != base
    other = keys.link_key(
        own_secret=bytes([1]) * 32,
        peer_public=gateway,
        device_x25519=device,
        gateway_x25519=gateway,
        device_ed25519=OTHER.public.x,
    )
    assert other != base


# Points whose product with any secret is zero: RFC 7748, section 6.1, and https://cr.yp.to/ecdh.html
SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_an_all_zero_result_is_refused(point: str) -> None:
    with pytest.raises(Malformed) as caught:
        derive(bytes([1]) * 32, bytes.fromhex(point), bytes(32), bytes(32))
    assert caught.value.code == "link_zero"


def test_a_public_key_of_another_size_is_malformed() -> None:
    for size in (0, 31, 33):
        with pytest.raises(Malformed):
            derive(bytes([1]) * 32, bytes(size), bytes(32), bytes(32))


def test_content_keys_differ_by_position_and_link() -> None:
    lk = bytes([7]) * 32
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 256), (0, 256, 0), (2, (1 << 32) - 1, (1 << 48) - 1)]
    found = {keys.content_key(key, *place) for key in (lk, bytes(32)) for place in places}
    assert len(found) == 2 * len(places) and all(len(cek) == 32 for cek in found)


def test_a_content_key_is_keyed_blake2b_with_our_label() -> None:
    lk = bytes([7]) * 32
    place = bytes([1]) + (3).to_bytes(4, "big") + (9).to_bytes(8, "big")
    expected = nacl.bindings.crypto_generichash_blake2b_salt_personal(
        place, 32, lk, bytes(16), b"vigil/1/cek".ljust(16, b"\x00")
    )
    assert keys.content_key(lk, 1, 3, 9) == expected


def test_a_commitment_is_a_labelled_hash() -> None:
    assert keys.commitment(bytes(32)) == hashlib.sha256(b"vigil/1/commit" + bytes(32)).digest()
    assert not hmac.compare_digest(keys.commitment(bytes(32)), hashlib.sha256(bytes(32)).digest())
