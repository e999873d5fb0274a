"""What the demo may claim: what was sent against what was stored, what happened against what was alarmed, and the
proof."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

# scripted event: (alarms of which one must come, alarms that may come with it)
ANSWERS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "fall": (frozenset({"fall"}), frozenset()),
    "arrest": (
        frozenset({"ventricular_fibrillation", "asystole"}),
        frozenset(
            {
                "ventricular_tachycardia",
                "extreme_tachycardia",
                "extreme_bradycardia",
                "spo2_low",
                "spo2_critical",
            }
        ),
    ),
}
EARLY_MS = 3_000  # an alarm's onset may be put so long before the event: a detector looks back over whole windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A scripted event as the device told it. home: its name; at_ms: Unix milliseconds of the stream."""

    home: str
    kind: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alert as the gateway keeps it. id: the gateway's; onset_ms, raised_ms: when the condition began in the signal,
    and when the alert was stored."""

    id: str
    home: str
    kind: str
    onset_ms: int
    raised_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The demo's result. known: what happened is known (false for recordings, which nobody scripted); evidence, trust:
    paths, as given out (None: there is none); verified: by a process that had nothing else."""

    sent: int
    stored: int
    refused: Mapping[str, int]
    events: Sequence[Happening]
    alarms: Sequence[Alarm]
    known: bool
    anchored: int
    tree_size: int
    evidence: str | None
    trust: str
    verified: bool

    @property
    def missed(self) -> list[Happening]:
        """Events that no alarm answers."""
        return [event for event in self.events if not any(_answers(alarm, event) for alarm in self.alarms)]

    @property
    def false_alarms(self) -> list[Alarm] | None:
        """Alarms that no event explains; None where nobody knows what happened."""
        if not self.known and self.alarms:
            return None
        return [alarm for alarm in self.alarms if not any(_explains(event, alarm) for event in self.events)]

    @property
    def good(self) -> bool:
        """Everything that was sent is stored and anchored, nothing was missed, and the evidence verified."""
        return self.verified and not self.missed and self.sent == self.stored == self.anchored and self.sent > 0

    def data(self) -> dict[str, object]:
        """The one object that --json prints."""
        false_alarms = self.false_alarms
        return {
            "readings_sent": self.sent,
            "readings_stored": self.stored,
            "refused": dict(self.refused),
            "events": [{"home": one.home, "kind": one.kind, "at": iso(one.at_ms)} for one in self.events],
            "alarms": [
                {
                    "home": one.home,
                    "kind": one.kind,
                    "onset": iso(one.onset_ms),
                    "raised_at": iso(one.raised_ms),
                    "latency_ms": one.raised_ms - one.onset_ms,
                }
                for one in self.alarms
            ],
            "missed": len(self.missed),
            "false_alarms": None if false_alarms is None else len(false_alarms),
            "anchored": self.anchored,
            "tree_size": self.tree_size,
            "evidence": self.evidence,
            "trust": self.trust,
            "verified": self.verified,
        }

    def text(self) -> str:
        """The same for people."""
        lines = [
            f"{self.sent} signed messages sent, {self.stored} stored, {self.anchored} anchored "
            f"in a ledger of {self.tree_size} entries"
        ]
        if self.refused:
            lines.append("refused: " + ", ".join(f"{code} {count}" for code, count in sorted(self.refused.items())))
        lines += [f"{clock(one.at_ms)}  {one.home}  {one.kind} happens" for one in self.events]
        lines += [
            f"{clock(one.raised_ms)}  {one.home}  alarm: {one.kind}, "
            f"{(one.raised_ms - one.onset_ms) / 1000:.1f} s after its onset"
            for one in self.alarms
        ]
        false_alarms = self.false_alarms
        unknown = "nobody knows how many" if false_alarms is None else str(len(false_alarms))
        lines.append(f"missed: {len(self.missed)}; false alarms: {unknown}")
        if self.evidence is not None:
            lines.append(f"evidence {self.evidence}: {'verified' if self.verified else 'NOT VERIFIED'}")
            lines.append(f"  vigil verify {self.evidence} --trust {self.trust}")
        else:
            lines.append("no evidence could be exported")
        return "\n".join(lines)


def _answers(alarm: Alarm, event: Happening) -> bool:
    """Whether the alarm is one that the event must bring."""
    return alarm.kind in ANSWERS[event.kind][0] and _explains(event, alarm)


def _explains(event: Happening, alarm: Alarm) -> bool:
    """Whether the alarm may come of the event."""
    must, may = ANSWERS[event.kind]
    return alarm.home == event.home and alarm.kind in must | may and alarm.onset_ms >= event.at_ms - EARLY_MS


def iso(at_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at_ms: int) -> str:
    """The time of day in UTC, for people."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


def from_iso(text: str) -> int:
    """Unix milliseconds of an ISO 8601 time."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
