"""COSE_Sign1 and COSE_Encrypt0, strict and deterministic. RFC 9052 §4.2 and §5.2, RFC 9053 §2.2 and §4.3."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import nacl.bindings
import nacl.exceptions

from protocol import cbor
from protocol.errors import BadSignature, Malformed

ALG, CRIT, CONTENT_TYPE, KID, IV = 1, 2, 3, 4, 5
CHACHA20_POLY1305 = 24
TAG_ENCRYPT0, TAG_SIGN1 = 16, 18
IV_SIZE = 12
TAG_SIZE = 16
HEADERS_DEPTH_MAX = 8  # nesting inside one COSE object, proofs in headers included; deeper is malformed
HEADERS_PARTS_MAX = (
    1024  # keys and items in one COSE object or header; more are malformed, before they cost anybody time
)

_SIGN1_HEAD = b"\xd2\x84"
_BSTR_HEADS = {0x58: (1, 24), 0x59: (2, 0x100), 0x5A: (4, 0x10000)}  # bytes of the length, least length that needs them
KNOWN_MAX = 1024  # protected headers that are remembered; the one not used for longest goes first
KNOWN_SIZE_MAX = 512  # bytes of a header that is remembered; a longer one is read each time

Headers = Mapping[object, object]
_EMPTY: Headers = MappingProxyType({})


class Verifier(Protocol):
    """A public key. algs: the COSE algorithm numbers it verifies."""

    @property
    def algs(self) -> frozenset[int]: ...

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises BadSignature."""


class Signer(Protocol):
    """A key pair. alg: the COSE algorithm of its signatures; thumbprint: 32 bytes, its name (RFC 9679)."""

    @property
    def alg(self) -> int: ...

    @property
    def thumbprint(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A parsed COSE_Sign1. payload: None when detached."""

    protected_bytes: bytes
    protected: Headers
    unprotected: Headers
    payload: bytes | None
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypt0:
    """A parsed COSE_Encrypt0. ciphertext: with its 16-byte tag at the end."""

    protected_bytes: bytes
    protected: Headers
    unprotected: Headers
    ciphertext: bytes


def signature_input(protected_bytes: bytes, aad: bytes, payload: bytes) -> bytes:
    """What a COSE_Sign1 signature is made over. Source: RFC 9052 §4.4."""
    return b"\x84\x6aSignature1" + bstr(protected_bytes) + bstr(aad) + bstr(payload)


def sign1(
    key: Signer,
    *,
    protected: Mapping[int, object],
    payload: bytes,
    aad: bytes = b"",
    detached: bool = False,
    unprotected: Mapping[int, object] | None = None,
) -> bytes:
    """A tagged COSE_Sign1 by `key`, in deterministic CBOR. protected: with its alg; detached: payload is signed, not sent."""
    head = cbor.encode(dict(protected))
    signature = key.sign(signature_input(head, aad, payload))
    body = b"\xf6" if detached else bstr(payload)
    return b"\xd2\x84" + bstr(head) + cbor.encode(dict(unprotected or {})) + body + bstr(signature)


def laid(protected_bytes: bytes, payload: bytes, signature: bytes) -> bytes:
    """A tagged COSE_Sign1 of parts that are made already, its unprotected header empty."""
    return b"\xd2\x84" + bstr(protected_bytes) + b"\xa0" + bstr(payload) + bstr(signature)


def parse_sign1(data: bytes, *, size_max: int) -> Sign1:
    """The COSE_Sign1 in `data` (tag 18). Raises Malformed: cbor_*, cose_tag, cose_shape."""
    if len(data) <= size_max and (plain := _plain(data)) is not None:
        return plain
    parts = _tagged(data, TAG_SIGN1, 4, size_max)
    head, unprotected, payload, signature = parts
    if not isinstance(payload, bytes | None) or not isinstance(signature, bytes) or not isinstance(unprotected, dict):
        raise Malformed("cose_shape", "not [protected, unprotected, payload, signature]")
    head, protected = _header(head)
    _disjoint(protected, unprotected)
    return Sign1(
        protected_bytes=head, protected=protected, unprotected=unprotected, payload=payload, signature=signature
    )


def verify_sign1(sign1: Sign1, key: Verifier, *, aad: bytes = b"", payload: bytes | None = None) -> None:
    """Raises BadSignature unless `key` made `sign1` under `aad`. payload: for a detached one, and only then."""
    if (sign1.payload is None) == (payload is None):
        raise BadSignature("payload_missing", "a detached payload is given apart, an attached one is not")
    alg = sign1.protected.get(ALG)
    if not isinstance(alg, int) or isinstance(alg, bool) or alg not in key.algs:
        raise BadSignature("alg_unsupported", "the key does not make signatures of this algorithm")
    if CRIT in sign1.protected:
        raise BadSignature("crit_unsupported", "a header parameter that must be understood and is not")
    body = sign1.payload if payload is None else payload
    if body is None:
        raise AssertionError("one of the two payloads is there")
    key.verify(sign1.signature, signature_input(sign1.protected_bytes, aad, body))


def encrypt0(
    cek: bytes,
    *,
    plaintext: bytes,
    iv: bytes,
    protected: Mapping[int, object],
    unprotected: Mapping[int, object],
    aad: bytes = b"",
) -> bytes:
    """A tagged COSE_Encrypt0 under `cek` (32 bytes) with ChaCha20/Poly1305. iv: 12 bytes, also put into `unprotected`."""
    head = cbor.encode({ALG: CHACHA20_POLY1305, **protected})
    sealed = nacl.bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, encryption_input(head, aad), iv, cek)
    return b"\xd0\x83" + bstr(head) + cbor.encode({**unprotected, IV: iv}) + bstr(sealed)


def parse_encrypt0(data: bytes, *, size_max: int) -> Encrypt0:
    """The COSE_Encrypt0 in `data` (tag 16). Raises Malformed: cbor_*, cose_tag, cose_shape."""
    head, unprotected, ciphertext = _tagged(data, TAG_ENCRYPT0, 3, size_max)
    if not isinstance(unprotected, dict) or not isinstance(ciphertext, bytes) or len(ciphertext) < TAG_SIZE:
        raise Malformed("cose_shape", "not [protected, unprotected, ciphertext]")
    head, protected = _header(head)
    _disjoint(protected, unprotected)
    return Encrypt0(protected_bytes=head, protected=protected, unprotected=unprotected, ciphertext=ciphertext)


def open_encrypt0(sealed: Encrypt0, cek: bytes, *, aad: bytes = b"") -> bytes:
    """The plaintext. Raises BadSignature: alg_unsupported, crit_unsupported, iv_size, tag_bad."""
    alg = sealed.protected.get(ALG)
    if type(alg) is not int or alg != CHACHA20_POLY1305:
        raise BadSignature("alg_unsupported", "only ChaCha20/Poly1305 is used here")
    if CRIT in sealed.protected:
        raise BadSignature("crit_unsupported", "a header parameter that must be understood and is not")
    iv = sealed.unprotected.get(IV)
    if not isinstance(iv, bytes) or len(iv) != IV_SIZE:
        raise BadSignature("iv_size", "the IV has 12 bytes")
    return open_chacha(sealed.ciphertext, encryption_input(sealed.protected_bytes, aad), iv, cek)


def open_chacha(ciphertext: bytes, aad: bytes, iv: bytes, key: bytes) -> bytes:
    """ChaCha20/Poly1305 of RFC 8439. Raises BadSignature: tag_bad."""
    if len(ciphertext) < TAG_SIZE:
        raise BadSignature("tag_bad", "shorter than an authentication tag")
    try:
        return nacl.bindings.crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, aad, iv, key)
    except nacl.exceptions.CryptoError as error:
        raise BadSignature("tag_bad", "the authentication tag does not hold") from error


def encryption_input(protected_bytes: bytes, aad: bytes) -> bytes:
    """What a COSE_Encrypt0 authenticates beside its content. Source: RFC 9052 §5.3."""
    return b"\x83\x68Encrypt0" + bstr(protected_bytes) + bstr(aad)


def bstr(data: bytes) -> bytes:
    """`data` as a CBOR byte string with the shortest head."""
    size = len(data)
    if size < 24:
        return bytes((0x40 | size,)) + data
    if size < 0x100:
        return bytes((0x58, size)) + data
    if size < 0x10000:
        return b"\x59" + size.to_bytes(2, "big") + data
    return b"\x5a" + size.to_bytes(4, "big") + data


def _plain(data: bytes) -> Sign1 | None:
    """A COSE_Sign1 as nearly all are: its unprotected header empty, its payload attached. None: read it with care."""
    if data[:2] != _SIGN1_HEAD:
        return None
    head, place = _bstr_at(data, 2)
    if not head or data[place : place + 1] != b"\xa0":
        return None
    payload, place = _bstr_at(data, place + 1)
    signature, place = _bstr_at(data, place)
    if payload is None or signature is None or place != len(data):
        return None
    protected = known_header(head) if len(head) <= KNOWN_SIZE_MAX else _header(head)[1]
    return Sign1(protected_bytes=head, protected=protected, unprotected=_EMPTY, payload=payload, signature=signature)


def _bstr_at(data: bytes, at: int) -> tuple[bytes | None, int]:
    """(byte string, end) at `at`; None for anything but a whole byte string whose head is the shortest."""
    first = data[at] if at < len(data) else 0
    if 0x40 <= first < 0x58:
        begin, size = at + 1, first - 0x40
    elif first in _BSTR_HEADS:
        width, least = _BSTR_HEADS[first]
        begin = at + 1 + width
        size = int.from_bytes(data[at + 1 : begin], "big")
        if size < least:
            return None, at
    else:
        return None, at
    end = begin + size
    return (data[begin:end], end) if end <= len(data) else (None, at)


@functools.lru_cache(maxsize=KNOWN_MAX)
def known_header(head: bytes) -> Headers:
    """A protected header, read once for all that have the same. Raises Malformed: cbor_*, cose_shape."""
    return MappingProxyType(_header(head)[1])


def _tagged(data: bytes, tag: int, count: int, size_max: int) -> list[object]:
    if data[:1] != bytes((0xC0 | tag,)):
        raise Malformed("cose_tag", f"not under CBOR tag {tag}")
    value = cbor.decode(data[1:], size_max=size_max - 1, depth_max=HEADERS_DEPTH_MAX, parts_max=HEADERS_PARTS_MAX)
    if not isinstance(value, list) or len(value) != count:
        raise Malformed("cose_shape", f"not an array of {count}")
    return value


def _header(head: object) -> tuple[bytes, dict[object, object]]:
    if not isinstance(head, bytes):
        raise Malformed("cose_shape", "the protected header is a byte string")
    if head == b"":
        return head, {}
    found = cbor.decode(head, size_max=len(head), depth_max=HEADERS_DEPTH_MAX, parts_max=HEADERS_PARTS_MAX)
    if not isinstance(found, dict) or not found:
        raise Malformed("cose_shape", "the protected header holds a map, or nothing")
    return head, found


def _disjoint(protected: Headers, unprotected: Headers) -> None:
    if protected.keys() & unprotected.keys():
        raise Malformed("cose_shape", "a header parameter is both protected and not")
