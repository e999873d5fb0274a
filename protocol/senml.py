"""Vital signs as a SenML pack in CBOR: names are IEEE 11073 MDC codes, each with one fixed UCUM unit. RFC 8428 §6.

The unit of a name is in the one table here and never on the wire. Times are SenML's: seconds, to the millisecond.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.errors import Malformed

VITALS_MAX = 64  # records in one pack; more is malformed: a second's worth is far below
TIME_MAX_MS = 1 << 53  # beyond it a float could not carry milliseconds

_BASE_TIME, _NAME, _VALUE, _TIME = -3, 0, 2, 6  # RFC 8428 table 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a name measures. unit: UCUM; low, high: bounds of what a sensor can say, far outside what a body can."""

    unit: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """One measured value. name: an MDC code of `QUANTITIES`; value: in that unit; at_ms: Unix time."""

    name: str
    value: int | float
    at_ms: int

    @property
    def unit(self) -> str:
        """The UCUM unit that goes with the name."""
        return QUANTITIES[self.name].unit


def pack(vitals: Sequence[Vital]) -> list[dict[int, object]]:
    """The pack's records: the first carries the base time, the others their distance to it where it is not zero."""
    if not vitals:
        return []
    base_ms = vitals[0].at_ms
    records: list[dict[int, object]] = []
    for index, vital in enumerate(vitals):
        record: dict[int, object] = {_BASE_TIME: _number(base_ms / 1000)} if index == 0 else {}
        record[_NAME] = vital.name
        record[_VALUE] = _number(vital.value)
        if vital.at_ms != base_ms:
            record[_TIME] = _number((vital.at_ms - base_ms) / 1000)
        records.append(record)
    return records


def unpack(records: object) -> tuple[Vital, ...]:
    """The vitals of a decoded pack. Raises Malformed: senml_shape, senml_name, senml_value, senml_time."""
    if not isinstance(records, list) or not 0 < len(records) <= VITALS_MAX:
        raise Malformed("senml_shape", f"a pack is an array of 1 to {VITALS_MAX} records")
    vitals = []
    base_ms = 0
    for index, record in enumerate(records):
        if not isinstance(record, dict) or any(type(label) is not int for label in record):
            raise Malformed("senml_shape", "a record is a map with numbers as labels")
        fields = 2
        if index == 0:
            base_ms = _milliseconds(record.get(_BASE_TIME))
            fields = 3
        at_ms = base_ms
        if _TIME in record:
            fields += 1
            at_ms += _milliseconds(record[_TIME])
            if index == 0 or at_ms == base_ms:
                raise Malformed("senml_time", "a time that adds nothing")
        if not 0 <= at_ms < TIME_MAX_MS:
            raise Malformed("senml_time", "a time out of bounds")
        if len(record) != fields:
            raise Malformed("senml_shape", "a record has a name and a value, the first also the base time")
        name, value = record.get(_NAME), record.get(_VALUE)
        quantity = QUANTITIES.get(name) if isinstance(name, str) else None
        if quantity is None or not isinstance(name, str):
            raise Malformed("senml_name", "not a name of the table")
        if type(value) is float:
            if value.is_integer():
                raise Malformed("senml_value", "a whole number is an integer")
        elif type(value) is not int:
            raise Malformed("senml_value", "a value is a number")
        if not quantity.low <= value <= quantity.high:
            raise Malformed("senml_value", f"{name} outside {quantity.low:g} to {quantity.high:g} {quantity.unit}")
        vitals.append(Vital(name=name, value=value, at_ms=at_ms))
    return tuple(vitals)


def _number(value: int | float) -> int | float:
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
