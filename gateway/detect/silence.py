"""A device that is no longer heard, and a stream that stops while its device is heard: judged by the gateway's clock,
since what is missing carries no time of its own."""

from gateway.detect.episodes import Episode
from gateway.detect.finding import Finding
from gateway.detect.settings import DetectSettings

CONTINUOUS_MS = 20_000
"""A stream is expected to go on when it came without a pause for this long; spot measurements never are."""


class Silence:
    """The device as a whole. `heard_ms`: gateway time of its last message, set by the owner on every message."""

    __slots__ = ("_after_ms", "_episode", "heard_ms")

    def __init__(self, settings: DetectSettings) -> None:
        self._after_ms = round(settings.silent_after_s * 1000)
        self._episode = Episode("device_silent", clear_after_ms=0)
        self.heard_ms: int | None = None

    @property
    def open(self) -> bool:
        """The device is silent now."""
        return self._episode.open

    def heard(self, now_ms: int) -> list[Finding]:
        """A message came; ends a silence."""
        self.heard_ms = now_ms
        return self._episode.absent(at_ms=now_ms, at_once=True)

    def tick(self, now_ms: int) -> list[Finding]:
        """Time went by. The first tick starts the count when nothing was heard yet."""
        if self.heard_ms is None:
            self.heard_ms = now_ms
        if now_ms - self.heard_ms < self._after_ms:
            return []
        detail = {"silent_s": (now_ms - self.heard_ms) // 1000}
        return self._episode.present(onset_ms=self.heard_ms, at_ms=now_ms, detail=detail)


class StreamLoss:
    """One kind of wave. A stream that was continuous and is missing while the device is heard is a lost sensor."""

    __slots__ = ("_after_ms", "_episode", "_from_ms", "_last_ms", "_stream")

    def __init__(self, settings: DetectSettings, *, stream: str) -> None:
        self._after_ms = round(settings.stream_lost_after_s * 1000)
        self._episode = Episode("poor_signal", clear_after_ms=0)
        self._stream = stream
        self._from_ms = self._last_ms = -1

    def came(self, now_ms: int) -> list[Finding]:
        """A wave of the stream came at gateway time `now_ms`."""
        if self._last_ms < 0 or now_ms - self._last_ms > self._after_ms:
            self._from_ms = now_ms
        self._last_ms = now_ms
        return self._episode.absent(at_ms=now_ms, at_once=True)

    def tick(self, now_ms: int, *, device_silent: bool) -> list[Finding]:
        """A silent device is one alarm, not one for each of its streams."""
        if device_silent or self._last_ms - self._from_ms < CONTINUOUS_MS or now_ms - self._last_ms < self._after_ms:
            return []
        detail = {"reason": "missing", "stream": self._stream}
        return self._episode.present(onset_ms=self._last_ms, at_ms=now_ms, detail=detail)
