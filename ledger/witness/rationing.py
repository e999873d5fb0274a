"""How much is done for whom: token buckets on a clock that is handed in."""

from dataclasses import dataclass


@dataclass(slots=True)
class Ration:
    """A bucket that begins full. rate_per_s: tokens that come back each second; burst: that it holds, at least 1."""

    rate_per_s: float
    burst: float
    _left: float = -1.0
    _at_s: float = 0.0

    def take(self, now_s: float) -> float:
        """0.0 when a token was there and is taken; else the seconds until there is one. now_s: monotonic."""
        if self._left < 0:
            self._left, self._at_s = self.burst, now_s
        self._left = min(self.burst, self._left + max(0.0, now_s - self._at_s) * self.rate_per_s)
        self._at_s = now_s
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self.rate_per_s
