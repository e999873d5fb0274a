"""From the gateway's intake to the open pages: the latest values of every device, and a bounded queue for each page.

Everything here runs in the thread of the asyncio loop. A page that reads slowly loses waves, which are counted; its
values are replaced by newer ones; its alarms are kept, and where even those are too many, it is told to start again.
"""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from protocol import waves
from protocol.content import Data
from protocol.senml import Vital
from protocol.waves import Wave

WAVES_MAX = 64  # stretches that wait for one page: some 30 s of one home; older ones are dropped
ALERTS_MAX = 1024  # alarms that wait for one page; beyond it the page starts again from a snapshot
SUBSCRIBERS_MAX = 64  # open pages; each costs a queue and a socket
LIVE_WITHIN_MS = 30_000  # a stretch that ended longer before its receipt is history: it is kept, not drawn as live
STREAMS_DRAWN = ("ecg", "ppg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a page is told. name: vitals, wave, alert, device or restart; data: JSON-able."""

    name: str
    data: Mapping[str, object]


class Reading(NamedTuple):
    """The latest value of one name. received_ms: the gateway's time; synced: whether the device's clock is to be trusted.
    A tuple, because there is one for each value that comes in, shown or not."""

    vital: Vital
    received_ms: int
    synced: bool

    def json(self) -> dict[str, object]:
        """As the page reads it. at_ms: not after its receipt; since_ms: from when its age counts; the gateway's time where the
        device's is not trusted."""
        received_ms = self.received_ms
        at_ms = min(self.vital.at_ms, received_ms)
        return {
            "name": self.vital.name,
            "value": self.vital.value,
            "unit": self.vital.unit,
            "at_ms": at_ms,
            "received_ms": received_ms,
            "since_ms": at_ms if self.synced else received_ms,
        }


@dataclass(slots=True, eq=False)
class Subscription(AsyncIterator[Event]):
    """One page's queue, used as `with hub.subscribe() as events: async for event in events`.

    Alarms come first, waves last. dropped: stretches of waves that this page was too slow for.
    """

    hub: "Hub"
    dropped: int = 0
    _alerts: dict[object, Mapping[str, object]] = field(default_factory=dict)
    _devices: dict[str, dict[str, object]] = field(default_factory=dict)
    _vitals: dict[str, dict[str, Reading]] = field(default_factory=dict)
    _simulated: dict[str, bool] = field(default_factory=dict)
    _waves: deque[Mapping[str, object]] = field(default_factory=deque)
    _overrun: bool = False
    _closed: bool = False
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            found = self.take()
            if found is not None:
                return found
            if self._closed:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()

    def take(self) -> Event | None:
        """The next event that waits, or None."""
        if self._overrun:
            self._overrun = False
            return Event(name="restart", data={})
        if self._alerts:
            return Event(name="alert", data=self._alerts.pop(next(iter(self._alerts))))
        if self._devices:
            device = next(iter(self._devices))
            return Event(name="device", data={"device": device, **self._devices.pop(device)})
        if self._vitals:
            device = next(iter(self._vitals))
            values = [reading.json() for reading in self._vitals.pop(device).values()]
            simulated = self._simulated.pop(device)
            return Event(name="vitals", data={"device": device, "simulated": simulated, "values": values})
        if self._waves:
            return Event(name="wave", data=self._waves.popleft())
        return None

    def close(self) -> None:
        """Nothing more is queued, and whoever waits is woken."""
        self._closed = True
        self.hub.leave(self)
        self._filled.set()

    def put_alert(self, alert: Mapping[str, object]) -> None:
        """Queue the newest state of an alarm, in place of an older one that still waits."""
        if len(self._alerts) >= ALERTS_MAX and alert["id"] not in self._alerts:
            self._alerts.clear()
            self._overrun = True
        self._alerts[alert["id"]] = alert
        self._filled.set()

    def put_device(self, device: str, facts: Mapping[str, object]) -> None:
        """Queue what changed about a device, together with what already waits about it."""
        self._devices.setdefault(device, {}).update(facts)
        self._filled.set()

    def put_vitals(self, device: str, readings: Mapping[str, Reading], *, simulated: bool) -> None:
        """Queue a device's new values, in place of older ones of the same names."""
        self._vitals.setdefault(device, {}).update(readings)
        self._simulated[device] = simulated
        self._filled.set()

    def put_wave(self, wave: Mapping[str, object]) -> None:
        """Queue a stretch; the oldest one that waits makes room and is counted."""
        if len(self._waves) >= WAVES_MAX:
            self._waves.popleft()
            self.dropped += 1
            self.hub.waves_dropped += 1
        self._waves.append(wave)
        self._filled.set()


class Hub:
    """The one place where intake and pages meet. waves_dropped: stretches that slow pages lost, over all pages."""

    def __init__(self) -> None:
        self.waves_dropped = 0
        self._latest: dict[str, dict[str, Reading]] = {}
        self._subscriptions: list[Subscription] = []

    @property
    def subscribers(self) -> int:
        """Pages that are open."""
        return len(self._subscriptions)

    @property
    def full(self) -> bool:
        """Whether another page has to wait until one closes."""
        return len(self._subscriptions) >= SUBSCRIBERS_MAX

    def subscribe(self) -> Subscription:
        """A queue that fills from now on, until it is closed."""
        subscription = Subscription(hub=self)
        self._subscriptions.append(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a page; nothing happens where it is already forgotten."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End every page's stream, so that a server can stop."""
        for subscription in tuple(self._subscriptions):
            subscription.close()

    def snapshot(self) -> dict[str, list[dict[str, object]]]:
        """The latest values of every device, so that a new page starts filled."""
        return {device: [reading.json() for reading in found.values()] for device, found in self._latest.items()}

    def publish_content(self, device: str, content: Data, received_ms: int) -> None:
        """Tell the pages about readings. received_ms: the gateway's clock. Values that are older than known ones, such
        as those of a backlog, change nothing."""
        if content.vitals:
            self._publish_vitals(device, content, received_ms)
        if not self._subscriptions:
            return
        for wave in content.waves:
            if wave.stream in STREAMS_DRAWN and _live(wave, content, received_ms):
                shown = _shown(device, wave, simulated=content.simulated)
                for subscription in tuple(self._subscriptions):
                    subscription.put_wave(shown)

    def publish_alert(self, alert: Mapping[str, object]) -> None:
        """Tell the pages the newest state of an alarm, with the fields that the desk's `alerts` has."""
        for subscription in tuple(self._subscriptions):
            subscription.put_alert(alert)

    def publish_device(self, device: str, facts: Mapping[str, object]) -> None:
        """Tell the pages what changed about a device, in the fields that the desk's `homes` has."""
        for subscription in tuple(self._subscriptions):
            subscription.put_device(device, facts)

    def _publish_vitals(self, device: str, content: Data, received_ms: int) -> None:
        latest = self._latest.setdefault(device, {})
        fresh: dict[str, Reading] = {}
        synced = content.clock.synced
        for vital in content.vitals:
            name, _, at_ms = vital
            known = latest.get(name)
            if (
                known is None
                or at_ms >= known.vital.at_ms
                or min(at_ms, received_ms)
                >= known.received_ms  # a clock that was ahead once hides nothing that follows
            ):
                latest[name] = fresh[name] = Reading(vital, received_ms, synced)
        if fresh:
            for subscription in tuple(self._subscriptions):
                subscription.put_vitals(device, fresh, simulated=content.simulated)


def _live(wave: Wave, content: Data, received_ms: int) -> bool:
    end_ms = wave.t0_ms + wave.n * 1_000_000 // wave.rate_mhz
    return not content.clock.synced or received_ms - end_ms <= LIVE_WITHIN_MS


def _shown(device: str, wave: Wave, *, simulated: bool) -> dict[str, object]:
    """The first lead of a stretch, as the page draws it. samples: base64 of int16, little-endian."""
    samples = wave.samples
    if wave.channels > 1:
        lead = waves.counts(samples)[:: wave.channels]
        samples = b"".join(count.to_bytes(2, "little", signed=True) for count in lead)
    return {
        "device": device,
        "stream": wave.stream,
        "place": wave.place.split(",")[0],
        "t0_ms": wave.t0_ms,
        "rate_hz": wave.rate_mhz / 1000,
        "scale": wave.scale,
        "samples": b64encode(samples).decode(),
        "simulated": simulated,
    }
