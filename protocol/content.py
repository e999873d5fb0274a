"""What is inside a device's message: readings, a call for help, or the device's state, as one CBOR map. wire.md, "Message"."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from protocol import cbor, senml, waves
from protocol.errors import Malformed
from protocol.senml import Vital
from protocol.waves import Wave

CONTENT_TYPES = ("application/vigil-alarm+cbor", "application/vigil-data+cbor", "application/vigil-state+cbor")
ALARM_KINDS = frozenset({"button", "fall", "lead_off", "tamper", "low_battery"})
STATE_KINDS = frozenset({"birth", "heartbeat", "answer"})
SIZE_MAX = 8192  # bytes of content; the message around it has the same bound, so a larger one cannot come
DEPTH_MAX = 5
DETAIL_MAX = 16  # entries of a detail map; more is malformed
TEXT_MAX = 128  # characters of a text in a detail map; longer is malformed
RANGES_MAX = 32  # position ranges in one gap record; the device writes a second record for more
GAPS_MAX = 32  # gap records in one message; the device sends a second message for more
TIME_MAX_MS = 1 << 53
NUMBER_MAX = 1 << 53  # of numbers in a detail map, either sign: JSON carries them no further, and no infinities
ALARM_ID_SIZE = 16

Detail = Mapping[str, str | int | float | bytes]
Range = tuple[int, int]


class Clock(NamedTuple):
    """The device's clock as it wrote. up_ms: since start; wall_ms: Unix time; synced: a time source agreed lately."""

    up_ms: int
    wall_ms: int
    synced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Positions that will never come. ranges: (first seq, last seq), both inclusive; reason: why they were lost."""

    lane: int
    boot: int
    ranges: tuple[Range, ...]
    reason: str


class Data(NamedTuple):
    """Readings of one stretch of time. waves: at most one of each stream."""

    clock: Clock
    simulated: bool
    vitals: tuple[Vital, ...] = ()
    waves: tuple[Wave, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A call for help from the device itself. id: 16 random bytes, the same when it is sent again under a new position."""

    id: bytes
    kind: str
    at_ms: int
    clock: Clock
    simulated: bool
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Birth, heartbeat or the answer to a command. detail: small facts such as battery or command number."""

    kind: str
    clock: Clock
    simulated: bool
    detail: Detail = field(default_factory=dict)


Content = Data | Alarm | State

_AT_KEY, _ID_KEY, _KIND_KEY = cbor.text("at"), cbor.text("id"), cbor.text("kind")
_GAPS_KEY, _DETAIL_KEY, _VITALS_KEY = cbor.text("gaps"), cbor.text("detail"), cbor.text("vitals")
_CLOCK_HEAD = cbor.text("clock") + cbor.map_head(3) + cbor.text("up_ms")
_SYNCED = {truth: cbor.text("synced") + cbor.encode(truth) + cbor.text("wall_ms") for truth in (False, True)}
_SIMULATED = {truth: cbor.text("simulated") + cbor.encode(truth) for truth in (False, True)}
_SIMULATED_BY_END = {end: truth for truth, end in _SIMULATED.items()}
_USUAL_HEAD = cbor.map_head(3) + _CLOCK_HEAD


def encode(content: Content) -> bytes:
    """Deterministic CBOR of `content`; its content type is `CONTENT_TYPES[lane]` of the lane it goes on.

    The map is laid by hand, its keys in the bytewise order of their encodings: shorter ones first.
    """
    clock = _CLOCK_HEAD + cbor.uint(content.clock.up_ms) + _SYNCED[content.clock.synced]
    clock += cbor.uint(content.clock.wall_ms)
    simulated = _SIMULATED[content.simulated]
    if isinstance(content, Data) and not content.waves and not content.gaps:  # most of what a gateway reads
        parts = [clock, _VITALS_KEY + senml.pack(content.vitals), simulated] if content.vitals else [clock, simulated]
    elif isinstance(content, Data):
        drawn = {wave.stream: cbor.text(wave.stream) + cbor.encode_text(waves.encode(wave)) for wave in content.waves}
        early = [drawn[stream] for stream in ("ecg", "ppg") if stream in drawn]
        gaps = [_GAPS_KEY + cbor.encode_text([_gap_map(gap) for gap in content.gaps])] if content.gaps else []
        motion = [drawn["motion"]] if "motion" in drawn else []
        vitals = [_VITALS_KEY + senml.pack(content.vitals)] if content.vitals else []
        parts = [*early, *gaps, clock, *motion, *vitals, simulated]
    else:
        kind, detail = cbor.text(content.kind), _DETAIL_KEY + cbor.encode_text(dict(content.detail))
        parts = [_KIND_KEY + kind, clock, detail, simulated]
        if isinstance(content, Alarm):
            parts = [_AT_KEY + cbor.uint(content.at_ms), _ID_KEY + cbor.encode(content.id), *parts]
    return cbor.map_head(len(parts)) + b"".join(parts)


def decode(data: bytes, *, content_type: str) -> Content:
    """What `encode` wrote, and nothing that it would write otherwise. data: at most 8,192 bytes.

    Raises Malformed: content_*, senml_*, wave_*, cbor_*.
    """
    if len(data) > SIZE_MAX:
        raise Malformed("content_size", f"{len(data)} bytes, at most {SIZE_MAX}")
    if content_type == CONTENT_TYPES[1] and (usual := _usual(data)) is not None:
        return usual
    body = cbor.decode_loosely(data, depth_max=DEPTH_MAX)
    if not isinstance(body, dict):
        raise Malformed("content_shape", "content is a map")
    found = _read(body, content_type)
    if encode(found) != data:
        raise Malformed("cbor_not_deterministic", "not the one encoding of RFC 8949 section 4.2.1")
    return found


def _usual(data: bytes) -> Data | None:
    """What most data are, read where it stands in its one encoding: a clock, vitals and nothing else. None: anything else,
    also what is malformed; it goes the long way, which can say what is wrong."""
    if not data.startswith(_USUAL_HEAD):
        return None
    try:
        up_ms, at = cbor.number_at(data, len(_USUAL_HEAD))
        synced = data.startswith(_SYNCED[True], at)
        if not synced and not data.startswith(_SYNCED[False], at):
            return None
        wall_ms, at = cbor.number_at(data, at + len(_SYNCED[synced]))
        if not data.startswith(_VITALS_KEY, at):
            return None
        vitals, at = senml.read(data, at + len(_VITALS_KEY))
        clock = _clock({"up_ms": up_ms, "wall_ms": wall_ms, "synced": synced})
    except Malformed:
        return None
    simulated = _SIMULATED_BY_END.get(data[at:])
    return None if simulated is None else Data(clock, simulated, vitals)


def _read(body: dict[object, object], content_type: str) -> Content:
    clock = _clock(body.pop("clock", None))
    simulated = body.pop("simulated", None)
    if type(simulated) is not bool:
        raise Malformed("content_shape", "simulated is true or false")
    if content_type == CONTENT_TYPES[1]:
        return _data(body, clock, simulated)
    if content_type == CONTENT_TYPES[0]:
        return _alarm(body, clock, simulated)
    if content_type == CONTENT_TYPES[2]:
        return _state(body, clock, simulated)
    raise Malformed("content_type", "not a content type of this wire")


def _data(body: dict[object, object], clock: Clock, simulated: bool) -> Data:
    vitals = senml.unpack(body.pop("vitals")) if "vitals" in body else ()
    found = tuple(waves.decode(stream, body.pop(stream)) for stream in waves.STREAMS if stream in body) if body else ()
    gaps = _gaps(body.pop("gaps")) if "gaps" in body else ()
    _nothing_more(body)
    return Data(clock, simulated, vitals, found, gaps)


def _alarm(body: dict[object, object], clock: Clock, simulated: bool) -> Alarm:
    ident, kind, detail = body.pop("id", None), body.pop("kind", None), _detail(body.pop("detail", None))
    at_ms = _count(body.pop("at", None), TIME_MAX_MS)
    _nothing_more(body)
    if not isinstance(ident, bytes) or len(ident) != ALARM_ID_SIZE:
        raise Malformed("content_shape", "an alarm's id has 16 bytes")
    if not isinstance(kind, str) or kind not in ALARM_KINDS:
        raise Malformed("content_kind", "not a kind of alarm")
    return Alarm(id=ident, kind=kind, at_ms=at_ms, clock=clock, simulated=simulated, detail=detail)


def _state(body: dict[object, object], clock: Clock, simulated: bool) -> State:
    kind, detail = body.pop("kind", None), _detail(body.pop("detail", None))
    _nothing_more(body)
    if not isinstance(kind, str) or kind not in STATE_KINDS:
        raise Malformed("content_kind", "not a kind of state")
    return State(kind=kind, clock=clock, simulated=simulated, detail=detail)


def _clock(value: object) -> Clock:
    if not isinstance(value, dict) or len(value) != 3:
        raise Malformed("content_clock", "the clock is {up_ms, wall_ms, synced}")
    up_ms, wall_ms, synced = value.get("up_ms"), value.get("wall_ms"), value.get("synced")
    if type(up_ms) is not int or type(wall_ms) is not int or type(synced) is not bool:
        raise Malformed("content_clock", "the clock is {up_ms, wall_ms, synced}")
    if not (0 <= up_ms < TIME_MAX_MS and 0 <= wall_ms < TIME_MAX_MS):
        raise Malformed("content_clock", "a time out of bounds")
    return Clock(up_ms, wall_ms, synced)


def _gap_map(gap: Gap) -> dict[str, object]:
    return {"lane": gap.lane, "boot": gap.boot, "ranges": [list(pair) for pair in gap.ranges], "reason": gap.reason}


def _gaps(value: object) -> tuple[Gap, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= GAPS_MAX:
        raise Malformed("content_gaps", f"gaps is an array of 1 to {GAPS_MAX} records")
    return tuple(_gap(item) for item in value)


def _gap(value: object) -> Gap:
    if not isinstance(value, dict) or value.keys() != {"lane", "boot", "ranges", "reason"}:
        raise Malformed("content_gaps", "a gap is {lane, boot, ranges, reason}")
    lane, boot, ranges, reason = value["lane"], value["boot"], value["ranges"], value["reason"]
    if not isinstance(reason, str) or not 0 < len(reason) <= TEXT_MAX:
        raise Malformed("content_gaps", "a gap has a short reason")
    return Gap(lane=_count(lane, 2), boot=_count(boot, (1 << 32) - 1), ranges=read_ranges(ranges), reason=reason)


def read_ranges(value: object) -> tuple[Range, ...]:
    """Ascending, disjoint, inclusive ranges of seq with room between them. Raises Malformed: content_ranges."""
    if not isinstance(value, list) or not 0 < len(value) <= RANGES_MAX:
        raise Malformed("content_ranges", f"1 to {RANGES_MAX} ranges")
    found: list[Range] = []
    floor = 0
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or any(type(number) is not int for number in pair):
            raise Malformed("content_ranges", "a range is [first, last]")
        first, last = pair
        if not floor <= first <= last < 1 << 48:
            raise Malformed("content_ranges", "ranges ascend and do not touch")
        found.append((first, last))
        floor = last + 2
    return tuple(found)


def _detail(value: object) -> Detail:
    if not isinstance(value, dict) or len(value) > DETAIL_MAX:
        raise Malformed("content_detail", f"detail is a map of at most {DETAIL_MAX} entries")
    for key, item in value.items():
        if not isinstance(key, str) or not 0 < len(key) <= TEXT_MAX:
            raise Malformed("content_detail", "keys of detail are short texts")
        if type(item) not in (str, int, float, bytes):
            raise Malformed("content_detail", "values of detail are texts, bytes and numbers")
        if isinstance(item, int | float) and not abs(item) < NUMBER_MAX:
            raise Malformed("content_detail", "a number that JSON cannot carry exactly")
        if isinstance(item, str | bytes) and len(item) > TEXT_MAX:
            raise Malformed("content_detail", "a long text in detail")
    return dict(value)


def _count(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed("content_number", "a whole number within bounds")
    return value


def _nothing_more(body: Mapping[object, object]) -> None:
    if body:
        raise Malformed("content_shape", "a key that these formats do not use")
