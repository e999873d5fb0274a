"""Drains the outbox: every notice until its channel took it or it is given up, which is itself an alarm."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.alerts.webhook import Outcome
from gateway.store import alerts
from gateway.store.alerts import Waiting
from gateway.store.writer import Writer
from protocol.errors import Unavailable

AT_ONCE = 16  # notices on their way at a time
LOOK_EVERY_S = 0.25
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 60.0
GIVEN_UP_MS = 15 * 60_000  # after this long without success somebody must be told in another way
TROUBLE_AFTER = 3  # failed tries in a row before the page says that a channel fails

log = logging.getLogger(__name__)


class Channel(Protocol):
    """Takes a notice to somebody."""

    async def send(self, body: bytes, *, idempotency_key: str, now_s: int) -> tuple[Outcome, str]:
        """What became of it, and a code for the record."""


class Sender:
    """channels: by name; trouble: told (channel, failing) when a channel fails for good, and when it works again."""

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

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.turn()
            except Unavailable as error:
                log.warning("the outbox cannot be read or written now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def turn(self) -> int:
        """Try what is due; how many notices that was."""
        now_ms = self._now_ms()
        due = await self._writer.run(lambda conn: alerts.waiting(conn, now_ms=now_ms, most=AT_ONCE))
        await asyncio.gather(*(self._try(notice) for notice in due))
        return len(due)

    async def _try(self, notice: Waiting) -> None:
        channel = self._channels.get(notice.channel)
        if channel is None:
            outcome: Outcome = "dead"
            code = "no_such_channel"
        else:
            outcome, code = await channel.send(notice.body, idempotency_key=notice.id, now_s=self._now_ms() // 1000)
        now_ms = self._now_ms()
        if outcome == "later" and now_ms - notice.made_ms > GIVEN_UP_MS:
            outcome = "dead"
        if outcome == "sent":
            await self._writer.run(lambda conn: alerts.sent(conn, notice.id, now_ms=now_ms))
            if self._failures.pop(notice.channel, 0) >= TROUBLE_AFTER:
                self._trouble(notice.channel, False)
            return
        self._failed(notice.channel)
        log.warning("a notice was not taken by the channel %s (%s)", notice.channel, code)
        if outcome == "dead":
            await self._writer.run(lambda conn: alerts.dead(conn, notice.id, now_ms=now_ms, code=code))
        else:
            most_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** (notice.tries + 1))
            next_ms = now_ms + round(1000 * self._rng.uniform(BACKOFF_MIN_S, most_s))
            await self._writer.run(lambda conn: alerts.later(conn, notice.id, next_ms=next_ms, code=code))
        self._failures[notice.channel] = self._failures.get(notice.channel, 0) + 1
        if outcome == "dead" or self._failures[notice.channel] == TROUBLE_AFTER:
            self._failures[notice.channel] = max(self._failures[notice.channel], TROUBLE_AFTER)
            self._trouble(notice.channel, True)
