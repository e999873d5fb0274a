"""Receipts from a gateway to a device: these positions are on my disk, and this is what they digest to. wire.md, "Receipt"."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from protocol import cbor, cose
from protocol.content import RANGES_MAX, Range, read_ranges
from protocol.errors import BadSignature, Malformed
from protocol.keys import EDDSA, KID_SIZE, PublicKey, SigningKey

CONTENT_TYPE = "application/vigil-receipt+cbor"
SIZE_MAX = 8192  # bytes of a receipt; a larger one is malformed
REFUSED_MAX = 64  # refusals in one receipt; the gateway sends another receipt for more
CODE_MAX = 64  # characters of a refusal's code

# A gateway signs one for each device of each commit, so they are laid by hand: keys in the bytewise order of their encodings.
_AT, _BOOT, _LANE = cbor.map_head(7) + cbor.text("at"), cbor.text("boot"), cbor.text("lane")
_FLOOR, _DIGEST, _RANGES, _REFUSED = map(cbor.text, ("floor", "digest", "ranges", "refused"))
_HEAD = cbor.encode({cose.ALG: EDDSA, cose.CONTENT_TYPE: CONTENT_TYPE, cose.KID: bytes(KID_SIZE)})[:-KID_SIZE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one commit made durable of one device's lane and boot.

    ranges: inclusive seq ranges, ascending; digest: 32 bytes over exactly these positions; refused: (seq, code) that will
    never be taken; floor: the highest boot that the gateway knows of; at_ms: Unix time of the commit.
    """

    lane: int
    boot: int
    ranges: tuple[Range, ...]
    digest: bytes
    refused: tuple[tuple[int, str], ...]
    floor: int
    at_ms: int


def digest(hashes: Iterable[bytes]) -> bytes:
    """32 bytes: SHA-256 over the concatenated SHA-256 of each message, in seq order."""
    return hashlib.sha256(b"".join(hashes)).digest()


def sign(key: SigningKey, topic: str, receipt: Receipt) -> bytes:
    """`receipt` as a COSE_Sign1 by the gateway's `key`, bound to the device's receipt topic."""
    if len(receipt.ranges) > RANGES_MAX or len(receipt.refused) > REFUSED_MAX:
        raise AssertionError("the caller cuts receipts to size")
    ranges = b"".join(b"\x82" + cbor.uint(first) + cbor.uint(last) for first, last in receipt.ranges)
    refused = b"".join(b"\x82" + cbor.uint(seq) + cbor.text(code) for seq, code in receipt.refused)
    body = (
        _AT + cbor.uint(receipt.at_ms) + _BOOT + cbor.uint(receipt.boot) + _LANE + cbor.uint(receipt.lane)
        + _FLOOR + cbor.uint(receipt.floor) + _DIGEST + cose.bstr(receipt.digest)
        + _RANGES + cbor.array_head(len(receipt.ranges)) + ranges
        + _REFUSED + cbor.array_head(len(receipt.refused)) + refused
    )  # fmt: skip
    protected = _HEAD + key.kid
    return cose.laid(protected, body, key.sign(cose.signature_input(protected, topic.encode(), body)))


def read(raw: bytes, topic: str, key: PublicKey) -> Receipt:
    """The receipt in `raw`, which came on `topic`, by the pinned `key`. Raises Malformed, BadSignature."""
    signed = cose.parse_sign1(raw, size_max=SIZE_MAX)
    cose.verify_sign1(signed, key, aad=topic.encode())
    expected = {cose.ALG, cose.CONTENT_TYPE, cose.KID}
    if signed.unprotected or signed.protected.keys() != expected or signed.protected[cose.CONTENT_TYPE] != CONTENT_TYPE:
        raise Malformed("receipt_shape", "not a receipt's header")
    if signed.protected[cose.KID] != key.kid:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    body = cbor.decode(signed.payload or b"", size_max=SIZE_MAX)
    if not isinstance(body, dict) or body.keys() != {"lane", "boot", "ranges", "digest", "refused", "floor", "at"}:
        raise Malformed("receipt_shape", "not a receipt")
    found = body["digest"]
    if not isinstance(found, bytes) or len(found) != 32:
        raise Malformed("receipt_shape", "the digest has 32 bytes")
    return Receipt(
        lane=_number(body["lane"], 2),
        boot=_number(body["boot"], (1 << 32) - 1),
        ranges=read_ranges(body["ranges"]) if body["ranges"] != [] else (),
        digest=found,
        refused=_refused(body["refused"]),
        floor=_number(body["floor"], (1 << 32) - 1),
        at_ms=_number(body["at"], 1 << 53),
    )


def _refused(value: object) -> tuple[tuple[int, str], ...]:
    if not isinstance(value, list) or len(value) > REFUSED_MAX:
        raise Malformed("receipt_shape", f"at most {REFUSED_MAX} refusals")
    found = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], str) or len(pair[1]) > CODE_MAX:
            raise Malformed("receipt_shape", "a refusal is [seq, code]")
        found.append((_number(pair[0], (1 << 48) - 1), pair[1]))
    return tuple(found)


def _number(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed("receipt_shape", "a whole number within bounds")
    return value
