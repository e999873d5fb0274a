"""Stretches of samples: one form for each, differences exactly where they fit in bytes."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, waves
from protocol.errors import Malformed
from tests.support import contents, damage

streams = st.sampled_from(waves.STREAMS)
stretches = streams.flatmap(contents.wave)


def packed(*counts: int) -> bytes:
    return struct.pack(f"<{len(counts)}h", *counts)


def stretch(*counts: int, stream: str = "ppg", place: str = "wrist") -> waves.Wave:
    return waves.Wave(
        stream=stream,
        t0_ms=1000,
        rate_mhz=25_000,
        scale=0.5,
        place=place,
        n=len(counts) // waves.channels(stream, place),
        samples=packed(*counts),
    )


def code(stream: str, body: object) -> str:
    with pytest.raises(Malformed) as caught:
        waves.decode(stream, body)
    return caught.value.code


@given(stretches)
def test_a_stretch_comes_back(wave: waves.Wave) -> None:
    body = cbor.decode(cbor.encode(waves.encode(wave)), size_max=4096)
    assert waves.decode(wave.stream, body) == wave


@given(stretches)
def test_a_flipped_bit_is_refused_or_says_something_else(wave: waves.Wave) -> None:
    data = cbor.encode(waves.encode(wave))
    for flipped in damage.every_bit_flip(data[:90]):
        raw = flipped + data[90:]
        found = damage.read_or_refuse(lambda raw: waves.decode(wave.stream, cbor.decode(raw, size_max=4096)), raw)
        if found is not None:
            assert isinstance(found, waves.Wave) and cbor.encode(waves.encode(found)) == raw


@given(streams, st.integers(1, 5), st.binary(max_size=40), st.sampled_from(["I", "I,II", "I,II,III"]))
def test_any_samples_are_refused_or_are_the_one_form(stream: str, n: int, sent: bytes, place: str) -> None:
    body = waves.encode(stretch(0, 0, 0, 0, 0, 0, stream=stream, place=place))
    body |= {"n": n, "samples": sent}
    try:
        found = waves.decode(stream, body)
    except Malformed:
        return
    assert waves.encode(found)["samples"] == sent
    assert len(waves.counts(found.samples)) == n * found.channels


def test_differences_are_used_exactly_where_every_one_fits_in_a_byte() -> None:
    assert waves.encode(stretch(100, 227, 99))["samples"] == packed(100) + bytes((127, 0x80))
    assert waves.encode(stretch(100, 228, 99))["samples"] == packed(100, 228, 99)
    assert waves.encode(stretch(100, 227, 98))["samples"] == packed(100, 227, 98)
    assert waves.encode(stretch(-32_768))["samples"] == packed(-32_768)


def test_differences_are_taken_channel_by_channel() -> None:
    wave = stretch(1000, -2000, 30, 1001, -2001, 31, stream="motion")
    assert waves.encode(wave)["samples"] == packed(1000, -2000, 30) + bytes((1, 0xFF, 1))
    wave = stretch(5, 500, 6, 501, stream="ecg", place="I,II")
    assert (wave.channels, wave.n) == (2, 2)
    assert waves.encode(wave)["samples"] == packed(5, 500) + b"\x01\x01"


def test_the_longer_form_is_refused_where_differences_fit() -> None:
    body = waves.encode(stretch(1, 2, 3)) | {"samples": packed(1, 2, 3)}
    assert code("ppg", body) == "wave_samples"


@pytest.mark.parametrize(("first", "step"), [(32_767, 1), (-32_768, 0xFF), (32_700, 127)])
def test_differences_that_leave_16_bits_are_refused(first: int, step: int) -> None:
    body = waves.encode(stretch(0, 0, 0)) | {"samples": packed(first) + bytes((step, step))}
    assert code("ppg", body) == "wave_samples"


GOOD = waves.encode(stretch(1, 2, 3))
BAD = {
    "no map": [],
    "nothing": {},
    "a key more": GOOD | {"unit": "mV"},
    "a lead instead of a site": {("lead" if key == "site" else key): value for key, value in GOOD.items()},
    "an empty site": GOOD | {"site": ""},
    "a long site": GOOD | {"site": "x" * (waves.PLACE_MAX + 1)},
    "a site as bytes": GOOD | {"site": b"wrist"},
    "no frames": GOOD | {"n": 0},
    "fewer frames than sent": GOOD | {"n": 1},
    "more frames than sent": GOOD | {"n": 4},
    "too many frames": GOOD | {"n": waves.FRAMES_MAX + 1},
    "frames as a truth": GOOD | {"n": True},
    "frames as a float": GOOD | {"n": 3.0},
    "a rate of zero": GOOD | {"rate_mhz": 0},
    "a rate too high": GOOD | {"rate_mhz": waves.RATE_MAX_MHZ + 1},
    "a time of zero": GOOD | {"t0": 0},
    "a time too late": GOOD | {"t0": waves.TIME_MAX_MS + 1},
    "a scale of zero": GOOD | {"scale": 0},
    "a scale below zero": GOOD | {"scale": -0.5},
    "a huge scale": GOOD | {"scale": 10**6},
    "a whole scale as a float": GOOD | {"scale": 2.0},
    "not a number as scale": GOOD | {"scale": math.nan},
    "infinity as scale": GOOD | {"scale": math.inf},
    "a scale as a truth": GOOD | {"scale": True},
    "samples as a text": GOOD | {"samples": "1234"},
    "samples as an array": GOOD | {"samples": [1, 2, 3]},
    "no samples": GOOD | {"samples": b""},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_another_stretch_is_malformed(body: object) -> None:
    assert waves.decode("ppg", GOOD).n == 3
    assert code("ppg", body) in {"wave_shape", "wave_samples"}


def test_leads_are_bounded() -> None:
    leads = ",".join("abcdefghijklmnop")
    assert waves.decode("ecg", waves.encode(stretch(*range(16), stream="ecg", place=leads))).channels == 16
    body = waves.encode(stretch(*range(17), stream="ecg", place=leads + ",q"))
    assert code("ecg", body) == "wave_shape"


def test_a_stretch_of_the_wrong_length_is_not_sent() -> None:
    with pytest.raises(AssertionError):
        waves.encode(waves.Wave(stream="ppg", t0_ms=1, rate_mhz=1, scale=1.0, place="x", n=2, samples=b"\x00\x00"))
