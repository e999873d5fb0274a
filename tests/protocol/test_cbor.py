"""Deterministic CBOR: each value has one encoding, and no other bytes are read."""

import math
import struct

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor
from protocol.errors import Malformed
from tests.support import damage

SIZE = 4096

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
keys = st.integers(-1000, 1000) | st.text(max_size=30)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=30), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes) -> object:
    return cbor.decode(data, size_max=SIZE)


def code(data: bytes, **bounds: int) -> str:
    with pytest.raises(Malformed) as caught:
        cbor.decode(data, **{"size_max": SIZE, **bounds})
    return caught.value.code


@given(values)
def test_a_value_comes_back_from_its_bytes(value: object) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data, size_max=len(data), depth_max=20) == value
    assert cbor2.loads(data) == value


@given(plain)
def test_the_fast_encoder_agrees_where_keys_are_short_texts(value: object) -> None:
    assert cbor.encode_text(value) == cbor.encode(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_are_the_one_encoding_of_what_they_say(data: bytes) -> None:
    value = damage.read_or_refuse(read, data)
    if value is not None:
        assert cbor.encode(value) == data


@given(values)
def test_whatever_is_cut_off_is_refused(value: object) -> None:
    assert damage.accepted(read, damage.every_prefix(cbor.encode(value))) == []


@given(values)
def test_a_flipped_bit_is_refused_or_says_something_else(value: object) -> None:
    data = cbor.encode(value)
    for damaged in damage.every_bit_flip(data[:24]):
        found = damage.read_or_refuse(read, damaged + data[24:])
        assert found is None or cbor.encode(found) == damaged + data[24:]


def test_map_keys_are_in_the_order_of_their_encodings() -> None:
    # RFC 8949 section 4.2.1: 10, 100, -1, "z", "aa", [100], [-1], false
    assert cbor.encode({"aa": 5, 100: 2, -1: 3, "z": 4, 10: 1}).hex() == "a50a011864022003617a0462616105"
    # the older rule of RFC 7049 puts the shorter encoding first
    assert cbor.encode({"aa": 1, 300: 2}).hex() == "a219012c0262616101"
    assert cbor.encode({256: 1, -1: 2}).hex() == "a2190100012002"
    assert code(bytes.fromhex("a2200219010001")) == "cbor_not_deterministic"


# RFC 8949, appendix A
EXAMPLES = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (18446744073709551615, "1bffffffffffffffff"),
    (-1, "20"),
    (-1000, "3903e7"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (0.5, "f93800"),
    (1.1, "fb3ff199999999999a"),
    (100000.0, "fa47c35000"),
    (math.inf, "f97c00"),
    (False, "f4"),
    (None, "f6"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("\u00fc", "62c3bc"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
]


@pytest.mark.parametrize(("value", "text"), EXAMPLES)
def test_the_examples_of_the_standard_hold(value: object, text: str) -> None:
    assert cbor.encode(value).hex() == text
    assert read(bytes.fromhex(text)) == value


REFUSED = {
    "nothing": "",
    "indefinite array": "9f01ff",
    "indefinite map": "bf6161 01ff",
    "indefinite bytes": "5f4101ff",
    "indefinite text": "7f6161ff",
    "a lone break": "ff",
    "a number longer than needed": "1801",
    "a length longer than needed": "580101",
    "an array length longer than needed": "980101",
    "a map length longer than needed": "b8016161 01",
    "a float longer than needed": "fb3ff0000000000000",
    "another not-a-number": "f97e01",
    "keys out of order": "a2616201616101",
    "a key twice": "a2616101616102",
    "something after the end": "0101",
    "text that is not UTF-8": "61ff",
    "undefined": "f7",
    "a simple value": "e0",
    "a reserved length": "1c",
    "a length beyond the end": "5bffffffffffffffff",
    "an array beyond the end": "9b7fffffffffffffff",
    "a map beyond the end": "bb7fffffffffffffff",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_the_one_encoding_is_refused(text: str) -> None:
    assert code(bytes.fromhex(text)) in {"cbor_invalid", "cbor_not_deterministic"}


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5, 16, 18, 25, 28, 29, 30, 35, 36, 37, 256, 258, 55799, 70000])
def test_every_tag_is_refused(tag: int) -> None:
    head = cbor2.dumps(cbor2.CBORTag(tag, 1))[:-1]
    for inside in (b"\x01", b"\x41\x01", b"\x61\x61", b"\x81\x01", b"\x82\x01\x02", b"\xa1\x01\x01"):
        for place in (head + inside, b"\x81" + head + inside, b"\xa1\x01" + head + inside):
            assert code(place) == "cbor_invalid"
    with pytest.raises(TypeError):
        cbor.encode(cbor2.CBORTag(tag, 1))


def test_references_cannot_make_a_small_input_huge() -> None:
    """Tag 28 marks a part, tag 29 repeats it: 200 times in each of four levels would be 1,600,000,000 numbers."""
    parts = [b"\xd8\x1c\x98\xc8" + b"\x01" * 200]
    parts += [b"\xd8\x1c\x98\xc8" + bytes((0xD8, 0x1D, level)) * 200 for level in range(3)]
    assert code(b"\x84" + b"".join(parts)) == "cbor_invalid"
    with pytest.raises(Malformed):
        cbor.decode_loosely(b"\x84" + b"".join(parts))
    assert code(bytes.fromhex("d81c81d81d00")) == "cbor_invalid"


def test_size_and_depth_are_bounded() -> None:
    assert code(bytes(SIZE + 1)) == "cbor_size"
    deep = b"\x81" * cbor.DEPTH_MAX + b"\x01"
    assert read(deep[1:]) is not None
    assert code(b"\x81" + deep) == "cbor_invalid"
    assert code(b"\x81" * 4000 + b"\x01") == "cbor_invalid"
    assert code(b"\xa1\x01" * 2000 + b"\x01") == "cbor_invalid"
    assert code(b"\x81\x81\x01", depth_max=1) == "cbor_invalid"


@pytest.mark.parametrize(
    ("value", "parts"), [([1, [2, {3: 4}]], 6), ({1: [2, 3]}, 4), ([[], [], {}], 3), ([b"a text of many bytes"], 1)]
)
def test_keys_and_items_are_bounded_where_that_is_asked_for(value: object, parts: int) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data, size_max=SIZE, parts_max=parts) == value
    assert len(data) <= parts or code(data, parts_max=parts - 1) == "cbor_size"


@pytest.mark.parametrize("text", ["a1f401", "a1f501", "a1f601", "a1f93c0001", "a1810101", "a1a001"])
def test_a_map_key_is_a_number_a_text_or_bytes(text: str) -> None:
    """Python would take true and 1.0 for the key 1."""
    assert code(bytes.fromhex(text)) == "cbor_invalid"
    assert read(bytes.fromhex("a3010141410261610 3".replace(" ", ""))) == {1: 1, b"A": 2, "a": 3}


@pytest.mark.parametrize("value", [{1, 2}, object(), cbor2.undefined, cbor2.CBORSimpleValue(1), 1 + 2j])
def test_other_types_have_no_encoding(value: object) -> None:
    with pytest.raises(TypeError):
        cbor.encode([value])


@given(st.floats(width=64))
def test_a_float_is_as_short_as_it_can_be(value: float) -> None:
    data = cbor.encode(value)
    for form, head in (("e", b"\xf9"), ("f", b"\xfa")):
        try:
            short = head + struct.pack(">" + form, value)
        except OverflowError:
            continue
        if struct.unpack(">" + form, short[1:])[0] == value:
            assert data == short
            return
    assert data == (b"\xf9\x7e\x00" if value != value else b"\xfb" + struct.pack(">d", value))
