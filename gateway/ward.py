"""Every enrolment's detectors, and the book of alerts: contents in, changes of alerts out. Runs on the event loop."""

from collections.abc import Callable, Iterable
from typing import Final

from gateway.admission import Member
from gateway.alerts.book import Book, Changes
from gateway.batch import Batch, Source
from gateway.detect.device import KIND_OF
from gateway.detect.episodes import Standing
from gateway.detect.finding import Finding
from gateway.detect.settings import DetectSettings
from gateway.detect.watch import Watch
from protocol.content import Alarm, Content

WARM_S: Final = 90  # of stored readings that the detectors see again after a start: longer than any of their windows


class Ward:
    """demo: whether simulated data raises alarms; elsewhere it is kept and shown only. tell: hears of every change that
    waits for a commit."""

    def __init__(self, *, book: Book, settings: DetectSettings, demo: bool) -> None:
        self.book = book
        self._settings, self._demo = settings, demo
        self._watches: dict[str, Watch] = {}
        self._simulated: dict[str, bool] = {}
        self._repeats: dict[tuple[str, str], int] = {}  # coalesced alarms by device and kind, until the next tick
        self.tell: Callable[[Changes], None] = lambda _: None
        self.heard: dict[str, int] = {}  # when each device was heard last, Unix ms

    def look(self, member: Member, seen: Content, *, received_ms: int, source: Source, batch: Batch) -> bool:
        """Show a content to its watch; True when an alarm goes up, whose batch is then urgent."""
        self.heard[member.device] = received_ms
        self._simulated[member.device] = seen.simulated
        if seen.simulated and not self._demo:
            return False
        findings = self._watch(member.device).feed(seen, received_ms=received_ms)
        if not findings:
            return False
        return self._consider(member.device, findings, now_ms=received_ms, source=source, batch=batch)

    def repeated(self, member: Member, alarm: Alarm) -> None:
        """Count an alarm that says nothing new and is not kept: its alert says how many there were."""
        if self._demo or not alarm.simulated:
            place = (member.device, KIND_OF[alarm.kind])
            self._repeats[place] = self._repeats.get(place, 0) + 1

    def tick(self, devices: Iterable[str], *, now_ms: int, batch: Batch) -> bool:
        """What the passing of time brings, for alarms and for their escalation. Call it once a second."""
        urgent = False
        for device in devices:
            watch = self._watches.get(device)
            findings = [] if watch is None else watch.tick(now_ms=now_ms)
            if findings:
                urgent |= self._consider(device, findings, now_ms=now_ms, source=None, batch=batch)
        repeats, self._repeats = self._repeats, {}
        for place, count in repeats.items():
            self._change(batch, self.book.repeated(*place, count=count))
        due = self.book.due(now_ms)
        self._change(batch, due)
        return urgent or bool(due)

    def warm(self, device: str, contents: Iterable[tuple[int, Content]]) -> None:
        """Let the detectors see stored contents again. Their findings were acted upon when they were stored."""
        watch = self._watch(device)
        for received_ms, seen in contents:
            if not seen.simulated or self._demo:
                self._simulated[device] = seen.simulated
                watch.feed(seen, received_ms=received_ms)

    def expect(self, device: str) -> None:
        """Silence of this device counts from the next tick on; its open alarms are the episodes that its detectors know."""
        opened = {
            alert.kind: Standing(alert.onset_ms, alert.raised_ms)
            for alert in sorted(self.book.open(), key=lambda alert: alert.raised_ms)
            if alert.device == device and alert.cleared_ms is None
        }
        self._watch(device).resume(opened)

    def forget(self, device: str) -> None:
        """The enrolment is gone: nobody waits for it any more."""
        self._watches.pop(device, None)
        self._simulated.pop(device, None)

    def simulated(self, device: str) -> bool:
        """Whether what the device sent last was simulated."""
        return self._simulated.get(device, False)

    def _watch(self, device: str) -> Watch:
        found = self._watches.get(device)
        if found is None:
            found = self._watches[device] = Watch(self._settings)
        return found

    def _consider(
        self, device: str, findings: Iterable[Finding], *, now_ms: int, source: Source | None, batch: Batch
    ) -> bool:
        urgent = False
        simulated = self._simulated.get(device, False)
        for finding in findings:
            changes: Changes = self.book.consider(device, finding, now_ms=now_ms, simulated=simulated, source=source)
            self._change(batch, changes)
            urgent |= bool(changes) and finding.phase == "raised"
        if urgent:
            batch.urgent_ms.append(now_ms)
        return urgent

    def _change(self, batch: Batch, changes: Changes) -> None:
        if changes:
            batch.changes.append(changes)
            self.tell(changes)
