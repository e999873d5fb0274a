"""P-256 keys (ES256), for logs that also sign receipts with an algorithm that every library has. RFC 9053 §2.1 and §7.1.

The rest of the project signs with Ed25519. The library is loaded when such a key is used: a device never does.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from protocol import cbor
from protocol.errors import BadSignature, Malformed

ES256, ESP256 = -7, -9  # COSE algorithms: RFC 9053 §2.1, RFC 9864
KEY_SIZE = 64  # bytes of a public key: x and y
SIGNATURE_SIZE = 64  # bytes of a signature: r and s
SECRET_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class P256PublicKey:
    """A P-256 public key. x, y: 32 bytes each, a point of the curve."""

    x: bytes
    y: bytes
    algs = frozenset({ES256, ESP256})

    def __post_init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        if len(self.x) != KEY_SIZE // 2 or len(self.y) != KEY_SIZE // 2:
            raise Malformed("key_size", "a P-256 public key has two coordinates of 32 bytes")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self._point)
        except ValueError as error:
            raise Malformed("key_point", "not a point of the curve P-256") from error

    @classmethod
    def from_compressed(cls, point: bytes) -> Self:
        """The key of a compressed point, 33 bytes. Raises Malformed: key_point. Source: SEC 1 §2.3.4."""
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            found = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point).public_numbers()
        except ValueError as error:
            raise Malformed("key_point", "not a point of the curve P-256") from error
        return cls(x=found.x.to_bytes(32, "big"), y=found.y.to_bytes(32, "big"))

    @property
    def _point(self) -> bytes:
        return b"\x04" + self.x + self.y

    @cached_property
    def thumbprint(self) -> bytes:
        """32 bytes: SHA-256 over the deterministic COSE_Key of the required members. Source: RFC 9679 §3."""
        return hashlib.sha256(cbor.encode({1: 2, -1: 1, -2: self.x, -3: self.y})).digest()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises BadSignature unless `signature` (r and s, 64 bytes) is this key's over `data` with SHA-256."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        if len(signature) != SIGNATURE_SIZE:
            raise BadSignature("signature_size", "an ES256 signature has 64 bytes")
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self._point)
            key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise BadSignature("signature_bad", "the signature does not hold") from error

    def cose_key(self) -> dict[int, object]:
        """The COSE_Key map with its 32-byte thumbprint as kid. Source: RFC 9052 §7, RFC 9053 §7.1."""
        return {1: 2, 2: self.thumbprint, 3: ES256, -1: 1, -2: self.x, -3: self.y}

    def pem(self) -> str:
        """SubjectPublicKeyInfo in PEM. Source: RFC 5480 §2."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self._point)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_bytes(serialization.Encoding.PEM, form).decode()


class P256SigningKey:
    """A P-256 key pair; shows only its public half."""

    __slots__ = ("_key", "public", "thumbprint")
    alg = ES256

    def __init__(self, secret: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        if len(secret) != SECRET_SIZE:
            raise Malformed("key_size", "a P-256 secret has 32 bytes")
        try:
            self._key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
        except ValueError as error:
            raise Malformed("key_size", "not the secret of a P-256 key") from error
        point = self._key.public_key().public_numbers()
        self.public = P256PublicKey(x=point.x.to_bytes(32, "big"), y=point.y.to_bytes(32, "big"))
        self.thumbprint = self.public.thumbprint

    def sign(self, data: bytes) -> bytes:
        """64 bytes, r and s, over `data` with SHA-256. Source: RFC 9053 §2.1."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        r, s = utils.decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def pem(self) -> str:
        """PrivateKeyInfo in PEM, as TLS libraries read it. Source: RFC 5958."""
        from cryptography.hazmat.primitives import serialization

        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, form, none).decode()

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """Reads what `pem` writes. Raises Malformed: key_pem."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = serialization.load_pem_private_key(text.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Malformed("key_pem", "not a private key in PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Malformed("key_pem", "not a P-256 private key")
        return cls(key.private_numbers().private_value.to_bytes(SECRET_SIZE, "big"))

    def __repr__(self) -> str:
        return f"P256SigningKey({self.thumbprint[:8].hex()})"
