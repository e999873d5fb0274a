"""A device that is no longer heard, and a stream that stops or cannot be watched while its device is heard: judged by the
gateway's clock, since what is missing carries no time of its own."""

from collections.abc import Mapping

from gateway.detect.episodes import Episode, Standing
from gateway.detect.finding import Finding
from gateway.detect.settings import DetectSettings

CONTINUOUS_MS = 20_000
"""A stream is expected to go on when it came without a pause for this long; spot measurements never are."""
SEEN_AGAIN_MS = 10_000
"""A stream must be watchable again for this long before it counts as such."""
BLIND_MS = 5_000
"""Messages that complete no look are usual for this long: they are short, or the stream has just begun."""


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

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """Alarms that stood open before a restart, by kind. The device has its time to come back: nobody could be heard while
        the gateway was down."""
        self._episode.resume(opened)
        self.heard_ms = None

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
    """One kind of readings. A stream that was continuous and is missing while the device is heard is a lost sensor; one that
    comes in shreds, or in a form that no detector can use, is not watched either. Both are told."""

    __slots__ = ("_after_ms", "_blind", "_blind_from_ms", "_from_ms", "_last_ms", "_missing", "_stream")

    def __init__(self, settings: DetectSettings, *, stream: str) -> None:
        self._after_ms = round(settings.stream_lost_after_s * 1000)
        self._missing = Episode("poor_signal", clear_after_ms=0)
        self._blind = Episode("poor_signal", clear_after_ms=SEEN_AGAIN_MS)
        self._stream = stream
        self._from_ms = self._last_ms = -1
        self._blind_from_ms: int | None = None

    def came(self, now_ms: int, *, looked: bool) -> list[Finding]:
        """Something of the stream came at gateway time `now_ms`. looked: a detector could judge the wearer by it."""
        if self._last_ms < 0 or now_ms - self._last_ms > self._after_ms:
            self._from_ms, self._blind_from_ms = now_ms, None
        self._last_ms = now_ms
        found = self._missing.absent(at_ms=now_ms, at_once=True)
        if looked:
            self._blind_from_ms = None
            return found + self._blind.absent(at_ms=now_ms)
        if self._blind_from_ms is None:
            self._blind_from_ms = now_ms
        elif now_ms - self._blind_from_ms > BLIND_MS:
            self._blind.unknown()
        return found

    def tick(self, now_ms: int, *, device_silent: bool) -> list[Finding]:
        """A silent device is one alarm, not one for each of its streams."""
        if device_silent:
            return []
        if now_ms - self._last_ms < self._after_ms:
            since_ms = self._blind_from_ms
            if since_ms is None or now_ms - since_ms < self._after_ms:
                return []
            detail = {"reason": "unusable", "stream": self._stream}
            return self._blind.present(onset_ms=since_ms, at_ms=now_ms, detail=detail)
        if self._last_ms - self._from_ms < CONTINUOUS_MS:
            return []
        detail = {"reason": "missing", "stream": self._stream}
        return self._missing.present(onset_ms=self._last_ms, at_ms=now_ms, detail=detail)
