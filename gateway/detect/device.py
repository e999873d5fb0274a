"""What the device itself reports: the help button, its own fall detector, a lead off, tampering, a low battery."""

from collections.abc import Mapping

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
"""The same kind again within this is the same episode (a button pressed five times is one call). A button never joins
an episode that is older, so a later press always calls again."""
LASTING = frozenset({"lead_off", "low_battery", "tamper"})
"""States that the device reports again and again while they last: one episode until a report says `state: "ended"`."""


class Reported:
    """The reports of one device, one episode each."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, int]] = {}

    def add(self, alarm: Alarm) -> list[Finding]:
        """One report. Its time is the device's; a report older than the open episode belongs to it."""
        kind = KIND_OF[alarm.kind]
        detail = {key: value for key, value in alarm.detail.items() if not isinstance(value, bytes)}
        known = self._open.get(kind)
        if alarm.detail.get("state") == "ended":
            if known is None:
                return []
            del self._open[kind]
            return [finding(kind, "cleared", onset_ms=known[0], at_ms=max(alarm.at_ms, known[0]), detail=detail)]
        if known is not None and (kind in LASTING or abs(alarm.at_ms - known[1]) < REPEAT_MS):
            self._open[kind] = (known[0], max(known[1], alarm.at_ms))
            return []
        self._open[kind] = (alarm.at_ms, alarm.at_ms)
        return [finding(kind, "raised", onset_ms=alarm.at_ms, at_ms=alarm.at_ms, detail=detail)]
