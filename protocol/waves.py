"""Stretches of samples: ECG, PPG and motion as 16-bit counts, or as 8-bit differences when they fit. wire.md, "Message".

Frames are interleaved: one count for each channel, then the next frame. Counts are little-endian. The differences' form is
the first frame in full, then one byte for each channel's change from frame to frame; it is used exactly when every change
fits, so that one stretch has one encoding.
"""

import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import sub

from protocol.errors import Malformed

STREAMS = ("ecg", "ppg", "motion")
MOTION_CHANNELS = 3  # accelerometer x, y, z
CHANNELS_MAX = 16  # leads in one stretch; more is malformed
FRAMES_MAX = 4096  # frames in one stretch; the message's own size bound comes first
PLACE_MAX = 64  # characters of lead names or of the site
RATE_MAX_MHZ = 100_000_000  # 100 kHz
TIME_MAX_MS = 1 << 53

_KEYS = {
    "ecg": frozenset({"t0", "rate_mhz", "scale", "lead", "n", "samples"}),
    "ppg": frozenset({"t0", "rate_mhz", "scale", "site", "n", "samples"}),
    "motion": frozenset({"t0", "rate_mhz", "scale", "site", "n", "samples"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A stretch of one stream.

    t0_ms: Unix time of the first frame; rate_mhz: frames in 1,000 s; scale: physical unit (mV, g, or 1) in a count;
    place: lead names joined by commas (ecg), or the site on the body; n: frames; samples: int16, little-endian, interleaved.
    """

    stream: str
    t0_ms: int
    rate_mhz: int
    scale: float
    place: str
    n: int
    samples: bytes

    @property
    def channels(self) -> int:
        """Counts in a frame."""
        return channels(self.stream, self.place)


def channels(stream: str, place: str) -> int:
    """Counts in a frame of `stream`: three for motion, one for each lead named."""
    return MOTION_CHANNELS if stream == "motion" else place.count(",") + 1 if stream == "ecg" else 1


def encode(wave: Wave) -> dict[str, object]:
    """The stretch's map, ready for CBOR."""
    if len(wave.samples) != 2 * wave.n * wave.channels:
        raise AssertionError("samples are n frames of int16")
    place = "lead" if wave.stream == "ecg" else "site"
    samples = _differences(wave.samples, wave.channels)
    return {
        "t0": wave.t0_ms,
        "rate_mhz": wave.rate_mhz,
        "scale": _number(wave.scale),
        place: wave.place,
        "n": wave.n,
        "samples": wave.samples if samples is None else samples,
    }


def decode(stream: str, body: object) -> Wave:
    """The stretch in a decoded map. Raises Malformed: wave_shape, wave_samples."""
    if not isinstance(body, dict) or body.keys() != _KEYS[stream]:
        raise Malformed("wave_shape", f"{stream} has exactly the keys {sorted(_KEYS[stream])}")
    place = body["lead" if stream == "ecg" else "site"]
    if not isinstance(place, str) or not 0 < len(place) <= PLACE_MAX:
        raise Malformed("wave_shape", "a lead or site is a short text")
    width = channels(stream, place)
    if width > CHANNELS_MAX:
        raise Malformed("wave_shape", f"at most {CHANNELS_MAX} leads")
    n = _count(body, "n", FRAMES_MAX)
    scale = body["scale"]
    if type(scale) not in (int, float) or not 0 < scale < 1e6 or (type(scale) is float and scale.is_integer()):
        raise Malformed("wave_shape", "the scale is a positive number")
    sent = body["samples"]
    if not isinstance(sent, bytes):
        raise Malformed("wave_samples", "samples are a byte string")
    return Wave(
        stream=stream,
        t0_ms=_count(body, "t0", TIME_MAX_MS),
        rate_mhz=_count(body, "rate_mhz", RATE_MAX_MHZ),
        scale=float(scale),
        place=place,
        n=n,
        samples=_samples(sent, n=n, width=width),
    )


def counts(samples: bytes) -> "array[int]":
    """The int16 counts of `samples`."""
    found = array("h")
    found.frombytes(samples)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _samples(sent: bytes, *, n: int, width: int) -> bytes:
    if len(sent) == 2 * n * width:
        if n > 1 and _differences(sent, width) is not None:
            raise Malformed("wave_samples", "the differences fit in bytes and are to be sent so")
        return sent
    if len(sent) != 2 * width + (n - 1) * width:
        raise Malformed("wave_samples", "neither n frames of counts nor one frame and n - 1 of differences")
    first = counts(sent[: 2 * width])
    steps = array("b")
    steps.frombytes(sent[2 * width :])
    found = array("h", bytes(2 * n * width))
    try:
        for channel in range(width):
            found[channel::width] = array("h", accumulate(steps[channel::width], initial=first[channel]))
    except OverflowError as error:
        raise Malformed("wave_samples", "the differences leave 16 bits") from error
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def _differences(samples: bytes, width: int) -> bytes | None:
    """The differences' form of `samples`, or None where it is not smaller or a change does not fit in a byte."""
    values = counts(samples)
    if len(values) <= width:
        return None
    try:
        steps = array("b", map(sub, values[width:], values[:-width]))
    except OverflowError:
        return None
    return samples[: 2 * width] + steps.tobytes()


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _count(body: Mapping[object, object], key: str, most: int) -> int:
    value = body[key]
    if type(value) is not int or not 0 < value <= most:
        raise Malformed("wave_shape", f"{key} is a whole number above zero, within bounds")
    return value
