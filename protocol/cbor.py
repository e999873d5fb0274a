"""Deterministic CBOR: one encoding for each value, and only that one is read back. RFC 8949 §4.2.1.

Tags are refused: our formats have them only as fixed first bytes, and some tags make a small input huge (28 and 29 let one
part stand in a thousand places) or give types that nothing here expects.
"""

import math
import sys
from collections.abc import Callable, Mapping
from struct import Struct

import cbor2

from protocol.errors import Malformed

DEPTH_MAX = 8  # nested arrays and maps; deeper input is refused before it costs anything

NotEncodable = (cbor2.CBOREncodeError, TypeError, ValueError, OverflowError, RecursionError)
_SCALARS = (bool, int, float, bytes, str)
_FLOATS = (  # head, form, largest finite number
    (b"\xf9", Struct(">e"), 65_504.0),
    (b"\xfa", Struct(">f"), (2 - 2**-23) * 2.0**127),
    (b"\xfb", Struct(">d"), sys.float_info.max),
)
_INTEGERS = ((">B", 24), (">H", 1 << 8), (">I", 1 << 16), (">Q", 1 << 32))  # form, least number that needs it
_NUMBERS = {  # by first byte: form, sign, least number (0: a float, whose encoding is compared)
    **{0x18 + place: (Struct(form), 1, least) for place, (form, least) in enumerate(_INTEGERS)},
    **{0x38 + place: (Struct(form), -1, least) for place, (form, least) in enumerate(_INTEGERS)},
    **{0xF9 + place: (form, 1, 0) for place, (_, form, _) in enumerate(_FLOATS)},
}
_WORD = 1 << 64
_KEYS = frozenset({int, str, bytes})  # Python takes True and 1.0 for 1: as keys they would be a second encoding


def _refuse(_decoder: object, _immutable: bool) -> object:
    raise cbor2.CBORDecodeError("a tag")


class _Refused(dict[int, Callable[[object, bool], object]]):
    """The decoder of every tag there is."""

    def __missing__(self, tag: int) -> Callable[[object, bool], object]:
        return _refuse


_REFUSED = _Refused()


def encode(value: object) -> bytes:
    """The deterministic encoding of None, bool, int, float, bytes, str, list, tuple and dict.

    Map keys are in the bytewise order of their encodings, numbers are shortest, lengths definite.
    Source: RFC 8949 §4.2.1.
    """
    if isinstance(value, bytes):
        return _head(0x40, len(value)) + value
    if isinstance(value, str):
        return text(value)
    if type(value) is int and -_WORD <= value < _WORD:
        return integer(value)
    if isinstance(value, Mapping):
        if not _KEYS.issuperset(map(type, value)):
            raise TypeError("map keys are whole numbers, texts and byte strings")
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return _head(0xA0, len(pairs)) + b"".join(key + item for key, item in pairs)
    if isinstance(value, list | tuple):
        return _head(0x80, len(value)) + b"".join(map(encode, value))
    if value is None or isinstance(value, _SCALARS):
        return cbor2.dumps(value, canonical=True)
    raise TypeError(f"{type(value).__name__} has no encoding here")


def uint(number: int) -> bytes:
    """A whole number from 0 to 2^64 - 1, in the fewest bytes."""
    return _head(0, number)


def integer(number: int) -> bytes:
    """A whole number of either sign and at most 64 bits, in the fewest bytes."""
    return _head(0, number) if number >= 0 else _head(0x20, -1 - number)


def number(value: int | float) -> bytes:
    """An integer, or a finite float in the fewest bytes that carry it."""
    if isinstance(value, int):
        return integer(value)
    for head, form, most in _FLOATS:
        if -most <= value <= most:
            packed = form.pack(value)
            if form.unpack(packed)[0] == value:
                return head + packed
    raise TypeError("not a finite number")


def number_at(data: bytes, at: int) -> tuple[int | float, int]:
    """(number, end) of the number at `at`. Raises Malformed: cbor_invalid, cbor_not_deterministic."""
    head = data[at] if at < len(data) else 0xFF
    if head < 24:
        return head, at + 1
    found = _NUMBERS.get(head)
    if found is None:
        raise Malformed("cbor_invalid", "not a number")
    form, sign, least = found
    end = at + 1 + form.size
    if end > len(data):
        raise Malformed("cbor_invalid", "cut short")
    (value,) = form.unpack_from(data, at + 1)
    if not least and not math.isfinite(value):
        raise Malformed("cbor_invalid", "not a finite number")
    if value < least if least else number(value) != data[at:end]:
        raise Malformed("cbor_not_deterministic", "a number in more bytes than it needs")
    return (value, end) if sign > 0 else (-1 - value, end)


def array_head(count: int) -> bytes:
    """What begins an array of `count` items."""
    return _head(0x80, count)


def map_head(count: int) -> bytes:
    """What begins a map of `count` pairs."""
    return _head(0xA0, count)


def text(value: str) -> bytes:
    """A text with its head."""
    data = value.encode()
    return _head(0x60, len(data)) + data


def encode_text(value: object) -> bytes:
    """The same bytes as `encode`, faster, for values whose map keys are all texts or integers of one encoded byte.

    There the older order of RFC 7049 (shorter first), which the C encoder knows, is the bytewise one.
    """
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, size_max: int, depth_max: int = DEPTH_MAX, parts_max: int | None = None) -> object:
    """The value of `data`, at most `size_max` bytes of deterministic CBOR, nested at most `depth_max` deep, with at most
    `parts_max` keys and items in it: encoding it again, to see that it is the one encoding, takes longest by far.

    Raises Malformed: cbor_size, cbor_invalid, cbor_not_deterministic.
    """
    if len(data) > size_max:
        raise Malformed("cbor_size", f"{len(data)} bytes, at most {size_max}")
    value = decode_loosely(data, depth_max=depth_max)
    if parts_max is not None and len(data) > parts_max:  # a shorter one cannot have so many
        _check_parts(value, parts_max)
    try:
        again = encode(value)
    except NotEncodable as error:
        raise Malformed("cbor_invalid", "a type that these formats do not use") from error
    if again != data:
        raise Malformed("cbor_not_deterministic", "not the one encoding of RFC 8949 section 4.2.1")
    return value


def decode_loosely(data: bytes, *, depth_max: int = DEPTH_MAX) -> object:
    """The value of `data`, whose encoding the caller compares itself. Raises Malformed: cbor_invalid."""
    try:
        return cbor2.loads(
            data,
            max_depth=depth_max,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_REFUSED,
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Malformed("cbor_invalid", "not well-formed CBOR") from error


def _check_parts(value: object, parts_max: int) -> None:
    """Raises Malformed: cbor_size."""
    waiting, count = [value], 0
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict | list):
            continue
        count += 2 * len(part) if isinstance(part, dict) else len(part)
        if count > parts_max:
            raise Malformed("cbor_size", f"more than {parts_max} parts")
        waiting += part.values() if isinstance(part, dict) else part


def _head(major: int, count: int) -> bytes:
    if count < 24:
        return bytes((major | count,))
    if count < 0x100:
        return bytes((major | 24, count))
    if count < 0x10000:
        return bytes((major | 25, count >> 8, count & 0xFF))
    if count < 0x100000000:
        return bytes((major | 26,)) + count.to_bytes(4, "big")
    if count < 1 << 64:
        return bytes((major | 27,)) + count.to_bytes(8, "big")
    raise Malformed("cbor_invalid", "a length above 64 bits")
