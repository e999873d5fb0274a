"""Drains the outbox: every notice until its channel took it or it is given up, which is itself an alarm.

Each channel is drained on its own, so that one that hangs does not hold up another. A notice leaves the outbox only when its
channel has answered and that is written: a process killed in between sends it again, under the same idempotency key. There
is one sender, because one gateway holds its folder; so a row needs no lease.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from gateway.alerts.webhook import Outcome
from gateway.store import alerts
from gateway.store.alerts import Waiting
from gateway.store.writer import Job, Writer
from protocol.errors import Unavailable

AT_ONCE = 16  # notices on their way to one channel at a time; the others wait for the next turn
LOOK_EVERY_S = 0.25
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 30.0  # the longest wait is shorter than an escalation's step
GIVEN_UP_MS = 15 * 60_000  # after this long, and
GIVEN_UP_TRIES = 8  # so many tries, a notice is dead: a gateway that was off for an hour still tries
TROUBLE_AFTER = 3  # failed tries in a row before an alarm says that a channel fails
STORE_RETRY_S = 1.0  # between tries to write what became of a notice; it is not sent again meanwhile

log = logging.getLogger(__name__)


class Channel(Protocol):
    """Takes a notice to somebody."""

    async def send(self, body: bytes, *, idempotency_key: str, now_s: int) -> tuple[Outcome, str]:
        """What became of it, and a code for the record."""


class Sender:
    """channels: by name; failed: told the name of a channel at each failed try; trouble: told (channel, failing) when a
    channel fails for good or several times in a row, and at its first success after that or after the start."""

    def __init__(
        self,
        *,
        writer: Writer,
        channels: Mapping[str, Channel],
        now_ms: Callable[[], int],
        rng: random.Random,
        failed: Callable[[str], None],
        trouble: Callable[[str, bool], None],
    ) -> None:
        self._writer, self._channels, self._now_ms, self._rng = writer, channels, now_ms, rng
        self._failed, self._trouble = failed, trouble
        self._failures: dict[str, int] = {}
        self._works: dict[str, bool] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._channels:
                group.create_task(self._drain(name))
            group.create_task(self._bury())

    async def turn(self, channel: str) -> int:
        """Try a channel's notices that are due; how many those were. Raises Unavailable: store_failing."""
        due = await self._due(channel)
        async with asyncio.TaskGroup() as group:
            for notice in due:
                group.create_task(self._try(notice))
        return len(due)

    async def _drain(self, channel: str) -> None:
        while True:
            try:
                await self.turn(channel)
            except Unavailable as error:
                log.warning("the outbox cannot be read now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _bury(self) -> None:
        """Give up what waits for a channel that the settings no longer have: nothing can ever take it."""
        while True:
            try:
                await self.bury()
            except Unavailable as error:
                log.warning("the outbox cannot be read now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def bury(self) -> None:
        """Give up what waits for unknown channels now. Raises Unavailable: store_failing."""
        now_ms = self._now_ms()
        for name in await self._writer.run(alerts.channels) - self._channels.keys():
            log.warning("notices waited for a channel that there is not, and are given up")
            await self._writer.run(partial(alerts.bury, channel=name, now_ms=now_ms, code="no_such_channel"))
            self._trouble(name, True)
            self._trouble(name, False)

    async def _due(self, channel: str) -> list[Waiting]:
        now_ms = self._now_ms()
        return await self._writer.run(lambda conn: alerts.waiting(conn, channel, now_ms=now_ms, most=AT_ONCE))

    async def _try(self, notice: Waiting) -> None:
        channel = self._channels[notice.channel]
        outcome, code = await channel.send(notice.body, idempotency_key=notice.id, now_s=self._now_ms() // 1000)
        now_ms = self._now_ms()
        if outcome == "sent":
            await self._note(lambda conn: alerts.sent(conn, notice.id, now_ms=now_ms))
            self._succeeded(notice.channel)
            return
        self._failed(notice.channel)
        log.warning("a notice was not taken by the channel %s (%s)", notice.channel, code)
        late = now_ms - notice.made_ms > GIVEN_UP_MS and notice.tries + 1 >= GIVEN_UP_TRIES
        if dead := outcome == "dead" or late:
            await self._note(lambda conn: alerts.dead(conn, notice.id, now_ms=now_ms, code=code))
        else:
            next_ms = now_ms + round(1000 * self._wait_s(notice.tries))
            await self._note(lambda conn: alerts.later(conn, notice.id, next_ms=next_ms, code=code))
        self._count(notice.channel, dead=dead)

    def _wait_s(self, tries: int) -> float:
        """Between two tries: anything up to a bound that doubles, so that many notices do not come back together."""
        doublings = min(tries + 1, 10)  # enough to reach the longest wait
        return self._rng.uniform(BACKOFF_MIN_S, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0**doublings))

    async def _note(self, job: Job[None]) -> None:
        """Write what became of a notice, however long the storage fails."""
        while True:
            try:
                await self._writer.run(job)
            except Unavailable as error:
                log.warning("the outbox cannot be written now: %s", error)
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    def _succeeded(self, channel: str) -> None:
        self._failures[channel] = 0
        if not self._works.get(channel, False):
            self._works[channel] = True
            self._trouble(channel, False)

    def _count(self, channel: str, *, dead: bool) -> None:
        self._failures[channel] = self._failures.get(channel, 0) + 1
        if (dead or self._failures[channel] >= TROUBLE_AFTER) and self._works.get(channel, True):
            self._works[channel] = False
            self._trouble(channel, True)
