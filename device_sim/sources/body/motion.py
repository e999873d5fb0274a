"""A day's movement at the waist: sitting, standing, walking, stairs, lying, sleeping, and the falls of the script."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from device_sim.sources.body import moves
from device_sim.sources.body.breath import Breath
from device_sim.sources.body.moves import PERIOD_MS, RATE_HZ, Frame
from device_sim.sources.body.shapes import loop_slice, white_noise
from protocol.errors import ConfigError

SCALE_G = 1 / 1024  # g a count: exact in a half-precision float, +-32 g in 16 bits
NOISE_G = 0.004
NOISE_SIZE = 4096
GAIT_SIZE = 256
PREPARE_MS = 8_000  # so long before a scripted fall the person gets up and walks; before an arrest, sits down
STILL_MS = 20_000  # after a fall the person lies without stirring at least so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something a person keeps doing. pose: of the trunk; rate: beats a minute above rest; shake: how much it disturbs
    the signals, 0 to 1; low_s, high_s: how long it usually lasts; cadence: steps a second (0: none); stir: how often a
    second the person stirs."""

    pose: Frame
    rate: float
    shake: float
    low_s: float
    high_s: float
    cadence: float = 0.0
    stir: float = 0.0


ACTIVITIES = {
    "sleep": Activity(pose=moves.LEFT, rate=-7, shake=0.0, low_s=600, high_s=3600, stir=0.004),
    "lie": Activity(pose=moves.SUPINE, rate=-2, shake=0.0, low_s=60, high_s=600, stir=0.02),
    "sit": Activity(pose=moves.SITTING, rate=3, shake=0.01, low_s=25, high_s=240, stir=0.06),
    "stand": Activity(pose=moves.UPRIGHT, rate=9, shake=0.03, low_s=6, high_s=40, stir=0.15),
    "walk": Activity(pose=moves.UPRIGHT, rate=24, shake=0.3, low_s=8, high_s=60, cadence=1.8),
    "stairs": Activity(pose=moves.UPRIGHT, rate=42, shake=0.45, low_s=8, high_s=16, cadence=1.5),
}
NEXT = {  # after this, that; the more often named, the likelier
    "sleep": ("sit",),
    "lie": ("sit", "sit", "sleep"),
    "sit": ("stand", "stand", "stand", "lie"),
    "stand": ("walk", "walk", "sit"),
    "walk": ("stand", "stand", "sit", "stairs"),
    "stairs": ("walk", "stand"),
}
FLOOR = Activity(pose=moves.SUPINE, rate=16, shake=0.01, low_s=0, high_s=0, stir=0.05)
SENSELESS = Activity(pose=moves.SLUMPED, rate=0, shake=0.0, low_s=0, high_s=0)


@dataclass(slots=True)
class _Part:
    """A stretch of the plan, times in ms. frames: what the sensor feels, for a movement; None: go on with the
    activity."""

    from_ms: int
    to_ms: float
    activity: Activity
    pose: Frame
    frames: list[Frame] | None = None
    still_ms: float = 0.0


class Motion:
    """An accelerometer at one waist, second by second."""

    def __init__(
        self,
        rng: Random,
        *,
        falls: Sequence[tuple[float, float]] = (),
        arrests: Sequence[tuple[float, float]] = (),
        only: str | None = None,
    ) -> None:
        """falls, arrests: stretches (from_ms, to_ms) on the floor, without consciousness; only: one activity for
        ever."""
        if only is not None and only not in ACTIVITIES:
            raise ConfigError("source_activity", f"{only!r} is not an activity; they are {', '.join(ACTIVITIES)}")
        self._rng = rng
        self._only = only
        self._turning = sorted([(*span, "fall") for span in falls] + [(*span, "arrest") for span in arrests])
        self._doing = only or rng.choice(("sit", "sit", "stand", "lie"))
        if self._turning and self._turning[0][0] < PREPARE_MS:
            self._doing = "stand" if self._turning[0][2] == "fall" else "sit"
        self._parts: deque[_Part] = deque()
        self._end_ms: float = 0
        self._steps = rng.random()
        self._vigour = rng.uniform(0.75, 1.15)
        self._gait = _gait()
        self._noise = white_noise(rng, NOISE_SIZE)
        self._mount = (rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12))
        self._stay(self._doing)

    def activity(self, second: int) -> Activity:
        """What the person does in the middle of this second."""
        middle_ms = second * 1000 + 500
        self._plan(middle_ms + 500)
        return next(part.activity for part in self._parts if part.from_ms <= middle_ms < part.to_ms)

    def second(self, number: int, *, breath: Breath) -> list[int]:
        """RATE_HZ frames of x, y, z counts for the second `number`."""
        start_ms, end_ms = number * 1000, (number + 1) * 1000
        self._plan(end_ms)
        while self._parts[0].to_ms <= start_ms:
            self._parts.popleft()
        frames: list[Frame] = []
        for part in self._parts:
            first, last = max(part.from_ms, start_ms), min(part.to_ms, end_ms)
            if first < last:
                frames += self._feel(part, int(first), int(last), breath)
        noises = loop_slice(self._noise, self._rng.randrange(NOISE_SIZE), 3 * RATE_HZ)
        return self._counts(frames, noises)

    def _plan(self, until_ms: int) -> None:
        while self._end_ms < until_ms:
            if self._turning and self._end_ms >= self._turning[0][0]:
                _, to_ms, kind = self._turning.pop(0)
                if kind == "fall":
                    self._fall(to_ms)
                else:
                    self._collapse(to_ms)
            else:
                self._go_on()

    def _go_on(self) -> None:
        """The next activity, or the one that a scripted event needs."""
        wanted = None
        if self._turning and self._turning[0][0] - self._end_ms <= PREPARE_MS:
            wanted = "walk" if self._turning[0][2] == "fall" else "sit"
        choice = wanted or self._only or self._rng.choice(NEXT[self._doing])
        before, after = ACTIVITIES[self._doing], ACTIVITIES[choice]
        if before.pose != after.pose:
            hard = choice == "sit" and before.pose == moves.UPRIGHT and self._rng.random() < 0.25 and not wanted
            lasts_s = self._rng.uniform(1.4, 2.6) * (1.6 if moves.SUPINE in (before.pose, after.pose) else 1.0)
            self._move(
                moves.sit_hard(self._rng)
                if hard
                else moves.turn(before.pose, after.pose, lasts_s=lasts_s, push_g=self._rng.uniform(0.06, 0.16)),
                shake=0.25,
                rate=after.rate,
            )
        self._doing = choice
        self._stay(choice)

    def _stay(self, choice: str) -> None:
        """Keep doing `choice` until it is time for something else, or for the script."""
        activity = ACTIVITIES[choice]
        self._pose = activity.pose
        to_ms = self._end_ms + PERIOD_MS * round(self._rng.uniform(activity.low_s, activity.high_s) * RATE_HZ)
        if self._turning:
            turn_ms = PERIOD_MS * math.ceil(self._turning[0][0] / PERIOD_MS)
            prepare_ms = turn_ms - PREPARE_MS
            to_ms = min(to_ms, prepare_ms if self._end_ms < prepare_ms else max(turn_ms, self._end_ms))
        self._append(_Part(int(self._end_ms), to_ms, activity, activity.pose))

    def _fall(self, to_ms: float) -> None:
        frames, end = moves.fall(self._rng)
        down = self._end_ms
        self._move(frames, shake=1.0, rate=FLOOR.rate)
        self._lie(FLOOR, end, to_ms=to_ms, still_ms=down + STILL_MS)

    def _collapse(self, to_ms: float) -> None:
        end = moves.SLUMPED if self._pose == moves.SITTING else self._pose
        self._move(moves.turn(self._pose, end, lasts_s=1.6, push_g=0.04), shake=0.1, rate=0)
        self._lie(SENSELESS, end, to_ms=to_ms, still_ms=math.inf)

    def _lie(self, activity: Activity, pose: Frame, *, to_ms: float, still_ms: float) -> None:
        """Stay down until to_ms, then get up slowly."""
        if math.isfinite(to_ms):
            to_ms = max(self._end_ms + PERIOD_MS, PERIOD_MS * math.ceil(to_ms / PERIOD_MS))
        if self._turning:
            turn_ms, _, kind = self._turning[0]
            to_ms = min(to_ms, max(turn_ms - (2 * PREPARE_MS if kind == "fall" else 0), self._end_ms + PERIOD_MS))
            to_ms = PERIOD_MS * math.ceil(to_ms / PERIOD_MS)
        self._append(_Part(int(self._end_ms), to_ms, activity, pose, still_ms=still_ms))
        self._pose = pose
        if self._turning and self._turning[0][2] == "arrest" and self._turning[0][0] <= to_ms:
            return  # the heart stops while the person is still down
        if math.isfinite(to_ms):
            self._move(moves.turn(pose, moves.SITTING, lasts_s=4.0, push_g=0.1), shake=0.3, rate=20)
            self._doing, self._pose = "sit", moves.SITTING
            if not self._turning or self._turning[0][0] - self._end_ms > PREPARE_MS:
                self._stay("sit")

    def _move(self, frames: list[Frame], *, shake: float, rate: float) -> None:
        busy = Activity(pose=moves.UPRIGHT, rate=rate, shake=shake, low_s=0, high_s=0)
        self._append(_Part(int(self._end_ms), self._end_ms + PERIOD_MS * len(frames), busy, moves.UPRIGHT, frames))

    def _append(self, part: _Part) -> None:
        if part.to_ms > part.from_ms:
            self._parts.append(part)
            self._end_ms = part.to_ms

    def _feel(self, part: _Part, first_ms: int, last_ms: int, breath: Breath) -> list[Frame]:
        """What the sensor feels in [first_ms, last_ms) of a part, without noise."""
        count = (last_ms - first_ms) // PERIOD_MS
        if part.frames is not None:
            begin = (first_ms - part.from_ms) // PERIOD_MS
            return part.frames[begin : begin + count]
        if part.activity.cadence:
            return self._walk(part, first_ms, count)
        x, y, z = part.pose
        chest = breath.waves(first_ms, count, PERIOD_MS)
        frames = [(x + 0.006 * lung, y, z + 0.003 * lung) for lung in chest]
        if first_ms >= part.still_ms and self._rng.random() < part.activity.stir and count >= 25:
            self._stir(frames)
        return frames

    def _stir(self, frames: list[Frame]) -> None:
        height, begin = self._rng.uniform(0.04, 0.18), self._rng.randrange(len(frames) - 20)
        for index in range(20):
            x, y, z = frames[begin + index]
            push = height * math.sin(math.pi * index / 20) * math.sin(index * 0.7)
            frames[begin + index] = (x + push, y + 0.5 * push, z + 0.7 * push)

    def _walk(self, part: _Part, first_ms: int, count: int) -> list[Frame]:
        """Steps: a heel strike and a swing each, the sway of the hips every second one; they fade in and out."""
        up, ahead, sway = self._gait
        stride = part.activity.cadence * (0.94 + 0.1 * self._vigour) / RATE_HZ
        x, y, z = part.pose
        frames = []
        for index in range(count):
            at_ms = first_ms + index * PERIOD_MS
            share = self._vigour * min(1.0, (at_ms - part.from_ms) / 600, (part.to_ms - at_ms) / 600)
            step = int(self._steps * GAIT_SIZE) % GAIT_SIZE
            side = int(self._steps * GAIT_SIZE / 2) % GAIT_SIZE
            frames.append((x + share * ahead[step], y + share * sway[side], z + share * up[step]))
            self._steps += stride
        return frames

    def _counts(self, frames: Sequence[Frame], noises: Sequence[float]) -> list[int]:
        """Frames as a sensor mounted a little askew reads them, with its noise, in counts."""
        lean, roll = self._mount
        unit, noise = 1 / SCALE_G, NOISE_G / SCALE_G
        counts: list[int] = []
        for index, (x, y, z) in enumerate(frames):
            at = 3 * index
            counts.append(round((x - lean * z) * unit + noise * noises[at]))
            counts.append(round((y - roll * z) * unit + noise * noises[at + 1]))
            counts.append(round((z + lean * x + roll * y) * unit + noise * noises[at + 2]))
        return counts


def _gait() -> tuple[list[float], list[float], list[float]]:
    """One step (up, forward) and one stride (sideways) as tables, in g."""
    turns = [index / GAIT_SIZE for index in range(GAIT_SIZE)]
    up = [
        0.5 * math.exp(-(((turn - 0.12) / 0.07) ** 2)) + 0.16 * math.sin(2 * math.pi * (turn - 0.3)) for turn in turns
    ]
    mean = sum(up) / GAIT_SIZE
    ahead = [0.14 * math.sin(2 * math.pi * (turn + 0.1)) + 0.05 * math.sin(4 * math.pi * turn) for turn in turns]
    sway = [0.1 * math.sin(2 * math.pi * turn) for turn in turns]
    return [value - mean for value in up], ahead, sway
