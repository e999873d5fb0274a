"""Oxygen saturation below a limit for longer than a delay (numerics, not the waveform)."""

from collections.abc import Mapping

from gateway.detect.episodes import Episode, Standing
from gateway.detect.finding import Detail, Finding
from gateway.detect.settings import DetectSettings

SPO2_NAME = "MDC_PULS_OXIM_SAT_O2"
STALE_MS = 300_000
"""Two readings further apart than this do not speak of one stretch of low saturation: the count begins anew."""
UNIT = "%"


class _Limit:
    """One limit with its hysteresis."""

    __slots__ = ("_after_ms", "_below", "_clears", "_episode", "_low_from_ms")

    def __init__(self, kind: str, *, below: float, clears: float, after_ms: int) -> None:
        self._episode = Episode(kind, clear_after_ms=after_ms)
        self._below, self._clears, self._after_ms = below, clears, after_ms
        self._low_from_ms: int | None = None

    @property
    def open(self) -> bool:
        """The limit's alarm was raised and is not over."""
        return self._episode.open

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """Alarms that stood open before a restart, by kind."""
        self._episode.resume(opened)

    def offer(self, value: float, at_ms: int, *, stale: bool) -> list[Finding]:
        if value >= self._below:
            self._low_from_ms = None
            return self._episode.absent(at_ms=at_ms) if self._episode.open and value >= self._clears else []
        if self._low_from_ms is None or stale:
            self._low_from_ms = at_ms
        if self._episode.open:
            self._episode.unknown()
        elif at_ms - self._low_from_ms >= self._after_ms:
            detail: Detail = {"value": value, "limit": self._below, "unit": UNIT}
            return self._episode.present(onset_ms=self._low_from_ms, at_ms=at_ms, detail=detail)
        return []


class Saturation:
    """Both limits of one wearer. Readings come in the order of their times; `last_ms` is the newest."""

    __slots__ = ("_limits", "_normal_from", "_quiet", "last_ms")

    def __init__(self, settings: DetectSettings) -> None:
        after_ms = round(settings.spo2_after_s * 1000)
        self._limits = (
            _Limit("spo2_low", below=settings.spo2_low, clears=settings.spo2_low_clears, after_ms=after_ms),
            _Limit(
                "spo2_critical", below=settings.spo2_critical, clears=settings.spo2_critical_clears, after_ms=after_ms
            ),
        )
        self._normal_from = settings.spo2_low_clears
        self._quiet = True
        self.last_ms = -1

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """Alarms that stood open before a restart, by kind."""
        for limit in self._limits:
            limit.resume(opened)
        self._quiet = not any(limit.open for limit in self._limits)

    def add(self, value: float, at_ms: int) -> list[Finding]:
        """One reading in %. Most readings are normal while nothing is open: that path costs two comparisons. A time that
        goes back (a clock that was set, a second backlog) begins anew like one far ahead."""
        stale = not 0 <= at_ms - self.last_ms <= STALE_MS
        self.last_ms = at_ms
        if self._quiet and value >= self._normal_from:
            return []
        found = [f for limit in self._limits for f in limit.offer(value, at_ms, stale=stale)]
        self._quiet = value >= self._normal_from and not any(limit.open for limit in self._limits)
        return found
