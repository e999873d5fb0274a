"""Everything that a device can say, as hypothesis strategies."""

import struct

from hypothesis import strategies as st

from protocol import content, senml, waves

times_ms = st.integers(0, content.TIME_MAX_MS - 1)
clocks = st.builds(content.Clock, up_ms=times_ms, wall_ms=times_ms, synced=st.booleans())


def _value(name: str) -> st.SearchStrategy[int | float]:
    quantity = senml.QUANTITIES[name]
    low, high = round(quantity.low), round(quantity.high)
    return st.integers(low, high) | st.floats(low, high).filter(lambda value: not value.is_integer())


vitals = st.sampled_from(sorted(senml.QUANTITIES)).flatmap(
    lambda name: st.builds(content.Vital, name=st.just(name), value=_value(name), at_ms=st.integers(0, 1 << 45))
)


@st.composite
def wave(draw: st.DrawFn, stream: str) -> waves.Wave:
    """A stretch of a stream: steps that fit in a byte, or wild ones."""
    leads = draw(st.integers(1, 4)) if stream == "ecg" else 1
    place = ",".join(f"L{number}" for number in range(leads)) if stream == "ecg" else "wrist"
    width = waves.channels(stream, place)
    n = draw(st.integers(1, 6))
    step = draw(st.sampled_from([127, 128, 32_767]))
    counts = draw(st.lists(st.integers(-step - 1, step), min_size=n * width, max_size=n * width))
    return waves.Wave(
        stream=stream,
        t0_ms=draw(st.integers(1, 1 << 45)),
        rate_mhz=draw(st.integers(1, waves.RATE_MAX_MHZ)),
        scale=draw(st.floats(1e-6, 1000)),
        place=place,
        n=n,
        samples=struct.pack(f"<{n * width}h", *counts),
    )


@st.composite
def ranges(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Ascending ranges that do not touch."""
    found, floor = [], 0
    for room, length in draw(
        st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 20)), min_size=1, max_size=5)
    ):
        found.append((floor + room, floor + room + length))
        floor += room + length + 2
    return tuple(found)


gaps = st.builds(
    content.Gap,
    lane=st.sampled_from([0, 1, 2]),
    boot=st.integers(0, (1 << 32) - 1),
    ranges=ranges(),
    reason=st.text(min_size=1, max_size=20),
)
details = st.dictionaries(
    st.text(min_size=1, max_size=30),
    st.text(max_size=20)
    | st.binary(max_size=20)
    | st.integers(1 - content.NUMBER_MAX, content.NUMBER_MAX - 1)
    | st.floats(-1e15, 1e15),
    max_size=4,
)
streams = st.lists(st.sampled_from(waves.STREAMS), unique=True, max_size=3)
data = st.builds(
    content.Data,
    clock=clocks,
    simulated=st.booleans(),
    vitals=st.lists(vitals, max_size=4).map(tuple),
    waves=streams.flatmap(lambda names: st.tuples(*map(wave, sorted(names, key=waves.STREAMS.index)))),
    gaps=st.lists(gaps, max_size=2).map(tuple),
)
alarms = st.builds(
    content.Alarm,
    id=st.binary(min_size=16, max_size=16),
    kind=st.sampled_from(sorted(content.ALARM_KINDS)),
    at_ms=times_ms,
    clock=clocks,
    simulated=st.booleans(),
    detail=details,
)
states = st.builds(
    content.State,
    kind=st.sampled_from(sorted(content.STATE_KINDS)),
    clock=clocks,
    simulated=st.booleans(),
    detail=details,
)


def content_type(said: content.Content) -> str:
    """The content type that `said` goes under."""
    kinds = (content.Alarm, content.Data, content.State)
    return content.CONTENT_TYPES[kinds.index(type(said))]
