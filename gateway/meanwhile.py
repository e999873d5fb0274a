"""What people are told while storage fails: every change of an alert at once, on the page and through the channels.

Nothing of this is durable. The rows follow with the commit that succeeds, and what a channel took meanwhile is written there as
sent. What no channel took waits in the outbox from then on.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gateway.alerts.book import Changes, Notice
from gateway.alerts.sender import Channel
from gateway.store import alerts

PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # before each try of a notice; after the last one the outbox has to do
SENDING_MAX = 1024  # notices that are tried at a time; what is beyond waits for the outbox
AT_ONCE = 16  # requests to all channels at a time


class Screen(Protocol):
    """Where alerts are shown: the hub."""

    def publish_alert(self, alert: Mapping[str, object]) -> None:
        """A new or changed alert."""


class Meanwhile:
    """on: whether storage fails; channels: by name, while there are any; failed: told the channel of each failed try."""

    def __init__(self, *, screen: Screen, now_ms: Callable[[], int], failed: Callable[[str], None]) -> None:
        self._screen, self._now_ms, self._failed = screen, now_ms, failed
        self.on = False
        self.channels: Mapping[str, Channel] = {}
        self._known: set[str] = set()  # notices that were taken on, so that each is sent by one task
        self._took: dict[str, int] = {}  # when a channel took a notice whose row is not durable yet, Unix ms
        self._sending: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    def begin(self) -> None:
        """Storage fails from now on."""
        self.on = True

    def end(self) -> None:
        """Storage works: what is not sent by now is the outbox's. A try that is under way comes to its end."""
        self.on = False
        self._known.clear()

    def tell(self, changes: Changes) -> None:
        """Show and send what cannot be made durable now; nothing while storage works."""
        if not self.on:
            return
        for alert in changes.alerts:
            self._screen.publish_alert(alerts.view(alert))
        for notice in changes.notices:
            if notice.id not in self._known and len(self._sending) < SENDING_MAX:
                self._known.add(notice.id)
                task = asyncio.get_running_loop().create_task(self._send(notice))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)

    def took(self, changes: Iterable[Changes]) -> Mapping[str, int]:
        """The notices in `changes` that a channel has taken, with when."""
        if not self._took:
            return {}
        return {n.id: self._took[n.id] for each in changes for n in each.notices if n.id in self._took}

    def written(self, changes: Iterable[Changes]) -> None:
        """These are durable, and what was sent of them is."""
        for name in self.took(changes):
            del self._took[name]

    def stop(self) -> None:
        """Give up what is being sent."""
        for task in self._sending:
            task.cancel()

    async def _send(self, notice: Notice) -> None:
        channel = self.channels.get(notice.channel)
        if channel is None:
            return
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            async with self._room:
                if not self.on:
                    return
                now_s = self._now_ms() // 1000
                outcome, _ = await channel.send(notice.body, idempotency_key=notice.id, now_s=now_s)
            if outcome == "sent":
                self._took[notice.id] = self._now_ms()
                return
            self._failed(notice.channel)
            if outcome == "dead":
                return
