"""Recordings as files that a device plays, and the counts that must come out of the gateway's record, made here by other code
than the device's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int16]
"""[frame, channel]"""
COUNTS_IN_G = 256  # of SisFall's accelerometer: +-16 g in 13 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """name: of the device that plays it; words: of its run; rate_hz: exact; counts: what was recorded."""

    name: str
    words: tuple[str, ...]
    stream: str
    rate_hz: int
    counts: Counts


def ecg(name: str, file: Path) -> Recorded:
    """A whole ECG record of the data folder."""
    counts, rate_hz = _ecg(file)
    return Recorded(name=name, words=_played(file), stream="ecg", rate_hz=rate_hz, counts=counts)


def trial(name: str, file: Path, record: str) -> Recorded:
    """One SisFall trial: its first accelerometer."""
    words = (*_played(file), "--record", record)
    return Recorded(name=name, words=words, stream="motion", rate_hz=200, counts=_trial(file, record))


def wfdb(name: str, file: Path, folder: Path, *, seconds: int) -> Recorded:
    """The beginning of an ECG record, written anew in `folder` as a WFDB record of format 212. Source: signal(5)."""
    counts, rate_hz = _ecg(file)
    counts = counts[: seconds * rate_hz]
    low = counts.astype(np.int32).reshape(-1, 2) & 0xFFF
    packed = np.stack((low[:, 0] & 0xFF, low[:, 0] >> 8 | low[:, 1] >> 8 << 4, low[:, 1] & 0xFF), axis=1)
    (folder / f"{name}.dat").write_bytes(packed.astype(np.uint8).tobytes())
    lines = [f"{name} 2 {rate_hz} {len(counts)}"]
    for channel, lead in enumerate(("MLII", "V1")):
        checksum = int(counts[:, channel].astype(np.int64).sum()) & 0xFFFF
        lines.append(f"{name}.dat 212 200 11 1024 {counts[0, channel]} {checksum} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    words = _played(folder / f"{name}.hea")
    return Recorded(name=name, words=words, stream="ecg", rate_hz=rate_hz, counts=counts)


def table(name: str, file: Path, record: str, folder: Path) -> Recorded:
    """A SisFall trial, written anew in `folder` as a table of accelerations in g. A table is played at 1,024 counts in a g."""
    recorded = _trial(file, record)
    rows = [
        f"{frame / 200},{x / COUNTS_IN_G},{y / COUNTS_IN_G},{z / COUNTS_IN_G}"
        for frame, (x, y, z) in enumerate(recorded)
    ]
    (folder / f"{name}.csv").write_text("\n".join(("time [s],x [g],y [g],z [g]", *rows)) + "\n")
    counts = recorded * np.int16(1024 // COUNTS_IN_G)
    return Recorded(name=name, words=_played(folder / f"{name}.csv"), stream="motion", rate_hz=200, counts=counts)


def _ecg(file: Path) -> tuple[Counts, int]:
    with np.load(file, allow_pickle=False) as archive:
        assert len(set(archive["gain"])) == 1, "one wave has one scale: a record of several is played in part"
        return np.cumsum(archive["d"], axis=1, dtype=np.int16).T, int(archive["fs"])


def _trial(file: Path, record: str) -> Counts:
    with np.load(file, allow_pickle=False) as archive:
        return np.cumsum(archive[record], axis=1, dtype=np.int16)[:3].T


def _played(file: Path) -> tuple[str, ...]:
    return "--source", f"replay:{file}"
