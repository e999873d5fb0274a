"""A bound on how often one device may raise one kind of alarm, so that a device gone mad fills no page, outbox or disk."""

from collections import deque
from collections.abc import Sequence

from gateway.detect.finding import Finding

RAISED_MAX = 200
WITHIN_MS = 600_000
"""So many of a kind in ten minutes are told; of more, the newest waits, and is told when there is room and it still holds."""


class Ration:
    """The findings of one device, let through."""

    __slots__ = ("_times", "_waiting")

    def __init__(self) -> None:
        self._times: dict[str, deque[int]] = {}
        self._waiting: dict[str, Finding] = {}

    def let_through(self, found: Sequence[Finding], *, now_ms: int) -> list[Finding]:
        """What may be told at `now_ms`, gateway time, of these and of what waits."""
        return [one for one in (*self._waited(now_ms), *found) if self._may_pass(one, now_ms)]

    def _waited(self, now_ms: int) -> list[Finding]:
        free = [kind for kind in self._waiting if self._room(kind, now_ms)]
        return [self._waiting.pop(kind) for kind in free]

    def _may_pass(self, one: Finding, now_ms: int) -> bool:
        if one.phase == "cleared":
            held = self._waiting.get(one.kind)
            if held is not None and held.onset_ms == one.onset_ms:
                del self._waiting[one.kind]
                return False
            return True
        if not self._room(one.kind, now_ms):
            self._waiting[one.kind] = one
            return False
        self._times.setdefault(one.kind, deque(maxlen=RAISED_MAX)).append(now_ms)
        return True

    def _room(self, kind: str, now_ms: int) -> bool:
        times = self._times.get(kind)
        return times is None or len(times) < RAISED_MAX or not 0 <= now_ms - times[0] < WITHIN_MS
