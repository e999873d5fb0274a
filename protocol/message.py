"""The message from a device: content sealed in COSE_Encrypt0, signed in COSE_Sign1, bound to its topic. wire.md, "Message".

There is one layout, with few lengths that vary, and the gateway reads it tens of thousands of times a second: so it is laid and
read by hand. A byte that is not where the layout has it is refused, and so exactly one encoding is accepted.
"""

import hashlib
from typing import NamedTuple

from protocol import cbor, cose, keys
from protocol.errors import BadSignature, Malformed

POSITION, COMMITMENT = -70001, -70002
LANE_MAX = 2
BOOT_MAX = (1 << 32) - 1
SEQ_MAX = (1 << 48) - 1
LINK_ID_SIZE = 4
SIZE_MAX = {0: 1000, 1: 8192, 2: 1000}  # bytes of a message, by lane; a larger one is refused before it is read
CONTENT_TYPE_MAX = 64  # bytes of the inner content type

_HEAD = {  # {1: alg, 3: 16 (CoAP content format application/cose; cose-type="cose-encrypt0"), 4: 8 bytes, ...}
    keys.EDDSA: bytes.fromhex("a50127031004") + b"\x48",
    keys.ED25519: bytes.fromhex("a50132031004") + b"\x48",
}
_ALGS = {head: alg for alg, head in _HEAD.items()}
_POSITION_HEAD = bytes.fromhex("3a0001117083")
_COMMITMENT_HEAD = bytes.fromhex("3a000111715820")
_KID_AT = 7
_LANE_AT = _KID_AT + keys.KID_SIZE + len(_POSITION_HEAD)
_EMPTY_MAP = 0xA0
_SIGNATURE_HEAD = b"\x58\x40"
_LINK_HEAD, _IV_HEAD = b"\xa2\x04\x44", b"\x05\x4c"  # {4: 4 bytes, 5: 12 bytes}
_UINT_SIZES = {0x18: 1, 0x19: 2, 0x1A: 4, 0x1B: 8}


# Tuples, because they are made ten times as fast as frozen dataclasses, and the gateway makes them for every message.


class Position(NamedTuple):
    """Where a message stands: lane 0..2, boot < 2^32, seq < 2^48 counted from 0 per boot and lane."""

    lane: int
    boot: int
    seq: int


class Message(NamedTuple):
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


class Opened(NamedTuple):
    """The inside of a message. content: deterministic CBOR of `content_type`; cek: the key that opens it alone."""

    content: bytes
    content_type: str
    cek: bytes

    def __repr__(self) -> str:
        return f"Opened({self.content_type})"  # neither readings nor keys in a log


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
    return cose.laid(protected, inner, signature)


def parse(raw: bytes, *, topic: str, size_max: int) -> Message:
    """The message in `raw`, which came on `topic`; its shape only, no signature is checked.

    Raises Malformed: message_size, message_shape, message_header, message_not_deterministic.
    """
    if len(raw) > size_max:
        raise Malformed("message_size", f"{len(raw)} bytes, at most {size_max}")
    try:
        if raw[:2] != b"\xd2\x84":
            raise Malformed("message_shape", "not a COSE_Sign1 under tag 18")
        at, end = _string_at(raw, 2, "message")
        protected = raw[at:end]
        if raw[end] != _EMPTY_MAP:
            raise Malformed("message_shape", "the unprotected header is an empty map")
        at, end = _string_at(raw, end + 1, "message")
        signature_at = end + len(_SIGNATURE_HEAD)
        if raw[end:signature_at] != _SIGNATURE_HEAD or len(raw) != signature_at + keys.SIGNATURE_SIZE:
            raise Malformed("message_shape", "a signature of 64 bytes ends the message")
        alg, kid, position, commitment = _read_protected(protected)
    except IndexError:
        raise Malformed("message_shape", "cut short") from None
    return Message(raw, topic, alg, kid, position, commitment, protected, raw[at:end], raw[signature_at:])


def signed_bytes(message: Message) -> bytes:
    """What the message's signature is made over, for a pool of verifiers."""
    return cose.signature_input(message.protected_bytes, message.topic.encode(), message.payload)


def verify(message: Message, key: keys.PublicKey) -> None:
    """Raises BadSignature unless `key` signed the message for its topic and is the key that its kid names."""
    if message.kid != key.kid:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    key.verify(message.signature, signed_bytes(message))


def link_of(message: Message) -> bytes:
    """The link id (4 bytes) under which the content is sealed, readable without its key. Raises Malformed: inner_*."""
    return _read_inner(message.payload)[2]


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
    return Opened(cose.open_chacha(sealed, aad, iv, cek), content_type, cek)


def message_hash(raw: bytes) -> bytes:
    """SHA-256 of a message as received: what receipts and batch entries cover."""
    return hashlib.sha256(raw).digest()


def _protected(alg: int, kid: bytes, position: Position, commitment: bytes) -> bytes:
    place = bytes((position.lane,)) + cbor.uint(position.boot) + cbor.uint(position.seq)
    return _HEAD[alg] + kid + _POSITION_HEAD + place + _COMMITMENT_HEAD + commitment


def _read_protected(protected: bytes) -> tuple[int, bytes, Position, bytes]:
    """(alg, kid, position, commitment). Raises Malformed, and IndexError when it is cut short."""
    alg = _ALGS.get(protected[:_KID_AT])
    if alg is None or protected[_KID_AT + keys.KID_SIZE : _LANE_AT] != _POSITION_HEAD:
        raise Malformed("message_header", "not the labels 1, 3, 4, -70001, -70002 with EdDSA and a sealed content")
    lane = protected[_LANE_AT]
    boot, at = _uint_at(protected, _LANE_AT + 1)
    seq, at = _uint_at(protected, at)
    if lane > LANE_MAX or boot > BOOT_MAX or seq > SEQ_MAX:
        raise Malformed("message_header", "a position out of bounds")
    commitment_at = at + len(_COMMITMENT_HEAD)
    if protected[at:commitment_at] != _COMMITMENT_HEAD or len(protected) != commitment_at + keys.KEY_SIZE:
        raise Malformed("message_header", "a commitment of 32 bytes ends the header")
    kid = protected[_KID_AT : _KID_AT + keys.KID_SIZE]
    return alg, kid, Position(lane, boot, seq), protected[commitment_at:]


def _read_inner(payload: bytes) -> tuple[str, bytes, bytes, bytes, bytes]:
    """(content type, protected header, link id, IV, ciphertext). Raises Malformed: inner_*."""
    try:
        if payload[:2] != b"\xd0\x83":
            raise Malformed("inner_shape", "the payload is a COSE_Encrypt0 under tag 16")
        at, end = _string_at(payload, 2, "inner")
        head = payload[at:end]
        content_type = _content_type(head)
        link_at = end + len(_LINK_HEAD)
        iv_at = link_at + LINK_ID_SIZE + len(_IV_HEAD)
        if payload[end:link_at] != _LINK_HEAD or payload[link_at + LINK_ID_SIZE : iv_at] != _IV_HEAD:
            raise Malformed("inner_header", "a link id of 4 bytes and an IV of 12 are there, and nothing else")
        at, end = _string_at(payload, iv_at + cose.IV_SIZE, "inner")
    except IndexError:
        raise Malformed("inner_shape", "cut short") from None
    if end != len(payload):
        raise Malformed("inner_shape", "more than a COSE_Encrypt0")
    return content_type, head, payload[link_at : link_at + LINK_ID_SIZE], payload[iv_at:][: cose.IV_SIZE], payload[at:]


def _content_type(head: bytes) -> str:
    """The text in the inner protected header {1: 24, 3: text}."""
    size, at = head[5] - 0x60, 6
    if size == 0x18:
        size, at = head[6], 7
        if size < 24:
            raise Malformed("inner_not_deterministic", "a length in more bytes than it needs")
    elif size > 24:
        raise Malformed("inner_not_deterministic", "a length in more bytes than a content type has")
    if head[:5] != b"\xa2\x01\x18\x18\x03" or not 0 <= size <= CONTENT_TYPE_MAX or len(head) != at + size:
        raise Malformed("inner_header", "the inner header is {1: 24, 3: content type}")
    try:
        return head[at:].decode()
    except UnicodeDecodeError:
        raise Malformed("inner_header", "the content type is a text") from None


def _string_at(data: bytes, at: int, layer: str) -> tuple[int, int]:
    """(first byte, end) of the byte string at `at`. Raises Malformed, and IndexError when its head is cut short."""
    head = data[at]
    if head == 0x58:
        size, at, least = data[at + 1], at + 2, 24
    elif head == 0x59:
        size, at, least = data[at + 1] << 8 | data[at + 2], at + 3, 0x100
    else:
        size, at, least = head - 0x40, at + 1, 0
    if size < least:
        if head < 0x58:
            raise Malformed(f"{layer}_shape", "not a byte string")
        raise Malformed(f"{layer}_not_deterministic", "a length in more bytes than it needs")
    if head > 0x59 or at + size > len(data):
        raise Malformed(f"{layer}_shape", "not a byte string, or one that is cut short")
    return at, at + size


def _uint_at(data: bytes, at: int) -> tuple[int, int]:
    """(number, end) of the unsigned integer at `at`. Raises Malformed, and IndexError when it is cut short."""
    head = data[at]
    if head < 24:
        return head, at + 1
    size = _UINT_SIZES.get(head)
    if size is None:
        raise Malformed("message_header", "the position is [lane, boot, seq]")
    end = at + 1 + size
    number = int.from_bytes(data[at + 1 : end], "big")
    if end > len(data) or number < (24 if size == 1 else 1 << 4 * size):
        raise Malformed("message_not_deterministic", "a number in more bytes than it needs")
    return number, end
