"""The commit: one transaction for messages, positions, alerts and what is to be sent; then acknowledgements, receipts, pages.

A commit that fails is tried again with the same batch until it succeeds. Meanwhile nothing is acknowledged and nothing is
dropped; people are told at once what cannot be made durable (`gateway.meanwhile`). A commit that hangs is a failing one too.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from gateway.admission import SUCCESS
from gateway.batch import Batch
from gateway.meanwhile import Meanwhile
from gateway.metrics import Metrics
from gateway.store import alerts, devices, messages, values
from gateway.store.keys import EnrolmentKeys
from gateway.store.writer import VALUES_FILE, Writer
from protocol import topics
from protocol.content import Content, Data
from protocol.errors import VigilError
from protocol.keys import SigningKey

RETRY_AFTER_S = 1.0  # between tries of a commit that fails
STALLED_AFTER_S = 5.0  # a commit that takes longer: a disk that hangs says nothing
LANE_NAMES = topics.LANE_NAMES

log = logging.getLogger(__name__)


class Screen(Protocol):
    """Where live values and alerts are shown: what a commit asks of the hub."""

    def publish_content(self, device: str, content: Data, received_ms: int) -> None:
        """New readings."""

    def publish_alert(self, alert: Mapping[str, object]) -> None:
        """A new or changed alert."""


class Committing:
    """publish: sends (device, topic, payload) down to a device; after: called when a commit is done and there is room;
    troubled: told when storage begins to fail (True) and when it works again."""

    def __init__(
        self,
        *,
        writer: Writer,
        key: SigningKey,
        secrets: Callable[[], Mapping[str, EnrolmentKeys]],
        publish: Callable[[str, str, bytes], bool],
        screen: Screen,
        meanwhile: Meanwhile,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        now_ms: Callable[[], int],
    ) -> None:
        self._writer, self._key, self._secrets, self._publish = writer, key, secrets, publish
        self._screen, self._metrics, self._loop, self._now_ms = screen, metrics, loop, now_ms
        self._meanwhile = meanwhile
        self._busy: Batch | None = None
        self._begun_s = 0.0
        self._fault: BaseException | None = None
        self.healthy = True
        self.after: Callable[[], None] = lambda: None
        self.troubled: Callable[[bool], None] = lambda _: None
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def free(self) -> bool:
        """Whether no commit is under way."""
        return self._busy is None

    def commit(self, batch: Batch) -> None:
        """Write a batch. Only when `free`."""
        self._busy = batch
        self.idle.clear()
        self._try(batch)

    def _try(self, batch: Batch) -> None:
        begun = self._begun_s = time.perf_counter()
        now_ms = self._now_ms()
        took = self._meanwhile.took(batch.changes)
        future = self._writer.submit(lambda conn: write(conn, batch, now_ms=now_ms, took=took))

        def done(_: object) -> None:
            error = future.exception()
            self._loop.call_soon_threadsafe(self._done, batch, error, time.perf_counter() - begun)

        future.add_done_callback(done)

    def _done(self, batch: Batch, error: BaseException | None, took_s: float) -> None:
        if error is not None:
            if isinstance(error, VigilError):
                self._failed(batch, error)
            else:
                self._fault = error
            return
        healed = not self.healthy
        if healed:
            self._well()
        self._meanwhile.written(batch.changes)
        self._metrics.commits.inc()
        self._metrics.commit_seconds.observe(took_s)
        self._acknowledge(batch)
        self._receipt(batch)
        self._show(batch)
        self._keep_values(batch)
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._busy = None
        self.idle.set()
        if healed:
            self.troubled(False)
        self.after()

    def _failed(self, batch: Batch, error: VigilError) -> None:
        self._metrics.store_errors.inc()
        self._ill(batch, str(error))
        self._loop.call_later(RETRY_AFTER_S, self._try, batch)

    def look(self) -> None:
        """See whether the commit under way hangs. Call it now and then. Raises what a commit raised by a fault of ours: its
        batch can be neither written nor dropped, so the gateway has to end, and start again from what is durable."""
        if self._fault is not None:
            raise self._fault
        if self._busy is not None and self.healthy and time.perf_counter() - self._begun_s > STALLED_AFTER_S:
            self._ill(self._busy, "a commit does not end")

    def _ill(self, batch: Batch, why: str) -> None:
        if not self.healthy:
            return
        log.error("storage fails, nothing is acknowledged until it works: %s", why)
        self.healthy = False
        self._metrics.store_healthy.set(0)
        self._meanwhile.begin()
        for changes in batch.changes:
            self._meanwhile.tell(changes)
        self.troubled(True)

    def _well(self) -> None:
        log.warning("storage works again")
        self.healthy = True
        self._metrics.store_healthy.set(1)
        self._meanwhile.end()

    def _acknowledge(self, batch: Batch) -> None:
        now_ms = self._now_ms()
        counts = [0, 0, 0]
        for entrant, arrival in batch.entrants:
            place = entrant.message.position
            entrant.member.pending.pop(place, None)
            entrant.member.durable(place.lane, place.boot, place.seq)
            arrival.answer(SUCCESS)
            counts[place.lane] += 1
        for arrival, code in batch.answers:
            arrival.answer(code)
        for lane, count in enumerate(counts):
            if count:
                self._metrics.messages.labels(LANE_NAMES[lane]).inc(count)
        if batch.entrants:
            oldest_ms = batch.entrants[0][1].received_ms
            self._metrics.arrival_to_durable_seconds.observe(max(0, now_ms - oldest_ms) / 1000)

    def _receipt(self, batch: Batch) -> None:
        for member, topic, receipt in batch.receipts.signed(self._key, now_ms=self._now_ms()):
            if self._publish(member.device, topic, receipt):
                self._metrics.receipts.inc()

    def _show(self, batch: Batch) -> None:
        for device, content, received_ms in batch.shown:
            self._show_content(device, content, received_ms)
        for changes in batch.changes:
            for alert in changes.alerts:
                self._screen.publish_alert(alerts.view(alert))
            for line in changes.history:
                if line.event == "raise":
                    self._metrics.raised(next(alert.kind for alert in changes.alerts if alert.id == line.alert))
        now_ms = self._now_ms()
        for urgent_ms in batch.urgent_ms:
            self._metrics.alarm_latency_seconds.observe(max(0, now_ms - urgent_ms) / 1000)

    def _show_content(self, device: str, content: Content, received_ms: int) -> None:
        if isinstance(content, Data):
            self._metrics.readings.inc(len(content.vitals))
            self._screen.publish_content(device, content, received_ms)

    def _keep_values(self, batch: Batch) -> None:
        """Readings go to their own file after the record is safe; losing some costs a piece of curve."""
        found = self._secrets()
        kept = [
            (member, keys.store_key, contents)
            for member, contents in batch.values.items()
            if (keys := found.get(member.device)) is not None and keys.lk == member.lk  # else erased meanwhile
        ]
        if not kept:
            return

        def job(conn: sqlite3.Connection) -> None:
            for member, store_key, contents in kept:
                values.keep(conn, member.row, member.device, store_key, contents)

        self._writer.submit(job, file=VALUES_FILE).add_done_callback(self._values_kept)

    def _values_kept(self, future: object) -> None:
        error = future.exception()  # type: ignore[attr-defined]
        if error is not None:
            self._metrics.store_errors.inc()
            log.error("readings for curves were not kept: %s", error)


def write(
    conn: sqlite3.Connection, batch: Batch, *, now_ms: int, took: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Everything of a batch, inside one transaction. took: its notices that are sent already, with when."""
    if batch.rows:
        messages.insert(conn, batch.rows)
    if batch.conflicts:
        messages.note_conflicts(conn, batch.conflicts)
    for row, gaps, source in batch.gaps:
        messages.note_gaps(conn, row, gaps, message=source)
    for changes in batch.changes:
        alerts.write(conn, changes)
    for notice, at_ms in took.items():
        alerts.sent(conn, notice, now_ms=at_ms)
    for member in batch.activated:
        devices.set_state(conn, member.device, "active", now_ms=now_ms)
