"""Vital signs in SenML: one form for each pack, names and units of one table, values that a sensor can say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, senml
from protocol.errors import Malformed
from tests.support import contents, damage

NAME = "MDC_ECG_HEART_RATE"
packs = st.lists(contents.vitals, min_size=1, max_size=8)


def code(records: object) -> str:
    with pytest.raises(Malformed) as caught:
        senml.unpack(records)
    return caught.value.code


@given(packs)
def test_a_pack_comes_back(vitals: list[senml.Vital]) -> None:
    records = cbor.decode(senml.pack(vitals), size_max=4096)
    found = senml.unpack(records)
    assert [(vital.name, vital.value, vital.at_ms) for vital in found] == [
        (vital.name, vital.value, vital.at_ms) for vital in vitals
    ]
    assert cbor.decode(senml.pack(found), size_max=4096) == records


def test_a_pack_is_what_rfc_8428_says() -> None:
    """Labels of its table 6: base time -3, name 0, value 2, time 6; seconds; the unit is the name's."""
    vitals = [
        senml.Vital(name=NAME, value=72, at_ms=1_700_000_000_000),
        senml.Vital(name="MDC_TEMP_BODY", value=36.6, at_ms=1_700_000_000_250),
        senml.Vital(name="MDC_RESP_RATE", value=14.0, at_ms=1_699_999_999_000),
    ]
    assert cbor.decode(senml.pack(vitals), size_max=4096) == [
        {-3: 1_700_000_000, 0: NAME, 2: 72},
        {0: "MDC_TEMP_BODY", 2: 36.6, 6: 0.25},
        {0: "MDC_RESP_RATE", 2: 14, 6: -1},
    ]
    assert [vital.unit for vital in vitals] == ["/min", "Cel", "/min"]


@given(packs)
def test_a_flipped_bit_is_refused_or_says_something_else(vitals: list[senml.Vital]) -> None:
    data = senml.pack(vitals[:2])
    for flipped in damage.every_bit_flip(data):
        found = damage.read_or_refuse(lambda raw: senml.unpack(cbor.decode(raw, size_max=4096)), flipped)
        if found is not None:
            assert isinstance(found, tuple) and senml.pack(found) == flipped


FIRST = {-3: 1_700_000_000, 0: NAME, 2: 72}
BAD = {
    "no array": ({}, "senml_shape"),
    "an empty pack": ([], "senml_shape"),
    "a record that is no map": ([[1]], "senml_shape"),
    "an unknown name": ([FIRST | {0: "MDC_MOOD"}], "senml_name"),
    "a name that is bytes": ([FIRST | {0: NAME.encode()}], "senml_name"),
    "no name": ([{-3: 1, 2: 72, 9: 1}], "senml_name"),
    "no base time": ([{0: NAME, 2: 72}], "senml_time"),
    "no value": ([{-3: 1, 0: NAME}], "senml_shape"),
    "a unit on the wire": ([FIRST | {1: "/min"}], "senml_shape"),
    "a second base time": ([FIRST, FIRST], "senml_shape"),
    "a time in the first record": ([FIRST | {6: 1}], "senml_shape"),
    "a time of zero": ([FIRST, {0: NAME, 2: 72, 6: 0}], "senml_time"),
    "a time that is a truth": ([FIRST, {0: NAME, 2: 72, 6: True}], "senml_time"),
    "less than a millisecond": ([FIRST, {0: NAME, 2: 72, 6: 0.0001}], "senml_time"),
    "whole seconds as a float": ([FIRST, {0: NAME, 2: 72, 6: 1.0}], "senml_time"),
    "not a number as a time": ([FIRST | {-3: math.nan}], "senml_time"),
    "infinity as a time": ([FIRST | {-3: math.inf}], "senml_time"),
    "a time far out": ([FIRST | {-3: 1 << 60}], "senml_time"),
    "a distance far out": ([FIRST, {0: NAME, 2: 72, 6: (1 << 53) // 1000 - 1}], "senml_time"),
    "before 1970": ([FIRST | {-3: -1}], "senml_time"),
    "a distance before 1970": ([FIRST, {0: NAME, 2: 72, 6: -1_700_000_001}], "senml_time"),
    "a value that is a text": ([FIRST | {2: "72"}], "senml_value"),
    "a value that is a truth": ([FIRST | {2: True}], "senml_value"),
    "a whole value as a float": ([FIRST | {2: 72.0}], "senml_value"),
    "minus zero": ([FIRST | {2: -0.0}], "senml_value"),
    "not a number": ([FIRST | {2: math.nan}], "senml_value"),
    "infinity": ([FIRST | {2: math.inf}], "senml_value"),
    "above what a sensor can say": ([FIRST | {2: 501}], "senml_value"),
    "below what a sensor can say": ([FIRST | {2: -1}], "senml_value"),
}


@pytest.mark.parametrize(("records", "expected"), BAD.values(), ids=BAD.keys())
def test_another_pack_is_malformed(records: object, expected: str) -> None:
    assert code(records) == expected


def test_the_number_of_records_is_bounded() -> None:
    later = {0: NAME, 2: 72}
    assert len(senml.unpack([FIRST, *[later] * (senml.VITALS_MAX - 1)])) == senml.VITALS_MAX
    assert code([FIRST, *[later] * senml.VITALS_MAX]) == "senml_shape"


@pytest.mark.parametrize("name", sorted(senml.QUANTITIES))
def test_each_name_takes_its_bounds_and_nothing_beyond(name: str) -> None:
    quantity = senml.QUANTITIES[name]
    for value in (int(quantity.low), int(quantity.high)):
        assert senml.unpack([{-3: 1, 0: name, 2: value}])[0].value == value
    for value in (int(quantity.low) - 1, int(quantity.high) + 1, quantity.high + 0.5, quantity.low - 0.5):
        assert code([{-3: 1, 0: name, 2: value}]) == "senml_value"
