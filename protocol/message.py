"""The message from a device: content sealed in COSE_Encrypt0, signed in COSE_Sign1, bound to its topic. wire.md, "Message".

The gateway parses this tens of thousands of times a second, hence the hand-laid templates: fields are read with the C
decoder, laid out again, and the result compared with what came, so that exactly one encoding is accepted.
"""

import hashlib
from dataclasses import dataclass

from protocol import cbor, cose, keys
from protocol.errors import BadSignature, Malformed

POSITION, COMMITMENT = -70001, -70002
BOOT_MAX = (1 << 32) - 1
SEQ_MAX = (1 << 48) - 1
LINK_ID_SIZE = 4
SIZE_MAX = {0: 1000, 1: 8192, 2: 1000}  # bytes of a message, by lane; a larger one is refused before it is read
CONTENT_TYPE_MAX = 64  # characters of the inner content type

_COSE_ENCRYPT0 = 16  # CoAP content format application/cose; cose-type="cose-encrypt0"
_HEAD = {
    keys.EDDSA: bytes.fromhex("a50127031004") + b"\x48",
    keys.ED25519: bytes.fromhex("a50132031004") + b"\x48",
}
_POSITION_HEAD = bytes.fromhex("3a0001117083")
_COMMITMENT_HEAD = bytes.fromhex("3a000111715820")
_SIGNATURE_HEAD = b"\x58\x40"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a message stands: lane 0..2, boot < 2^32, seq < 2^48 counted from 0 per boot and lane."""

    lane: int
    boot: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message whose shape is right and whose signature nobody has checked yet. kid: 8 bytes; payload: the sealed inside."""

    raw: bytes
    topic: str
    alg: int
    kid: bytes
    position: Position
    commitment: bytes
    protected_bytes: bytes
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The inside of a message. content: deterministic CBOR of `content_type`; cek: the key that opens it alone."""

    content: bytes
    content_type: str
    cek: bytes


def seal(
    *,
    key: keys.SigningKey,
    lk: bytes,
    link_id: bytes,
    topic: str,
    position: Position,
    content: bytes,
    iv: bytes,
    content_type: str,
) -> bytes:
    """`content` sealed under the link key `lk` (32 bytes) and signed by `key`; iv: 12 fresh random bytes."""
    aad = topic.encode()
    cek = keys.content_key(lk, position.lane, position.boot, position.seq)
    inner = cose.encrypt0(
        cek,
        plaintext=content,
        iv=iv,
        protected={cose.CONTENT_TYPE: content_type},
        unprotected={cose.KID: link_id},
        aad=aad,
    )
    protected = _protected(keys.EDDSA, key.public.kid, position, keys.commitment(cek))
    signature = key.sign(cose.signature_input(protected, aad, inner))
    return b"\xd2\x84" + cose.bstr(protected) + b"\xa0" + cose.bstr(inner) + _SIGNATURE_HEAD + signature


def parse(raw: bytes, *, topic: str, size_max: int) -> Message:
    """The message in `raw`, which came on `topic`; its shape only, no signature is checked.

    Raises Malformed: message_size, cbor_invalid, message_shape, message_header, message_not_deterministic.
    """
    if len(raw) > size_max:
        raise Malformed("message_size", f"{len(raw)} bytes, at most {size_max}")
    if raw[:2] != b"\xd2\x84":
        raise Malformed("message_shape", "not a COSE_Sign1 under tag 18")
    parts = cbor.decode_loosely(raw[1:], depth_max=2)
    if not isinstance(parts, list) or len(parts) != 4:
        raise Malformed("message_shape", "not an array of 4")
    protected, unprotected, payload, signature = parts
    if not isinstance(protected, bytes) or unprotected != {} or not isinstance(unprotected, dict):
        raise Malformed("message_shape", "the protected header is a byte string, the unprotected one an empty map")
    if not isinstance(payload, bytes) or not isinstance(signature, bytes) or len(signature) != keys.SIGNATURE_SIZE:
        raise Malformed("message_shape", "payload and signature are byte strings, the signature of 64")
    if raw != b"\xd2\x84" + cose.bstr(protected) + b"\xa0" + cose.bstr(payload) + _SIGNATURE_HEAD + signature:
        raise Malformed("message_not_deterministic", "not the one encoding of RFC 8949 section 4.2.1")
    alg, kid, position, commitment = _read_protected(protected)
    return Message(
        raw=raw,
        topic=topic,
        alg=alg,
        kid=kid,
        position=position,
        commitment=commitment,
        protected_bytes=protected,
        payload=payload,
        signature=signature,
    )


def signed_bytes(message: Message) -> bytes:
    """What the message's signature is made over, for a pool of verifiers."""
    return cose.signature_input(message.protected_bytes, message.topic.encode(), message.payload)


def verify(message: Message, key: keys.PublicKey) -> None:
    """Raises BadSignature unless `key` signed the message for its topic and is the key that its kid names."""
    if message.kid != key.kid:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    key.verify(message.signature, signed_bytes(message))


def open_content(message: Message, *, lk: bytes, link_id: bytes) -> Opened:
    """The content, by the link key. Raises Malformed: inner_*; BadSignature: link_unknown, commitment_bad, tag_bad."""
    position = message.position
    cek = keys.content_key(lk, position.lane, position.boot, position.seq)
    return _open(message, cek, link_id)


def open_with_key(message: Message, cek: bytes) -> Opened:
    """The content, by the one key that was disclosed for it. Raises as `open_content`."""
    return _open(message, cek, None)


def _open(message: Message, cek: bytes, link_id: bytes | None) -> Opened:
    if keys.commitment(cek) != message.commitment:
        raise BadSignature("commitment_bad", "the message is not committed to this content key")
    content_type, head, link, iv, sealed = _read_inner(message.payload)
    if link_id is not None and link != link_id:
        raise BadSignature("link_unknown", "sealed under another link")
    aad = cose.encryption_input(head, message.topic.encode())
    return Opened(content=cose.open_chacha(sealed, aad, iv, cek), content_type=content_type, cek=cek)


def message_hash(raw: bytes) -> bytes:
    """SHA-256 of a message as received: what receipts and batch entries cover."""
    return hashlib.sha256(raw).digest()


def _protected(alg: int, kid: bytes, position: Position, commitment: bytes) -> bytes:
    place = bytes((position.lane,)) + _uint(position.boot) + _uint(position.seq)
    return _HEAD[alg] + kid + _POSITION_HEAD + place + _COMMITMENT_HEAD + commitment


def _read_protected(protected: bytes) -> tuple[int, bytes, Position, bytes]:
    header = cbor.decode_loosely(protected, depth_max=2)
    if not isinstance(header, dict):
        raise Malformed("message_header", "the protected header holds a map")
    alg, kid = header.get(cose.ALG), header.get(cose.KID)
    place, commitment = header.get(POSITION), header.get(COMMITMENT)
    if type(alg) is not int or alg not in _HEAD:
        raise Malformed("message_header", "alg is EdDSA (-8) or Ed25519 (-19)")
    if not isinstance(kid, bytes) or not isinstance(commitment, bytes) or not isinstance(place, list):
        raise Malformed("message_header", "kid, position and commitment are there")
    if len(place) != 3 or any(type(number) is not int for number in place):
        raise Malformed("message_header", "the position is [lane, boot, seq]")
    lane, boot, seq = place
    if not (0 <= lane <= 2 and 0 <= boot <= BOOT_MAX and 0 <= seq <= SEQ_MAX):
        raise Malformed("message_header", "a position out of bounds")
    position = Position(lane=lane, boot=boot, seq=seq)
    if len(kid) != keys.KID_SIZE or len(commitment) != 32:
        raise Malformed("message_header", "kid has 8 bytes, the commitment 32")
    if _protected(alg, kid, position, commitment) != protected:
        raise Malformed("message_not_deterministic", "the protected header is not the one that these fields make")
    return alg, kid, position, commitment


def _read_inner(payload: bytes) -> tuple[str, bytes, bytes, bytes, bytes]:
    if payload[:2] != b"\xd0\x83":
        raise Malformed("inner_shape", "the payload is a COSE_Encrypt0 under tag 16")
    parts = cbor.decode_loosely(payload[1:], depth_max=3)
    if not isinstance(parts, list) or len(parts) != 3:
        raise Malformed("inner_shape", "not an array of 3")
    head, unprotected, sealed = parts
    if not isinstance(head, bytes) or not isinstance(unprotected, dict) or not isinstance(sealed, bytes):
        raise Malformed("inner_shape", "not [protected, unprotected, ciphertext]")
    header = cbor.decode_loosely(head, depth_max=2)
    content_type = header.get(cose.CONTENT_TYPE) if isinstance(header, dict) else None
    if not isinstance(content_type, str) or len(content_type) > CONTENT_TYPE_MAX:
        raise Malformed("inner_header", "the content type is a short text")
    link, iv = unprotected.get(cose.KID), unprotected.get(cose.IV)
    if not isinstance(link, bytes) or len(link) != LINK_ID_SIZE or not isinstance(iv, bytes) or len(iv) != cose.IV_SIZE:
        raise Malformed("inner_header", "a link id of 4 bytes and an IV of 12 are there")
    named = content_type.encode()
    size = bytes((0x60 | len(named),)) if len(named) < 24 else bytes((0x78, len(named)))
    if head != b"\xa2\x01\x18\x18\x03" + size + named:
        raise Malformed("inner_header", "the inner header is {1: 24, 3: content type}")
    again = b"\xd0\x83" + cose.bstr(head) + b"\xa2\x04\x44" + link + b"\x05\x4c" + iv + cose.bstr(sealed)
    if payload != again:
        raise Malformed("inner_not_deterministic", "not the one encoding of RFC 8949 section 4.2.1")
    return content_type, head, link, iv, sealed


def _uint(number: int) -> bytes:
    if number < 24:
        return bytes((number,))
    if number < 0x100:
        return bytes((0x18, number))
    if number < 0x10000:
        return b"\x19" + number.to_bytes(2, "big")
    if number < 0x100000000:
        return b"\x1a" + number.to_bytes(4, "big")
    return b"\x1b" + number.to_bytes(8, "big")
