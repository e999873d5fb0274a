"""Recorded signals of VIGIL_DATA as the messages a device would send: no other form of them is used for scoring."""

import csv
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.detect import Finding, Watch
from protocol.content import Clock, Data
from protocol.waves import Wave

Counts = npt.NDArray[np.int16]
STARTS_MS = 1_600_000_000_000
"""Stream time at which every recording begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """samples: [channel, sample] of ADC counts; rhythms: (second, label) at each change; beats: (second, symbol)."""

    name: str
    rate_hz: float
    scale: float
    place: str
    samples: Counts
    rhythms: tuple[tuple[float, str], ...] = ()
    beats: tuple[tuple[float, str], ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.samples.shape[1] / self.rate_hz

    def label(self, at_s: float) -> str:
        """The rhythm label in force at a time, "" before the first."""
        return next((label for second, label in reversed(self.rhythms) if second <= at_s), "")

    def episodes(self, labels: set[str]) -> list[tuple[float, float]]:
        """Stretches (s) whose label is one of `labels`; neighbours of the same set are one stretch."""
        found: list[tuple[float, float]] = []
        ends = [second for second, _ in self.rhythms[1:]] + [self.seconds]
        for (second, label), end in zip(self.rhythms, ends, strict=True):
            if label in labels:
                if found and found[-1][1] == second:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((second, end))
        return found


def ecg(path: Path) -> Recording:
    """One ECG record; channels that are not in mV are left out, the others are brought to the first one's scale."""
    with np.load(path, allow_pickle=False) as file:
        counts = np.cumsum(file["d"], axis=1, dtype=np.int16)
        rate_hz, gain = float(file["fs"]), file["gain"].astype(float)
        names, units = [str(name) for name in file["names"]], [str(unit) for unit in file["units"]]
        marks = [
            (float(sample) / rate_hz, str(symbol), str(text).strip("\x00 "))
            for sample, symbol, text in zip(file["ann_sample"], file["ann_symbol"], file["ann_aux"], strict=True)
        ]
    leads = [i for i, unit in enumerate(units) if unit == "mV"]
    first = gain[leads[0]]
    scaled = np.stack([counts[i] if gain[i] == first else np.round(counts[i] * (first / gain[i])) for i in leads])
    return Recording(
        name=f"{path.parent.name}/{path.stem}",
        rate_hz=rate_hz,
        scale=1.0 / first,
        place=",".join(names[i] for i in leads),
        samples=scaled.astype(np.int16),
        rhythms=tuple((second, text[1:]) for second, _, text in marks if text.startswith("(")),
        beats=tuple((second, symbol) for second, symbol, text in marks if symbol not in '+~"|[]!x'),
    )


def sisfall(folder: Path, subject: str) -> Iterator[Recording]:
    """All trials of one SisFall subject: the first accelerometer, 200 Hz, worn at the belt."""
    with np.load(folder / f"{subject}.npz", allow_pickle=False) as file:
        for trial in file.files:
            if not trial.startswith("_"):
                counts = np.cumsum(file[trial], axis=1, dtype=np.int16)[:3]
                yield Recording(name=trial, rate_hz=200.0, scale=32 / 2**13, place="waist", samples=counts)


def weda(folder: Path) -> Iterator[Recording]:
    """All trials of WEDA-FALL: a wrist at 50 Hz; its bursts of time stamps are spread evenly."""
    with tarfile.open(folder / "weda_50Hz.tar.xz") as archive:
        for member in archive:
            if member.name.endswith("_accel.csv"):
                rows = np.genfromtxt(io.TextIOWrapper(_open(archive, member)), delimiter=",", skip_header=1)
                evenly = np.linspace(rows[0, 0], rows[-1, 0], len(rows))
                yield _even(member.name, evenly, rows[:, 1:4] / 9.80665, place="wrist", rate_hz=50.0)


def umafall(folder: Path, place: str) -> Iterator[Recording]:
    """All trials of UMAFall of the sensor at `place` (waist, wrist, chest), about 20 Hz."""
    with tarfile.open(folder / "umafall.tar.xz") as archive:
        for member in archive:
            if not member.name.endswith(".csv"):
                continue
            lines = io.TextIOWrapper(_open(archive, member)).read().splitlines()
            sensor = next((ln.split(";")[1].strip() for ln in lines[:60] if f"; {place.upper()};" in ln), "")
            rows = list(csv.reader((ln for ln in lines if ln and ln[0] != "%"), delimiter=";"))
            mine = np.array(
                [[float(v) for v in (r[0], r[2], r[3], r[4])] for r in rows if r[5] == "0" and r[6] == sensor]
            )
            if len(mine) > 40:
                yield _even(member.name, mine[:, 0] / 1000, mine[:, 1:], place=place, rate_hz=20.0)


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> io.BufferedReader:
    file = archive.extractfile(member)
    assert file is not None
    return file  # type: ignore[return-value]


def _even(
    name: str, at_s: npt.NDArray[np.float64], g: npt.NDArray[np.float64], *, place: str, rate_hz: float
) -> Recording:
    order = np.argsort(at_s, kind="stable")
    at_s, g = at_s[order], g[order]
    even_s = np.arange(at_s[0], at_s[-1], 1 / rate_hz)
    counts = np.stack([np.interp(even_s, at_s, axis) for axis in g.T]) * 1000
    return Recording(name=name, rate_hz=rate_hz, scale=1 / 1000, place=place, samples=np.round(counts).astype(np.int16))


def messages(recording: Recording, *, stream: str, message_s: float = 1.0) -> Iterator[Data]:
    """The recording as data messages of `message_s` each."""
    step = max(1, round(recording.rate_hz * message_s))
    for first in range(0, recording.samples.shape[1], step):
        part = recording.samples[:, first : first + step]
        t0_ms = STARTS_MS + round(first * 1000 / recording.rate_hz)
        wave = Wave(
            stream=stream,
            t0_ms=t0_ms,
            rate_mhz=round(recording.rate_hz * 1000),
            scale=recording.scale,
            place=recording.place,
            n=part.shape[1],
            samples=np.ascontiguousarray(part.T, dtype="<i2").tobytes(),
        )
        clock = Clock(up_ms=t0_ms - STARTS_MS, wall_ms=t0_ms, synced=True)
        yield Data(clock=clock, simulated=False, vitals=(), waves=(wave,), gaps=())


def findings(recording: Recording, *, stream: str, message_s: float = 1.0) -> list[Finding]:
    """What a fresh watch says about the whole recording, its times counted in ms from the recording's start."""
    watch = Watch()
    found: list[Finding] = []
    for message in messages(recording, stream=stream, message_s=message_s):
        found += watch.feed(message, received_ms=message.clock.wall_ms)
    return found
