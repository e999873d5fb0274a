"""WFDB records: a header and signal files of format 16 or 212, read without any other library.

Header: WFDB Applications Guide, header(5). Signal files: signal(5). Records of several segments, of several samples a
frame or with skew are refused: monitors at home record none.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_sim.sources.replay.strip import Channel, Counts, Strip, bounded, strips_of
from protocol.errors import ConfigError

RATE_DEFAULT_HZ = 250.0  # header(5): where the record line gives none
GAIN_DEFAULT = 200.0  # header(5): where a signal line gives none or 0
FORMATS = ("16", "212")
SIGNALS_MAX = 64  # a header with more signals is refused
_FORMAT = re.compile(r"(?P<format>\d+)(?:x(?P<frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?$")
_GAIN = re.compile(r"(?P<gain>[-+0-9.eE]+)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal line. file: its signal file; format: 16 or 212; offset: bytes before its samples; gain: counts in a
    unit; baseline: the count of 0 units; checksum: of all its samples, modulo 65,536 (None: not given)."""

    file: str
    format: str
    offset: int
    gain: float
    baseline: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A record's header. frames: samples of each signal (0: as many as there are)."""

    record: str
    rate_hz: float
    frames: int
    signals: tuple[Signal, ...]


def read_header(text: str) -> Header:
    """The header in `text`. Raises ConfigError. Source: header(5)."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        name, count, *rest = lines[0]
        signals = int(count)
        rate_hz = float(re.split(r"[/(]", rest[0])[0]) if rest else RATE_DEFAULT_HZ
        frames = int(rest[1]) if len(rest) > 1 else 0
        if frames < 0 or "/" in name or not 0 < signals <= SIGNALS_MAX or len(lines) <= signals:
            raise ConfigError("replay_format", f"record {name}: segments, or no or too many signals, cannot be played")
        return Header(
            record=name, rate_hz=rate_hz, frames=frames, signals=tuple(_signal(line) for line in lines[1 : signals + 1])
        )
    except (ValueError, IndexError) as error:
        raise ConfigError("replay_format", f"this is not a WFDB header: {error}") from error


def _signal(fields: list[str]) -> Signal:
    form = _FORMAT.match(fields[1])
    if form is None or form["format"] not in FORMATS or int(form["frame"] or 1) != 1 or int(form["skew"] or 0) != 0:
        raise ConfigError("replay_format", f"signal format {fields[1]} cannot be played; 16 and 212 can")
    gain = _GAIN.match(fields[2]) if len(fields) > 2 else None
    zero = int(fields[4]) if len(fields) > 4 else 0
    return Signal(
        file=fields[0],
        format=form["format"],
        offset=int(form["offset"] or 0),
        gain=(float(gain["gain"]) if gain else 0.0) or GAIN_DEFAULT,
        baseline=int(gain["baseline"]) if gain and gain["baseline"] else zero,
        unit=(gain["unit"] if gain else None) or "mV",
        checksum=int(fields[6]) & 0xFFFF if len(fields) > 6 else None,
        name=" ".join(fields[8:]) or "ECG",
    )


def decode(data: bytes, form: str, *, channels: int) -> Counts:
    """Samples of a signal file, int16 [frame, channel]; an incomplete last frame is left out. Source: signal(5).

    Format 16: 16-bit two's complement, least significant byte first. Format 212: two 12-bit samples in three bytes; the
    low byte of the first, then the high halves (first's in the low nibble), then the low byte of the second.
    """
    if form == "16":
        flat = np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2")
    else:
        triples = np.frombuffer(data[: len(data) // 3 * 3], dtype=np.uint8).reshape(-1, 3).astype(np.int16)
        flat = np.empty(2 * len(triples), dtype="<i2")
        flat[0::2] = triples[:, 0] | (triples[:, 1] & 0x0F) << 8
        flat[1::2] = triples[:, 2] | (triples[:, 1] & 0xF0) << 4
        flat[flat > 2047] -= 4096
        if len(data) % 3 == 2:  # an odd number of samples ends in two bytes
            last = data[-2] | (data[-1] & 0x0F) << 8
            flat = np.append(flat, np.array([last - 4096 if last > 2047 else last], dtype="<i2"))
    return flat[: len(flat) // channels * channels].reshape(-1, channels)


def complete(header: Path) -> bool:
    """Whether the signal files that a header names lie beside it."""
    try:
        return all((header.parent / signal.file).is_file() for signal in _header(header).signals)
    except ConfigError:
        return False


def load(path: Path) -> tuple[Strip, ...]:
    """The record whose header is at `path`. Raises ConfigError, also when a checksum does not hold."""
    header = _header(path)
    channels: list[Channel] = []
    for file in dict.fromkeys(signal.file for signal in header.signals):
        group = [signal for signal in header.signals if signal.file == file]
        if len({(signal.format, signal.offset) for signal in group}) > 1 or Path(file).name != file:
            raise ConfigError("replay_format", f"{path}: the signals of {file} do not share one format")
        try:
            bounded(path.parent / file, (path.parent / file).stat().st_size)
            data = (path.parent / file).read_bytes()[group[0].offset :]
        except OSError as error:
            raise ConfigError("replay_missing", f"{path} names {file}: {error.strerror}") from error
        counts = decode(data, group[0].format, channels=len(group))
        if len(counts) < header.frames:
            raise ConfigError("replay_damaged", f"{file} has {len(counts)} frames, its header says {header.frames}")
        counts = counts[: header.frames or None]
        for index, signal in enumerate(group):
            channel = counts[:, index]
            if header.frames and signal.checksum not in (None, int(channel.astype(np.int64).sum()) & 0xFFFF):
                raise ConfigError("replay_damaged", f"{file}: the checksum of {signal.name} does not hold")
            channels.append(Channel(name=signal.name, unit=signal.unit, gain=signal.gain, counts=channel))
    return strips_of(channels, rate_hz=header.rate_hz)


def _header(path: Path) -> Header:
    try:
        bounded(path, path.stat().st_size)
        return read_header(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ConfigError("replay_missing", f"cannot read {path}: {error.strerror}") from error
