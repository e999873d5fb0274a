"""A strip: one recorded stream, as counts, with what is needed to send it."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocol.errors import ConfigError
from protocol.waves import CHANNELS_MAX, PLACE_MAX, RATE_MAX_MHZ

Counts = npt.NDArray[np.int16]
SCALE_MAX = 1e6  # of a unit in a count, as on the wire
BYTES_MAX = 1 << 30  # a larger recording is refused: it is read as a whole, and two days of ECG are a tenth of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """stream: ecg, ppg or motion; place: lead names joined by commas, or the site on the body; rate_mhz: frames in
    1,000 seconds; scale: mV, parts or g a count; counts: int16 little-endian [frame, channel]."""

    stream: str
    place: str
    rate_mhz: int
    scale: float
    counts: Counts

    def __post_init__(self) -> None:
        if not 1 <= self.rate_mhz <= RATE_MAX_MHZ or not 0 < self.scale < SCALE_MAX:
            raise ConfigError("replay_damaged", f"a rate of {self.rate_mhz} mHz or a scale of {self.scale} cannot be")
        if not 0 < len(self.place) <= PLACE_MAX:
            raise ConfigError(
                "source_option", f"a lead or site has 1 to {PLACE_MAX} characters, not {self.place[:99]!r}"
            )

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return int(self.counts.shape[0])

    def time_of(self, index: int) -> int:
        """When frame `index` was sampled, in whole milliseconds (downwards) since frame 0."""
        return index * 1_000_000 // self.rate_mhz

    def index_at(self, at_ms: int) -> int:
        """The first frame whose time_of is at_ms or later; within 0 and `frames`."""
        return min(self.frames, max(0, -(-at_ms * self.rate_mhz // 1_000_000)))

    def cut(self, *, from_s: float, until_s: float | None) -> "Strip":
        """The frames in [from_s, until_s) of the recording."""
        first = math.ceil(max(0.0, from_s) * self.rate_mhz / 1000)
        last = self.frames if until_s is None else math.ceil(until_s * self.rate_mhz / 1000)
        return replace(self, counts=self.counts[first : max(first, last)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel of an ECG record. name, unit: as recorded; gain: counts in a unit; counts: int16 [frame]."""

    name: str
    unit: str
    gain: float
    counts: Counts


def bounded(file: Path, size: int) -> None:
    """Raises ConfigError: replay_large, when a recording of `size` bytes is too large to be read."""
    if size > BYTES_MAX:
        raise ConfigError("replay_large", f"{file} has {size} bytes to read; at most {BYTES_MAX} can be played: cut it")


def rate_mhz(rate_hz: float) -> int:
    """Frames in 1,000 s. Raises ConfigError: replay_damaged."""
    if not 0 < rate_hz < float("inf"):
        raise ConfigError("replay_damaged", f"a rate of {rate_hz} Hz cannot be")
    return round(rate_hz * 1000)


MILLIVOLTS = {"mv": 1.0, "uv": 0.001, "v": 1000.0}
PULSES = frozenset({"PLETH", "PPG", "SPO2 PLETH"})
NOT_HEARTS = PULSES | {"RESP", "ABP", "ART", "CVP", "PAP", "ICP", "NBP", "EMG", "EOG", "EEG"}


def strips_of(channels: list[Channel], *, rate_hz: float) -> tuple[Strip, ...]:
    """The streams that the wire knows: the electrocardiogram (the first lead and those of the same gain, since a wave
    has one scale; as many as one wave may name), and the pulse. Channels of pressure, breathing and others are left
    out."""
    hearts = [one for one in channels if one.unit.lower() in MILLIVOLTS and one.name.upper() not in NOT_HEARTS]
    hearts = [one for one in hearts if (one.gain, one.unit) == (hearts[0].gain, hearts[0].unit)][:CHANNELS_MAX]
    while len(",".join(one.name for one in hearts)) > PLACE_MAX:
        hearts.pop()
    pulses = [one for one in channels if one.name.upper() in PULSES][:1]
    found = []
    for stream, chosen in (("ecg", hearts), ("ppg", pulses)):
        if chosen:
            unit = MILLIVOLTS[chosen[0].unit.lower()] if stream == "ecg" else 1.0
            strip = Strip(
                stream=stream,
                place=",".join(one.name.replace(",", " ") for one in chosen),
                rate_mhz=rate_mhz(rate_hz),
                scale=unit / chosen[0].gain if chosen[0].gain else math.inf,
                counts=np.ascontiguousarray(np.stack([one.counts for one in chosen], axis=1), dtype="<i2"),
            )
            found.append(strip)
    return tuple(found)
