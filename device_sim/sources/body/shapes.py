"""Wave shapes as tables, so that a simulated second costs table look-ups and no transcendental function per sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

SINE_SIZE = 4096
SINE = tuple(math.sin(2 * math.pi * index / SINE_SIZE) for index in range(SINE_SIZE))


@dataclass(frozen=True, slots=True)
class Bump:
    """A Gaussian bump. height: in the unit of the signal; at_ms: its top; rise_ms, fall_ms: standard deviations of the
    two flanks."""

    height: float
    at_ms: float
    rise_ms: float
    fall_ms: float


@dataclass(frozen=True, slots=True)
class Shape:
    """A finite wave sampled every millisecond. first_ms: time of values[0], relative to the wave's reference point."""

    first_ms: int
    values: tuple[float, ...]


def shape(bumps: Sequence[Bump]) -> Shape:
    """The sum of `bumps`, cut where each has fallen to a thousandth of its height or less."""
    reach = 3.8
    first = math.floor(min(bump.at_ms - reach * bump.rise_ms for bump in bumps))
    last = math.ceil(max(bump.at_ms + reach * bump.fall_ms for bump in bumps))
    return Shape(first, tuple(sum(_height(bump, time) for bump in bumps) for time in range(first, last + 1)))


def _height(bump: Bump, time_ms: float) -> float:
    width = bump.rise_ms if time_ms < bump.at_ms else bump.fall_ms
    return bump.height * math.exp(-0.5 * ((time_ms - bump.at_ms) / width) ** 2)


def add(track: list[float], wave: Shape, *, at_ms: float, period_ms: int, gain: float) -> None:
    """Add `wave`, its reference point at_ms after track[0], to `track`, which has one value every period_ms. What lies
    outside the track is cut."""
    first_ms = at_ms + wave.first_ms
    index = max(0, math.ceil(first_ms / period_ms))
    offset = round(index * period_ms - first_ms)
    values = wave.values[offset::period_ms][: max(0, len(track) - index)]
    end = index + len(values)
    track[index:end] = [level + gain * value for level, value in zip(track[index:end], values, strict=True)]


def white_noise(rng: Random, size: int) -> tuple[float, ...]:
    """`size` values of mean 0 and standard deviation 1."""
    return tuple(rng.gauss(0.0, 1.0) for _ in range(size))


def smooth_noise(rng: Random, size: int, *, width: int) -> tuple[float, ...]:
    """A loop of `size` values, standard deviation 1, without the fast (one moving average of `width`) and without the
    slow (the same, eight times wider, taken away)."""
    white = white_noise(rng, size)
    fast = _average(white, width)
    slow = _average(fast, 8 * width)
    band = [quick - lazy for quick, lazy in zip(fast, slow, strict=True)]
    deviation = math.sqrt(sum(value * value for value in band) / size)
    return tuple(value / deviation for value in band)


def _average(loop: Sequence[float], width: int) -> list[float]:
    """The moving average of a loop."""
    total = sum(loop[:width])
    averages = []
    for index in range(len(loop)):
        averages.append(total / width)
        total += loop[(index + width) % len(loop)] - loop[index]
    return averages


def loop_slice(loop: Sequence[float], first: int, count: int) -> Sequence[float]:
    """`count` values of a loop from position `first` on, which may lie beyond its end."""
    first %= len(loop)
    part = loop[first : first + count]
    return part if len(part) == count else [*part, *loop[: count - len(part)]]
