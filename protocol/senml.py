"""Vital signs as a SenML pack in CBOR: names are IEEE 11073 MDC codes, each with one fixed UCUM unit. RFC 8428 §6.

The unit of a name is in the one table here and never on the wire. Times are SenML's: seconds, to the millisecond.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protocol import cbor
from protocol.errors import Malformed

VITALS_MAX = 64  # records in one pack; more is malformed: a second's worth is far below
TIME_MAX_MS = 1 << 53  # beyond it a float could not carry milliseconds

_BASE_TIME, _NAME, _VALUE, _TIME = -3, 0, 2, 6  # RFC 8428 table 6
_BASE_TIME_LABEL, _TIME_LABEL = cbor.integer(_BASE_TIME), cbor.integer(_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a name measures. unit: UCUM; low, high: bounds of what a sensor can say, far outside what a body can."""

    unit: str
    low: float
    high: float


class _Named(NamedTuple):
    name: str
    low: float
    high: float


QUANTITIES: Mapping[str, Quantity] = {
    "MDC_ECG_HEART_RATE": Quantity(unit="/min", low=0, high=500),
    "MDC_PULS_OXIM_PULS_RATE": Quantity(unit="/min", low=0, high=500),
    "MDC_PULS_OXIM_SAT_O2": Quantity(unit="%", low=0, high=100),
    "MDC_RESP_RATE": Quantity(unit="/min", low=0, high=200),
    "MDC_TEMP_BODY": Quantity(unit="Cel", low=0, high=60),
    "MDC_PRESS_BLD_NONINV_SYS": Quantity(unit="mm[Hg]", low=0, high=400),
    "MDC_PRESS_BLD_NONINV_DIA": Quantity(unit="mm[Hg]", low=0, high=400),
}

_NAMED = {name: cbor.integer(_NAME) + cbor.text(name) + cbor.integer(_VALUE) for name in QUANTITIES}
"""A record from its first label to the one of its value: labels ascend in the bytewise order 0, 2, 6, -3."""

_VALUE_LABEL = cbor.integer(_VALUE)
_SHORT_PACK = 24  # records from which the array's head has a second byte
_BY_HEAD = {head: _Named(name, QUANTITIES[name].low, QUANTITIES[name].high) for name, head in _NAMED.items()}


class Vital(NamedTuple):
    """One measured value. name: an MDC code of `QUANTITIES`; value: in that unit; at_ms: Unix time.

    A tuple, because a gateway makes them a hundred thousand times a second.
    """

    name: str
    value: int | float
    at_ms: int

    @property
    def unit(self) -> str:
        """The UCUM unit that goes with the name."""
        return QUANTITIES[self.name].unit


def pack(vitals: Sequence[Vital]) -> bytes:
    """Deterministic CBOR of the pack: the first record carries the base time, the others their distance to it where it
    is not zero. vitals: at least one."""
    base_ms = vitals[0].at_ms
    parts = [cbor.array_head(len(vitals))]
    for index, (name, value, at_ms) in enumerate(vitals):
        parts.append(b"\xa3" if index == 0 or at_ms != base_ms else b"\xa2")
        parts.append(_NAMED[name])
        parts.append(_number(value))
        if index == 0:
            parts.append(_BASE_TIME_LABEL + _seconds(base_ms))
        elif at_ms != base_ms:
            parts.append(_TIME_LABEL + _seconds(at_ms - base_ms))
    return b"".join(parts)


def unpack(records: object) -> tuple[Vital, ...]:
    """The vitals of a decoded pack, whose encoding the caller compares with what `pack` makes of them.

    Raises Malformed: senml_shape, senml_name, senml_value, senml_time.
    """
    if not isinstance(records, list) or not 0 < len(records) <= VITALS_MAX:
        raise Malformed("senml_shape", f"a pack is an array of 1 to {VITALS_MAX} records")
    vitals = []
    base_ms = None
    for record in records:
        if not isinstance(record, dict):
            raise Malformed("senml_shape", "a record is a map")
        fields = len(record)
        if base_ms is None:
            at_ms = base_ms = _milliseconds(record.get(_BASE_TIME))
            fields -= 1
        elif _TIME in record:
            at_ms = base_ms + _milliseconds(record[_TIME])
            fields -= 1
            if at_ms == base_ms:
                raise Malformed("senml_time", "a time that adds nothing")
        else:
            at_ms = base_ms
        if not 0 <= at_ms < TIME_MAX_MS:
            raise Malformed("senml_time", "a time out of bounds")
        if fields != 2:
            raise Malformed("senml_shape", "a record has a name and a value, the first also the base time")
        vitals.append(Vital(*_measured(record), at_ms))
    return tuple(vitals)


def read(data: bytes, at: int) -> tuple[tuple[Vital, ...], int]:
    """(vitals, end) of the pack at `at`, laid out as `pack` does it and in its one encoding; a third of what it costs to
    decode, unpack, pack and compare. Raises Malformed for anything else, as `unpack` can name it."""
    count = data[at] - 0x80 if at < len(data) else 0
    if not 0 < count < _SHORT_PACK:
        raise Malformed("senml_shape", "not a short pack")
    at += 1
    vitals = []
    base_ms = 0
    for index in range(count):
        timed = data[at : at + 1] == b"\xa3"
        value_at = data.find(_VALUE_LABEL, at) + 1
        bounds = _BY_HEAD.get(data[at + 1 : value_at])
        if bounds is None or not (timed or (index and data[at : at + 1] == b"\xa2")):
            raise Malformed("senml_name", "not a record as we lay it")
        value, at = cbor.number_at(data, value_at)
        if not bounds.low <= value <= bounds.high or (type(value) is float and value.is_integer()):
            raise Malformed("senml_value", "a value that no sensor gives")
        at_ms = base_ms
        if timed:
            if data[at : at + 1] != (_TIME_LABEL if index else _BASE_TIME_LABEL):
                raise Malformed("senml_shape", "the third label is a time")
            seconds, at = cbor.number_at(data, at + 1)
            at_ms += _milliseconds(seconds)
            if index and at_ms == base_ms:
                raise Malformed("senml_time", "a time that adds nothing")
        if not 0 <= at_ms < TIME_MAX_MS:
            raise Malformed("senml_time", "a time out of bounds")
        if index == 0:
            base_ms = at_ms
        vitals.append(Vital(bounds.name, value, at_ms))
    return tuple(vitals), at


def _measured(record: Mapping[object, object]) -> tuple[str, int | float]:
    name, value = record.get(_NAME), record.get(_VALUE)
    quantity = QUANTITIES.get(name) if isinstance(name, str) else None
    if quantity is None or not isinstance(name, str):
        raise Malformed("senml_name", "not a name of the table")
    kind = type(value)
    if kind is not int and (kind is not float or value.is_integer()):  # type: ignore[attr-defined]
        raise Malformed("senml_value", "a value is a number, and a whole number is an integer")
    if not quantity.low <= value <= quantity.high:  # type: ignore[operator]
        raise Malformed("senml_value", f"{name} outside {quantity.low:g} to {quantity.high:g} {quantity.unit}")
    return name, value  # type: ignore[return-value]


def _number(value: int | float) -> bytes:
    return cbor.number(int(value) if isinstance(value, float) and value.is_integer() else value)


def _seconds(ms: int) -> bytes:
    whole, rest = divmod(ms, 1000)
    return cbor.number(ms / 1000 if rest else whole)


def _milliseconds(seconds: object) -> int:
    if type(seconds) is int:
        ms = seconds * 1000
    elif type(seconds) is float and seconds == seconds and abs(seconds) < TIME_MAX_MS:
        ms = round(seconds * 1000)
        if seconds.is_integer() or ms / 1000 != seconds:
            raise Malformed("senml_time", "times are whole milliseconds, whole seconds are integers")
    else:
        raise Malformed("senml_time", "a time is a number of seconds")
    if abs(ms) >= TIME_MAX_MS:
        raise Malformed("senml_time", "a time out of bounds")
    return ms
