"""Reading a source to its samples, and the plainest measures of them."""

import itertools
import math
import struct
from collections.abc import Iterable, Sequence

from device_sim.sources import Sample, Source, open_source, parse_event

START_MS = 1_700_000_000_000


def simulated(spec: str, *events: str) -> Source:
    """A simulated home with a script, its stream beginning at START_MS."""
    return open_source(spec, start_ms=START_MS, events=[parse_event(event) for event in events])


def read(source: Source, seconds: float, *, every_ms: int = 1000, from_s: float = 0.0) -> list[Sample]:
    """Everything of a stretch, in reads of every_ms."""
    now_ms, end_ms = START_MS + round(from_s * 1000), START_MS + round((from_s + seconds) * 1000)
    samples = []
    while now_ms < end_ms:
        samples.append(source.read(now_ms, min(end_ms, now_ms + every_ms)))
        now_ms += every_ms
    return samples


def stream(samples: Iterable[Sample], name: str) -> list[float]:
    """One stream in its unit; motion as x, y, z one after the other."""
    values: list[float] = []
    for sample in samples:
        for wave in sample.waves:
            if wave.stream == name:
                counts = struct.unpack(f"<{len(wave.samples) // 2}h", wave.samples)
                values += [count * wave.scale for count in counts]
    return values


def sizes(samples: Iterable[Sample]) -> list[float]:
    """The length of each acceleration, in g."""
    axes = stream(samples, "motion")
    return [math.sqrt(x * x + y * y + z * z) for x, y, z in zip(axes[0::3], axes[1::3], axes[2::3], strict=True)]


def peaks(values: Sequence[float], *, above: float, apart: int) -> list[int]:
    """Indices of local tops over `above` of which none follows another within `apart` samples."""
    found: list[int] = []
    for index in range(1, len(values) - 1):
        if values[index] > above and values[index - 1] < values[index] >= values[index + 1]:
            if found and index - found[-1] < apart:
                if values[index] > values[found[-1]]:
                    found[-1] = index
            else:
                found.append(index)
    return found


def intervals_s(ecg: Sequence[float]) -> list[float]:
    """Seconds between R peaks, found as tops over half of the highest."""
    tops = peaks(ecg, above=0.5 * max(ecg), apart=60)
    return [(after - before) / 250 for before, after in itertools.pairwise(tops)]


def spread(values: Sequence[float]) -> float:
    """Standard deviation."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
