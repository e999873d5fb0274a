"""What the device itself reports: the help button, its own fall detector, a lead off, tampering, a low battery."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.detect.episodes import Standing
from gateway.detect.finding import Finding, finding
from protocol.content import Alarm

KIND_OF: Mapping[str, str] = {
    "button": "button",
    "fall": "device_fall",
    "lead_off": "lead_off",
    "tamper": "tamper",
    "low_battery": "low_battery",
}
REPEAT_MS = 60_000
"""The same kind again within this of the episode's first report is the same episode (a button pressed five times is one
call); a later one always calls again. Within it by both clocks: a device whose clock stands still does not call once for
all times."""
SPOOLED_MS = 8 * 86_400_000
AHEAD_MS = 60_000
"""A report older than a spool keeps, or further ahead, bears a wrong time: it is dated by its receipt."""
LASTING = frozenset({"lead_off", "low_battery", "tamper"})
"""States that the device reports again and again while they last: one episode until a report says `state: "ended"`."""


class _Known(NamedTuple):
    """An episode: its onset; the device's time and the gateway's of its first report."""

    onset_ms: int
    at_ms: int
    received_ms: int


class Reported:
    """The reports of one device, one episode each."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, _Known] = {}

    def resume(self, opened: Mapping[str, Standing]) -> None:
        """Alarms that stood open before a restart, by kind. A report that was read again since, and seemed to begin another
        episode because an earlier one was not, belongs to the one whose alarm stands."""
        for kind in opened.keys() & set(KIND_OF.values()):
            standing, known = opened[kind], self._open.get(kind)
            if known is None or known.received_ms != standing.raised_ms:
                self._open[kind] = _Known(standing.onset_ms, standing.onset_ms, standing.raised_ms)

    def add(self, alarm: Alarm, *, received_ms: int) -> list[Finding]:
        """One report, dated by the device. received_ms: gateway time."""
        kind = KIND_OF[alarm.kind]
        detail = {key: value for key, value in alarm.detail.items() if not isinstance(value, bytes)}
        known = self._open.get(kind)
        onset_ms = alarm.at_ms
        if not received_ms - SPOOLED_MS <= onset_ms <= received_ms + AHEAD_MS:
            onset_ms = received_ms
        if alarm.detail.get("state") == "ended":
            begun_ms = onset_ms if known is None else self._open.pop(kind).onset_ms
            return [finding(kind, "cleared", onset_ms=begun_ms, at_ms=max(onset_ms, begun_ms), detail=detail)]
        if known is not None and (
            kind in LASTING
            or (abs(alarm.at_ms - known.at_ms) < REPEAT_MS and abs(received_ms - known.received_ms) < REPEAT_MS)
        ):
            return []
        self._open[kind] = _Known(onset_ms, alarm.at_ms, received_ms)
        return [finding(kind, "raised", onset_ms=onset_ms, at_ms=onset_ms, detail=detail)]
