"""Keys: Ed25519 identities and their names, the X25519 link, and the content keys derived from it. wire.md, "Identity".

Thumbprints are those of RFC 9679; PEM forms those of RFC 8410; derivation is HKDF (RFC 5869) and keyed BLAKE2b (RFC 7693).
"""

import base64
import functools
import hashlib
import hmac
from dataclasses import dataclass
from struct import Struct
from typing import Self

import nacl.bindings
import nacl.exceptions

from protocol.errors import BadSignature, Malformed

EDDSA, ED25519 = -8, -19  # COSE algorithms: RFC 9053 §2.2, RFC 9864
KID_SIZE = 8
KEY_SIZE = 32
SIGNATURE_SIZE = 64
THUMBPRINT_URN = "urn:ietf:params:oauth:ckt:sha-256:"

_THUMBPRINT_HEAD = bytes.fromhex("a301012006215820")
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")
_PKCS8_HEAD = bytes.fromhex("302e020100300506032b657004220420")
_LINK_INFO = b"vigil/1/link"
_COMMIT_INFO = b"vigil/1/commit"
_CEK_PERSON = b"vigil/1/cek"
_NAMED_MAX = 4096  # keys whose names are remembered; the one not used for longest goes first
_PLACE = Struct(">BIQ")  # lane, boot, seq


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key. x: 32 bytes."""

    x: bytes
    algs = frozenset({EDDSA, ED25519})

    def __post_init__(self) -> None:
        if len(self.x) != KEY_SIZE:
            raise Malformed("key_size", "an Ed25519 public key has 32 bytes")

    @property
    def thumbprint(self) -> bytes:
        """32 bytes: SHA-256 over the deterministic COSE_Key of the required members. Source: RFC 9679 §3."""
        return _thumbprint(self.x)

    @property
    def kid(self) -> bytes:
        """The 8-byte key id of the device wire."""
        return self.thumbprint[:KID_SIZE]

    @property
    def urn(self) -> str:
        """The key's name as a URI. Source: RFC 9679 §5."""
        return _urn(self.x)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises BadSignature unless `signature` (64 bytes) is this key's over `data`, by libsodium's rules."""
        if len(signature) != SIGNATURE_SIZE:
            raise BadSignature("signature_size", "an Ed25519 signature has 64 bytes")
        try:
            nacl.bindings.crypto_sign_open(signature + data, self.x)
        except (nacl.exceptions.BadSignatureError, ValueError) as error:
            raise BadSignature("signature_bad", "the signature does not hold") from error

    def cose_key(self) -> dict[int, object]:
        """The COSE_Key map with its 32-byte thumbprint as kid. Source: RFC 9052 §7, RFC 9053 §7.2."""
        return {1: 1, 2: self.thumbprint, 3: EDDSA, -1: 6, -2: self.x}

    def pem(self) -> str:
        """SubjectPublicKeyInfo in PEM. Source: RFC 8410 §4."""
        return _pem("PUBLIC KEY", _SPKI_HEAD + self.x)

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """Reads what `pem` writes. Raises Malformed: key_pem."""
        return cls(_unpem("PUBLIC KEY", _SPKI_HEAD, text))


class SigningKey:
    """An Ed25519 key pair; shows only its public half."""

    __slots__ = ("_secret", "kid", "public", "seed")
    alg = EDDSA

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_SIZE:
            raise Malformed("key_size", "an Ed25519 seed has 32 bytes")
        public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.public = PublicKey(public)
        self.kid = self.public.kid

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed. Source: RFC 8032 §5.1.5."""
        return cls(seed)

    @property
    def thumbprint(self) -> bytes:
        """32 bytes: of its public half."""
        return self.public.thumbprint

    def sign(self, data: bytes) -> bytes:
        """64 bytes of signature over `data`."""
        return nacl.bindings.crypto_sign(data, self._secret)[:SIGNATURE_SIZE]

    def pem(self) -> str:
        """PrivateKeyInfo in PEM, as TLS libraries read it. Source: RFC 8410 §7."""
        return _pem("PRIVATE KEY", _PKCS8_HEAD + self.seed)

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """Reads what `pem` writes. Raises Malformed: key_pem."""
        return cls(_unpem("PRIVATE KEY", _PKCS8_HEAD, text))

    def __repr__(self) -> str:
        return f"SigningKey({self.public.kid.hex()})"


def device_id(first_key: PublicKey) -> str:
    """The name of a device for life: the kid of its first key, 16 lower-case hex digits."""
    return first_key.kid.hex()


def x25519_public(secret: bytes) -> bytes:
    """The 32-byte X25519 public key of a 32-byte secret. Source: RFC 7748 §6.1."""
    return nacl.bindings.crypto_scalarmult_base(secret)


def link_key(
    *, own_secret: bytes, peer_public: bytes, device_x25519: bytes, gateway_x25519: bytes, device_ed25519: bytes
) -> bytes:
    """The 32-byte key of one enrolment, the same on both sides. Raises Malformed: link_size, link_zero.

    Source: wire.md "Link key"; X25519 of RFC 7748, HKDF-SHA-256 of RFC 5869 with an empty salt.
    """
    if len(own_secret) != KEY_SIZE or len(peer_public) != KEY_SIZE:
        raise Malformed("link_size", "X25519 keys have 32 bytes")  # the library would read past the end of shorter ones
    try:
        shared = nacl.bindings.crypto_scalarmult(own_secret, peer_public)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Malformed("link_zero", "the X25519 result is all zero") from error
    if not any(shared):
        raise Malformed("link_zero", "the X25519 result is all zero")
    extracted = hmac.digest(bytes(32), shared, "sha256")
    info = _LINK_INFO + device_x25519 + gateway_x25519 + device_ed25519
    return hmac.digest(extracted, info + b"\x01", "sha256")


def content_key(lk: bytes, lane: int, boot: int, seq: int) -> bytes:
    """The 32-byte key that seals the one message at a position. Source: wire.md "Message"."""
    return hashlib.blake2b(_PLACE.pack(lane, boot, seq), digest_size=KEY_SIZE, key=lk, person=_CEK_PERSON).digest()


def commitment(cek: bytes) -> bytes:
    """32 bytes that commit a message to its content key: one ciphertext must not open in two ways."""
    return hashlib.sha256(_COMMIT_INFO + cek).digest()


@functools.lru_cache(maxsize=_NAMED_MAX)
def _thumbprint(x: bytes) -> bytes:
    return hashlib.sha256(_THUMBPRINT_HEAD + x).digest()


@functools.lru_cache(maxsize=_NAMED_MAX)
def _urn(x: bytes) -> str:
    return THUMBPRINT_URN + base64.urlsafe_b64encode(_thumbprint(x)).rstrip(b"=").decode()


def _pem(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n"


def _unpem(label: str, head: bytes, text: str) -> bytes:
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[0] != f"-----BEGIN {label}-----" or lines[-1] != f"-----END {label}-----":
        raise Malformed("key_pem", f"not an Ed25519 {label} in PEM")
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError as error:
        raise Malformed("key_pem", "not base64") from error
    if len(der) != len(head) + KEY_SIZE or not der.startswith(head):
        raise Malformed("key_pem", f"not an Ed25519 {label}")
    if base64.b64encode(der).decode() != "".join(lines[1:-1]):
        raise Malformed("key_pem", "not the one base64 of its bytes")
    return der[len(head) :]
