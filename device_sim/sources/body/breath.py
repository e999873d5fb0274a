"""Breathing: rate, depth and phase, which sway the heart's rhythm, the baselines and the chest."""

from random import Random

from device_sim.sources.body.shapes import SINE, SINE_SIZE


class Breath:
    """One person's breathing, second by second. depth: 1 at rest, 0 in apnoea; rate: breaths a minute."""

    def __init__(self, rng: Random, *, rest_rate: float) -> None:
        self._rng = rng
        self._rest_rate = rest_rate
        self._turns = rng.random()
        self._turns_per_ms = rest_rate / 60_000
        self._second_ms = 0
        self.rate = rest_rate
        self.depth = 1.0

    def advance(self, second: int, *, effort: float, drive: float = 0.0, stopped: bool = False) -> None:
        """Go on to the given second. effort: 0 at rest to 1; drive: extra breaths a minute; stopped: fades in 10 s."""
        self._turns = self.turns(second * 1000)
        self._second_ms = second * 1000
        target = self._rest_rate * (1 + 0.6 * effort) + drive
        self.rate += 0.08 * (target - self.rate) + self._rng.gauss(0.0, 0.12)
        self.rate = min(45.0, max(6.0, self.rate))
        self.depth = max(0.0, self.depth - 0.1) if stopped else min(1.0, self.depth + 0.2)
        self._turns_per_ms = self.rate / 60_000

    def turns(self, at_ms: float) -> float:
        """Breaths taken until at_ms (of this second, or a little after it)."""
        return self._turns + (at_ms - self._second_ms) * self._turns_per_ms

    def wave(self, at_ms: float) -> float:
        """Lung volume around its mean, -1 to 1, 0 when breathing has stopped."""
        return self.depth * SINE[int(self.turns(at_ms) * SINE_SIZE) % SINE_SIZE]

    def waves(self, first_ms: int, count: int, period_ms: int) -> list[float]:
        """`wave` at `count` times, one every period_ms."""
        start = self.turns(first_ms) * SINE_SIZE
        step = period_ms * self._turns_per_ms * SINE_SIZE
        depth = self.depth
        return [depth * SINE[int(start + index * step) % SINE_SIZE] for index in range(count)]
