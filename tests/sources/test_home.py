"""A simulated home: the same for the same seed, whatever the reads; plausible; cheap."""

import itertools
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.sources import Sample, open_source, parse_event
from protocol import content, senml
from protocol.errors import ConfigError
from tests.support.signals import START_MS, read, simulated, stream

SCRIPT = ("button@1", "fall@3", "vt@5+2", "arrest@9")


def everything(samples: list[Sample]) -> object:
    """All that a source gave, without the cuts."""
    waves = {name: b"".join(w.samples for s in samples for w in s.waves if w.stream == name) for name in STREAMS}
    others = [(item for sample in samples for item in getattr(sample, part)) for part in ("vitals", "alarms", "truths")]
    return waves, [sorted(part, key=repr) for part in others]


STREAMS = ("ecg", "ppg", "motion")


def test_the_same_seed_gives_the_same_samples() -> None:
    first, second = (everything(read(simulated("simulated:seed=7,patient=2", *SCRIPT), 12)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("other", ["seed=8,patient=2", "seed=7,patient=3"])
def test_another_seed_or_patient_gives_other_samples(other: str) -> None:
    first, second = (read(simulated(f"simulated:{spec}"), 5) for spec in ("seed=7,patient=2", other))
    for name in STREAMS:
        assert stream(first, name) != stream(second, name)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 12_000), max_size=40), seed=st.integers(0, 50))
def test_how_a_stream_is_read_does_not_change_it(cuts: list[int], seed: int) -> None:
    whole = read(simulated(f"simulated:seed={seed}", *SCRIPT), 12, every_ms=12_000)
    source = simulated(f"simulated:seed={seed}", *SCRIPT)
    edges = [0, *sorted(cuts), 12_000]
    parts = [source.read(START_MS + a, START_MS + b) for a, b in itertools.pairwise(edges)]
    assert everything(parts) == everything(whole)


@pytest.mark.parametrize("every_ms", [7, 250, 1000, 3333])
def test_waves_follow_each_other_without_gap_or_overlap(every_ms: int) -> None:
    periods, due = {"ecg": 4, "ppg": 20, "motion": 20}, {}
    for sample in read(simulated("simulated:seed=3"), 7, every_ms=every_ms):
        for wave in sample.waves:
            assert wave.t0_ms == due.get(wave.stream, START_MS)
            assert wave.rate_mhz * periods[wave.stream] == 1_000_000
            assert len(wave.samples) == wave.n * 2 * (3 if wave.stream == "motion" else 1)
            due[wave.stream] = wave.t0_ms + wave.n * periods[wave.stream]
    assert due == dict.fromkeys(STREAMS, START_MS + 7000)


def test_what_was_skipped_is_lost_and_the_rest_is_the_same() -> None:
    whole = stream(read(simulated("simulated:seed=5"), 10), "ecg")
    late = stream(read(simulated("simulated:seed=5"), 4, from_s=6), "ecg")
    assert late == whole[6 * 250 :]


def test_reads_do_not_go_back() -> None:
    source = simulated("simulated:seed=1")
    source.read(START_MS, START_MS + 2000)
    with pytest.raises(AssertionError):
        source.read(START_MS + 1000, START_MS + 3000)


def test_a_home_says_that_it_is_simulated_and_does_not_end() -> None:
    source = simulated("simulated:seed=1")
    assert source.simulated
    assert not source.ended(START_MS + 10**9)


def test_vital_signs_have_known_names_and_plausible_values() -> None:
    names = set()
    for seed in range(4):
        for sample in read(simulated(f"simulated:seed={seed}"), 130):
            for vital in sample.vitals:
                names.add(vital.name)
                assert senml.QUANTITIES[vital.name].low <= vital.value <= senml.QUANTITIES[vital.name].high
    assert names == set(senml.QUANTITIES)


def test_a_second_of_all_streams_fits_one_message() -> None:
    clock = content.Clock(up_ms=1, wall_ms=START_MS, synced=True)
    for sample in read(simulated("simulated:seed=2,activity=stairs", "lead_off@3"), 10):
        data = content.Data(clock=clock, simulated=True, vitals=sample.vitals, waves=sample.waves, gaps=())
        encoded = content.encode(data)
        assert len(encoded) < 2000
        assert content.decode(encoded, content_type="application/vigil-data+cbor") == data


def test_a_simulated_second_costs_less_than_ten_milliseconds() -> None:
    source = simulated("simulated:seed=1", "vf@0+60")
    begin = time.process_time()
    read(source, 30)
    assert (time.process_time() - begin) / 30 < 0.010


def test_a_simulated_home_needs_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from device_sim.sources import open_source\n"
        "assert open_source('simulated:seed=1', start_ms=0).read(0, 1000).waves\n"
        "try: open_source('replay:nowhere.npz', start_ms=0)\n"
        "except Exception as error: print(error.code)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "replay_needs_numpy"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("simulated:seed=x", "source_option"),
        ("simulated:sed=1", "source_option"),
        ("simulated:rhythm=waltz", "source_rhythm"),
        ("simulated:activity=fly", "source_activity"),
        ("bluetooth:x", "source_unknown"),
    ],
)
def test_a_wrong_source_is_refused_by_name(spec: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(spec, start_ms=0)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["fall", "fall@", "fall@x", "fall@-1", "vt@3+0", "vt@3+x", "fall@nan", "fall@inf"])
def test_a_wrong_event_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_event(text)


def test_an_unknown_event_and_too_many_are_refused() -> None:
    with pytest.raises(ConfigError, match="event_unknown"):
        parse_event("flood@3")
    with pytest.raises(ConfigError, match="event_too_many"):
        open_source("simulated:", start_ms=0, events=[parse_event("button@1")] * 65)
