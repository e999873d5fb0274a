"""Virtual time: a loop that jumps from one callback to the next, for cores that only need to be called later."""

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Future


class Timer:
    """A callback that is due, and may be cancelled."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call."""
        self.cancelled = True


class VirtualLoop:
    """The part of an event loop that the gateway's intake uses. now_ms: virtual Unix time."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._due: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()

    def call_at(self, at_ms: float, call: Callable[..., object], *arguments: object) -> Timer:
        """Call at a virtual time."""
        timer = Timer(lambda: call(*arguments))
        heapq.heappush(self._due, (max(at_ms, self.now_ms), next(self._count), timer))
        return timer

    def call_soon(self, call: Callable[..., object], *arguments: object) -> Timer:
        """Call next."""
        return self.call_at(self.now_ms, call, *arguments)

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> Timer:
        """Call after some virtual seconds."""
        return self.call_at(self.now_ms + delay_s * 1000, call, *arguments)

    def create_future(self) -> "Future[None]":
        """Something that waits."""
        return Future()

    def run_until(self, until_ms: float) -> None:
        """Make everything happen that is due until then."""
        while self._due and self._due[0][0] <= until_ms:
            at_ms, _, timer = heapq.heappop(self._due)
            self.now_ms = int(at_ms)
            if not timer.cancelled:
                timer.call()
        self.now_ms = int(until_ms)
