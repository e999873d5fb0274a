"""A device that sends anything that the wire lets through: it crashes nothing, takes nobody's time, and fills no memory."""

import pickle
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect import Finding, Watch
from gateway.detect import watch as watch_module
from protocol import content, senml, waves
from protocol.content import Alarm, Data, State
from protocol.senml import Vital
from protocol.waves import Wave
from tests.support.signals import START_MS
from tests.support.watching import CLOCK, HEARTBEAT, data

MESSAGE_S = 0.4  # of processor time for one message, on any machine that runs these tests
TIMES = st.one_of(
    st.sampled_from([0, 1, START_MS, START_MS + 1000, waves.TIME_MAX_MS - 1]), st.integers(0, waves.TIME_MAX_MS - 1)
)
RATES = st.one_of(st.sampled_from([1, 9_999, 10_000, 100_000, 250_000, 360_000, 4_000_000]), st.integers(1, 10**8))
SCALES = st.sampled_from([5e-324, 1e-9, 0.005, 1.0, 999_999.5])
FILLS = ("zero", "least", "most", "square", "noise")


def samples(fill: str, count: int, seed: int) -> bytes:
    """Counts of one kind of content."""
    if fill == "noise":
        return Random(seed).randbytes(2 * count)
    pattern = {"zero": (0, 0), "least": (-32768,) * 2, "most": (32767,) * 2, "square": (32767, -32768)}[fill]
    return b"".join(value.to_bytes(2, "little", signed=True) for value in pattern) * (count // 2 + 1)


@st.composite
def stretches(draw: st.DrawFn) -> Wave:
    """Any wave that the wire's reader takes."""
    stream = draw(st.sampled_from(waves.STREAMS))
    place = draw(st.sampled_from(["I", "I,II", ",".join("abcdefgh"), "wrist", "\x00"]))
    width = waves.channels(stream, place)
    n = draw(st.integers(1, 8000 // (2 * width)))
    filled = samples(draw(st.sampled_from(FILLS)), n * width, draw(st.integers(0, 9)))[: 2 * n * width]
    return Wave(
        stream=stream,
        t0_ms=draw(TIMES),
        rate_mhz=draw(RATES),
        scale=draw(SCALES),
        place=place,
        n=n,
        samples=filled,
    )


@st.composite
def contents(draw: st.DrawFn) -> Data | Alarm | State:
    """Any content that the wire's reader takes."""
    which = draw(st.integers(0, 9))
    if which == 0:
        return HEARTBEAT
    if which == 1:
        kind = draw(st.sampled_from(sorted(content.ALARM_KINDS)))
        detail = draw(st.sampled_from([{}, {"state": "ended"}, {"state": 7}, {"x": b"\xff"}, {"y": 1e15}]))
        return Alarm(id=bytes(16), kind=kind, at_ms=draw(TIMES), clock=CLOCK, simulated=True, detail=detail)
    names = st.sampled_from(sorted(senml.QUANTITIES))
    vitals = [Vital(draw(names), draw(st.sampled_from([0, 1e-300, 84.9, 100])), draw(TIMES)) for _ in range(which % 3)]
    return data(waves=draw(st.lists(stretches(), max_size=3, unique_by=lambda wave: wave.stream)), vitals=vitals)


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(contents(), min_size=1, max_size=12), steps=st.lists(st.integers(-10_000, 40_000), min_size=12))
def test_nothing_that_the_wire_lets_through_crashes_a_watch(sent: list[Data | Alarm | State], steps: list[int]) -> None:
    watch, now_ms = Watch(), START_MS
    for one, step_ms in zip(sent, steps, strict=False):
        now_ms += step_ms
        found: list[Finding] = watch.feed(one, received_ms=now_ms) + watch.tick(now_ms=now_ms)
        for said in found:
            assert isinstance(said.onset_ms, int)
            assert isinstance(said.at_ms, int)
            assert "nan" not in str(said.detail)


def bulk(stream: str, place: str, rate_mhz: int, *, t0_ms: int, most: int = waves.FRAMES_MAX) -> Wave:
    """As many frames as fit a message when their differences fit a byte."""
    width = waves.channels(stream, place)
    n = min(most, 7900 // width)
    rng = Random(rate_mhz)
    counts = [rng.randrange(-60, 60) for _ in range(n * width)]
    filled = b"".join(count.to_bytes(2, "little", signed=True) for count in counts)
    return Wave(stream=stream, t0_ms=t0_ms, rate_mhz=rate_mhz, scale=0.05, place=place, n=n, samples=filled)


@pytest.mark.parametrize("rate_mhz", [1, 10_000, 33_333, 99_999, 100_000, 250_000, 360_000, 4_000_000, 100_000_000])
@pytest.mark.parametrize(("stream", "place"), [("ecg", "I"), ("ecg", "I,II,III,V"), ("motion", "waist")])
def test_no_message_takes_long(stream: str, place: str, rate_mhz: int) -> None:
    watch, took = Watch(), []
    t0_ms = START_MS
    for number in range(4):
        wave = bulk(stream, place, rate_mhz, t0_ms=t0_ms)
        t0_ms += round(wave.n * 1_000_000 / rate_mhz)
        began = time.process_time()
        watch.feed(data(waves=[wave]), received_ms=START_MS + number)
        took.append(time.process_time() - began)
    assert sorted(took)[1] < MESSAGE_S


@pytest.fixture
def small_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less to use at once, so that using it up takes less time."""
    monkeypatch.setattr(watch_module, "WORK_BURST_S", 400.0)


@pytest.mark.usefixtures("small_allowance")
def test_a_flood_of_long_messages_is_not_looked_at_for_long() -> None:
    watch, t0_ms = Watch(), START_MS
    began, halves = time.process_time(), []
    for half in range(2):
        for number in range(30):
            wave = bulk("ecg", "I", 100_000, t0_ms=t0_ms)
            t0_ms += wave.n * 10
            watch.feed(data(waves=[wave]), received_ms=START_MS + 20 * (30 * half + number))
        halves.append(time.process_time() - began)
        began = time.process_time()
    assert halves[1] < halves[0] / 3, "what it may use at once is used up"


@pytest.mark.usefixtures("small_allowance")
def test_a_flood_leaves_another_stream_of_the_same_device_watched_again_soon() -> None:
    watch = Watch()
    for number in range(30):
        watch.feed(data(waves=[bulk("ecg", "I", 100_000, t0_ms=number * 40_960)]), received_ms=START_MS)
    assert watch._work_s < 60
    later_ms = START_MS + 10_000
    looked = watch._falls.looks
    for second in range(5):
        t0_ms = START_MS + second * 1000
        wave = Wave(stream="motion", t0_ms=t0_ms, rate_mhz=50_000, scale=0.001, place="waist", n=50, samples=bytes(300))
        watch.feed(data(waves=[wave]), received_ms=later_ms + second * 1000)
    assert watch._falls.looks > looked


def test_memory_does_not_grow_with_what_is_sent() -> None:
    rng, watch, sizes = Random(4), Watch(), []
    for number in range(900):
        stream = rng.choice(("ecg", "motion"))
        place = rng.choice(("I", "I,II,III,V", "wrist"))
        rate_mhz, t0_ms = rng.choice((100_000, 250_000, 4_000_000)), rng.choice((START_MS, 1 << 52, 7))
        wave = bulk(stream, place, rate_mhz, t0_ms=t0_ms, most=400)
        vitals = [Vital("MDC_PULS_OXIM_SAT_O2", rng.choice((70, 99)), rng.randrange(1 << 53))]
        kind = rng.choice(sorted(content.ALARM_KINDS))
        alarm = Alarm(id=bytes(16), kind=kind, at_ms=rng.randrange(1 << 53), clock=CLOCK, simulated=True)
        now_ms = START_MS + number * 5000
        watch.feed(data(waves=[wave], vitals=vitals), received_ms=now_ms)
        watch.feed(alarm, received_ms=now_ms)
        watch.tick(now_ms=now_ms)
        if number % 300 == 299:
            sizes.append(len(pickle.dumps(watch)))
    assert max(sizes) < 1_000_000
    assert sizes[2] < 1.5 * sizes[0]
