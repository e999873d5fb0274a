"""Recordings kept as numpy archives: one ECG record a file, or many trials a file, all as int16 first differences.

An ECG file has `d` ([channel, sample]), `fs`, `gain`, `units` and `names`. A file of trials has one [channel, sample]
array a trial: six channels are a belt's accelerometer and gyroscope at 200 Hz (SisFall: Sucerquia, Lopez and
Vargas-Bonilla, Sensors 17(1):198, 2017), of which the accelerometer is played; one channel is a hand-held ECG at 300 Hz
(PhysioNet/CinC 2017).
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from device_sim.sources.replay.strip import Channel, Counts, Strip, bounded, strips_of
from protocol.errors import ConfigError

BELT_CHANNELS = 6
BELT_RATE_MHZ = 200_000
BELT_SCALE_G = 32 / 2**13  # the ADXL345: +-16 g in 13 bits
HAND_RATE_HZ = 300.0
HAND_GAIN = 1000.0
_DAMAGED = (OSError, EOFError, KeyError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def records(file: Path) -> list[str]:
    """The recordings in a file, without reading them. Raises ConfigError."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError("replay_format", f"{file} is not a numpy archive: {error}") from error
    if "d" in names and "gain" in names:
        return [file.stem]
    return sorted(name for name in names if not name.startswith("_"))


def load(file: Path, record: str) -> tuple[Strip, ...]:
    """The streams of one recording. Raises ConfigError."""
    try:
        with zipfile.ZipFile(file) as members:
            bounded(file, sum(member.file_size for member in members.infolist() if _needed(member.filename, record)))
        with np.load(file, allow_pickle=False) as archive:
            if record in archive.files:
                return _trial(file, _undelta(archive[record]))
            return _ecg(archive)
    except _DAMAGED as error:
        raise ConfigError("replay_format", f"{file} does not hold {record} as expected: {error}") from error


def _needed(member: str, record: str) -> bool:
    return member in {f"{record}.npy", "d.npy"}


def _undelta(differences: Any) -> Counts:
    """[channel, sample] counts from their first differences; sums wrap at 16 bits, as the differences did."""
    if differences.ndim != 2 or differences.dtype != np.int16:
        raise ValueError(f"an array of {differences.dtype} with {differences.ndim} axes")
    return np.cumsum(differences, axis=1, dtype=np.int16)


def _ecg(archive: Any) -> tuple[Strip, ...]:
    counts = _undelta(archive["d"])
    channels = [
        Channel(name=str(name), unit=str(unit), gain=float(gain), counts=row)
        for name, unit, gain, row in zip(archive["names"], archive["units"], archive["gain"], counts, strict=True)
    ]
    return strips_of(channels, rate_hz=float(archive["fs"]))


def _trial(file: Path, counts: Counts) -> tuple[Strip, ...]:
    if len(counts) == BELT_CHANNELS:
        frames = np.ascontiguousarray(counts[:3].T, dtype="<i2")
        return (Strip(stream="motion", place="waist", rate_mhz=BELT_RATE_MHZ, scale=BELT_SCALE_G, counts=frames),)
    if len(counts) == 1:
        return strips_of([Channel(name="I", unit="mV", gain=HAND_GAIN, counts=counts[0])], rate_hz=HAND_RATE_HZ)
    raise ConfigError("replay_format", f"{file}: trials of {len(counts)} channels are not known")
