"""The book of alerts: findings and people's answers in, rows to write out. One alert for one episode of one enrolment.

The book moves on at once and its rows are written with the next commit, which is tried until it succeeds: nobody is told of a
change before it is durable, and a killed process finds on disk exactly what it told.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.alerts.escalation import FIRST, Policy
from gateway.alerts.lifecycle import UNANSWERED, Event, Refused, State, after
from gateway.detect.finding import KINDS, Detail, Finding, Priority
from protocol.errors import NotFound

ID_BYTES = 16
REMEMBERED_MAX = 10_000  # resolved episodes known by name; one raised again after that many others is opened again
BY_MAX = 64  # characters of who acknowledged; longer is cut

Source = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. step: of the escalation, the last one taken; next_ms: when the next one is due, None when none is;
    source: (lane, boot, seq) of the message that raised it, None when silence did. All times Unix ms."""

    id: str
    device: str
    kind: str
    priority: Priority
    technical: bool
    state: State
    onset_ms: int
    raised_ms: int
    changed_ms: int
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None
    cleared_ms: int | None = None
    simulated: bool = False
    detail: Detail = dataclasses.field(default_factory=dict)
    step: int = FIRST
    next_ms: int | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A line of an alert's history. by: a person, or "" for the gateway."""

    alert: str
    event: str
    at_ms: int
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to send. id: idempotency key, the same for every try; body: JSON."""

    id: str
    alert: str
    channel: str
    body: bytes
    made_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Rows for one transaction; false when there are none."""

    alerts: tuple[Alert, ...] = ()
    history: tuple[Happened, ...] = ()
    notices: tuple[Notice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.alerts or self.history or self.notices)


NOTHING = Changes()


def alert_id(device: str, kind: str, onset_ms: int) -> str:
    """The name of an episode's alert: 32 hex digits, the same however often the episode is found."""
    return hashlib.sha256(f"{device}|{kind}|{onset_ms}".encode()).hexdigest()[: 2 * ID_BYTES]


class Book:
    """Open alerts in memory. Pure: what it returns is to be written by the caller."""

    def __init__(self, policy: Policy, alerts: Iterable[Alert] = ()) -> None:
        self._policy = policy
        self._open: dict[str, Alert] = {}
        self._resolved: dict[str, None] = {}
        for alert in alerts:
            if alert.state == "resolved":
                self._remember(alert.id)
            else:
                self._open[alert.id] = alert

    def open(self) -> list[Alert]:
        """Every alert that is not resolved."""
        return list(self._open.values())

    def consider(
        self, device: str, finding: Finding, *, now_ms: int, simulated: bool, source: Source | None = None
    ) -> Changes:
        """What a finding changes: nothing when its episode is known already."""
        name = alert_id(device, finding.kind, finding.onset_ms)
        if finding.phase == "cleared":
            return self._clear(self._named_or_latest(name, device, finding.kind), now_ms=now_ms)
        if name in self._open or name in self._resolved:
            return NOTHING
        escalates = self._policy.escalates(priority=finding.priority, technical=finding.technical)
        alert = Alert(
            id=name,
            device=device,
            kind=finding.kind,
            priority=finding.priority,
            technical=finding.technical,
            state="raised",
            onset_ms=finding.onset_ms,
            raised_ms=now_ms,
            changed_ms=now_ms,
            simulated=simulated,
            detail=finding.detail,
            next_ms=self._policy.next_ms(FIRST, now_ms) if escalates else None,
            source=source,
        )
        self._open[name] = alert
        return _changed(alert, "raise", now_ms, notices=self._notices(alert))

    def repeated(self, device: str, kind: str, *, count: int) -> Changes:
        """Alarms of an open alert's kind that were not kept because they said nothing new: its detail counts them."""
        same = [alert for alert in self._open.values() if (alert.device, alert.kind) == (device, kind)]
        if not same:
            return NOTHING
        latest = max(same, key=lambda alert: alert.onset_ms)
        repeats = int(latest.detail.get("coalesced", 0)) + count
        moved = dataclasses.replace(latest, detail={**latest.detail, "coalesced": repeats})
        self._put(moved)
        return Changes(alerts=(moved,))

    def acknowledge(self, name: str, *, by: str, now_ms: int) -> Changes:
        """A person acts on an alert. Nothing changes when one did before. Raises NotFound, Refused."""
        alert = self._find(name)
        if alert.state == "acknowledged":
            return NOTHING
        state = after(alert.state, "acknowledge")
        if alert.cleared_ms is not None:
            state = after(state, "clear")
        moved = dataclasses.replace(
            alert,
            state=state,
            changed_ms=now_ms,
            acknowledged_ms=now_ms,
            acknowledged_by=by[:BY_MAX],
            next_ms=None,
        )
        self._put(moved)
        return _changed(moved, "acknowledge", now_ms, by=by[:BY_MAX])

    def resolve(self, name: str, *, by: str, now_ms: int) -> Changes:
        """A person closes an alert. Raises NotFound, Refused."""
        return self._move(self._find(name), "resolve", now_ms, by=by[:BY_MAX])

    def due(self, now_ms: int) -> Changes:
        """The steps whose time has come. One that seems further away than any step is: the clock was set back, and nobody
        waits for it to come round again."""
        latest_ms = now_ms + self._policy.longest_ms
        waiting = [alert for alert in self._open.values() if alert.next_ms is not None]
        due = [alert for alert in waiting if not now_ms < (alert.next_ms or 0) <= latest_ms]
        return merged([self._escalate(alert, now_ms) for alert in due])

    def _escalate(self, alert: Alert, now_ms: int) -> Changes:
        step = alert.step + 1
        event: Event = "escalate" if alert.state == "raised" else "exhaust"
        moved = dataclasses.replace(
            alert,
            state=after(alert.state, event),
            step=step,
            next_ms=self._policy.next_ms(step, now_ms),
            changed_ms=now_ms,
        )
        self._put(moved)
        return _changed(moved, event, now_ms, notices=self._notices(moved))

    def _notices(self, alert: Alert) -> tuple[Notice, ...]:
        """What the alert's step sends."""
        body = json.dumps({**notice_body(alert), "step": alert.step}, sort_keys=True).encode()
        return tuple(
            Notice(
                id=f"{alert.id}-{alert.step}-{name}", alert=alert.id, channel=name, body=body, made_ms=alert.changed_ms
            )
            for name in self._policy.channels(alert.step, alert.kind)
        )

    def _clear(self, alert: Alert | None, *, now_ms: int) -> Changes:
        if alert is None or alert.cleared_ms is not None:
            return NOTHING
        moved = dataclasses.replace(alert, cleared_ms=now_ms)
        if KINDS[alert.kind].latching and alert.state in UNANSWERED:
            moved = dataclasses.replace(moved, changed_ms=now_ms)
            self._put(moved)
            return _changed(moved, "clear", now_ms)
        return self._move(dataclasses.replace(moved, next_ms=None), "clear", now_ms)

    def _named_or_latest(self, name: str, device: str, kind: str) -> Alert | None:
        """The alert of an episode; after a restart the detectors may have dated an onset anew, then the latest one."""
        if name in self._open or name in self._resolved:
            return self._open.get(name)
        same = [a for a in self._open.values() if (a.device, a.kind) == (device, kind) and a.cleared_ms is None]
        return max(same, key=lambda a: a.onset_ms, default=None)

    def _move(self, alert: Alert, event: Event, now_ms: int, *, by: str = "") -> Changes:
        moved = dataclasses.replace(alert, state=after(alert.state, event), changed_ms=now_ms)
        if moved.state == "resolved":
            moved = dataclasses.replace(moved, next_ms=None)
        self._put(moved)
        return _changed(moved, event, now_ms, by=by)

    def _find(self, name: str) -> Alert:
        if name in self._resolved:
            raise Refused("alert_event_refused", "the alert is resolved")
        if name not in self._open:
            raise NotFound("alert_unknown", f"there is no alert {name}; see `vigil gateway alerts list`")
        return self._open[name]

    def _put(self, alert: Alert) -> None:
        if alert.state == "resolved":
            self._open.pop(alert.id, None)
            self._remember(alert.id)
        else:
            self._open[alert.id] = alert

    def _remember(self, name: str) -> None:
        self._resolved[name] = None
        while len(self._resolved) > REMEMBERED_MAX:
            del self._resolved[next(iter(self._resolved))]


def merged(changes: Iterable[Changes]) -> Changes:
    """Several changes as one."""
    found = list(changes)
    return Changes(
        alerts=tuple(row for each in found for row in each.alerts),
        history=tuple(row for each in found for row in each.history),
        notices=tuple(row for each in found for row in each.notices),
    )


def notice_body(alert: Alert) -> Mapping[str, object]:
    """What is sent: enough to know whom to look after, and no reading."""
    return {
        "id": alert.id,
        "device": alert.device,
        "kind": alert.kind,
        "priority": alert.priority,
        "technical": alert.technical,
        "text": KINDS[alert.kind].text,
        "onset_ms": alert.onset_ms,
        "raised_ms": alert.raised_ms,
        "simulated": alert.simulated,
    }


def _changed(alert: Alert, event: str, now_ms: int, *, by: str = "", notices: tuple[Notice, ...] = ()) -> Changes:
    line = Happened(alert=alert.id, event=event, at_ms=now_ms, by=by)
    return Changes(alerts=(alert,), history=(line,), notices=notices)
