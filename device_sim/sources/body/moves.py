"""Movements with a beginning and an end, as an accelerometer at the waist feels them: rising, sitting, lying down,
falls.

Frames are (x forward, y left, z up the spine) in g, what the sensor feels at rest being 1 g away from the ground. A
fall is the sequence that the literature agrees on: balance lost, a dip towards free fall, an impact of 2.5 to 6 g, a
body that lies, and stillness (Noury et al., "Fall detection - principles and methods", IEEE EMBC 2007, pp. 1663-1666).
"""

import math
from random import Random

RATE_HZ = 50
PERIOD_MS = 20
Frame = tuple[float, float, float]

UPRIGHT: Frame = (0.05, 0.0, 0.9987)
SITTING: Frame = (0.26, 0.0, 0.9656)
SLUMPED: Frame = (-0.42, 0.17, 0.8915)
SUPINE: Frame = (0.985, 0.05, 0.165)
LEFT: Frame = (0.14, -0.98, 0.141)
RIGHT: Frame = (0.14, 0.98, 0.141)
PRONE: Frame = (-0.97, 0.08, 0.23)
FALLEN = (SUPINE, LEFT, RIGHT, PRONE)


def turn(start: Frame, end: Frame, *, lasts_s: float, push_g: float) -> list[Frame]:
    """From one posture to another. push_g: how strongly the body is first pushed up, then let down."""
    count = max(2, round(lasts_s * RATE_HZ))
    frames = []
    for index in range(count):
        done = (index + 1) / count
        push = 1 + push_g * math.sin(2 * math.pi * done)
        x, y, z = between(start, end, done)
        frames.append((x * push, y * push, z * push))
    return frames


def sit_hard(rng: Random) -> list[Frame]:
    """Dropping into a chair: a shallow dip and an impact of about 2 g, but no free fall and an upright trunk."""
    count, hit = 55, 32
    peak_g, dip = rng.uniform(0.7, 1.2), rng.uniform(0.2, 0.32)
    frames = []
    for index in range(count):
        x, y, z = between(UPRIGHT, SITTING, index / count)
        weight = 1 - dip * pulse(index - (hit - 9), 9) + peak_g * pulse(index - hit, 3)
        weight += 0.25 * peak_g * _ring(index - hit - 3, 5.0)
        frames.append((x * weight, y * weight, z * weight))
    return frames


def fall(rng: Random) -> tuple[list[Frame], Frame]:
    """A fall from standing, and the posture it ends in. Balance is lost at the first frame."""
    end = rng.choice(FALLEN)
    stumble, drop = round(rng.uniform(0.3, 0.5) * RATE_HZ), round(rng.uniform(0.34, 0.44) * RATE_HZ)
    hit, count = stumble + drop + 2, stumble + drop + 90
    peak_g, bounce_g = rng.uniform(2.8, 4.8), rng.uniform(0.5, 1.2)
    lightest = rng.uniform(0.22, 0.42)
    knock = _direction(end, rng)
    frames = []
    for index in range(count):
        pose = between(UPRIGHT, end, (index - 0.6 * stumble) / (hit + 8 - 0.6 * stumble))
        weight = 1.0
        if index < stumble:
            sway = math.sin(2 * math.pi * index / stumble)
            frames.append((pose[0] + 0.22 * sway, pose[1] - 0.12 * sway, pose[2] + 0.1 * sway))
            continue
        if index < hit:
            weight = 1 - (1 - lightest) * min(1.0, (index - stumble + 1) / 7)
        blow = peak_g * pulse(index - hit, 3) + bounce_g * pulse(index - hit - 11, 4)
        blow += 0.3 * peak_g * _ring(index - hit - 3, 6.0)
        x, y, z = (axis * weight + blow * way for axis, way in zip(pose, knock, strict=True))
        frames.append((x, y, z))
    return frames, end


def between(start: Frame, end: Frame, done: float) -> Frame:
    """The posture part of the way from start to end (smooth at both ends); length 1 g."""
    done = min(1.0, max(0.0, done))
    share = done * done * (3 - 2 * done)
    x, y, z = (first + share * (last - first) for first, last in zip(start, end, strict=True))
    length = math.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length)


def pulse(index: float, reach: float) -> float:
    """A raised cosine of height 1 at index 0, gone at `reach` frames on either side."""
    return 0.5 + 0.5 * math.cos(math.pi * index / reach) if abs(index) < reach else 0.0


def _ring(index: int, dies: float) -> float:
    """A knock that dies away after `dies` frames; nothing before frame 0."""
    return math.exp(-index / dies) * math.sin(index * 1.5) if index >= 0 else 0.0


def _direction(end: Frame, rng: Random) -> Frame:
    """Where a blow points: mostly away from the ground as the fallen body lies, partly anywhere."""
    x, y, z = (axis + rng.uniform(-0.35, 0.35) for axis in end)
    length = math.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length)
