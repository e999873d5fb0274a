"""The device as a process: reads its source, seals, sends, hears receipts, and stops in order."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from device_sim import clock, enrolment
from device_sim.agent import Agent, Place
from device_sim.enrolment import Enrolment
from device_sim.link import Connection, Kind, context
from device_sim.sources import Sample, Source, Truth
from device_sim.spool import Spool
from protocol import topics
from protocol.content import Clock
from protocol.errors import ProtocolError, Unavailable

READ_MS = 1000  # of the stream in one message: wire.md, one data message a second
REFUSED = 0x80  # MQTT reasons from here on are refusals
BEAT_S = 0.05  # how often waiting messages are looked at
CANCEL_AGAIN_S = 0.2  # a task that has not ended by then is told again
ASK_CLOCK_S = 60.0  # between questions whether a time source keeps the clock
RETRY_SPOOL_S = 1.0  # between tries when the spool cannot be written

log = logging.getLogger(__name__)
Tell = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run goes. start_ms: of the stream (Unix ms); for_s: None until the source ends or somebody stops it."""

    source: Source
    start_ms: int
    speed: float
    for_s: float | None
    drain_s: float


class Service:
    """One run of a device. tell: hears what happens, as JSON-able facts."""

    def __init__(self, state: Path, found: Enrolment, spool: Spool, course: Course, *, tell: Tell) -> None:
        self._state, self._spool, self._course, self._tell = state, spool, course, tell
        key = enrolment.load_key(state)
        self._device = found.device
        self._rng = random.SystemRandom()
        self.agent = Agent(found.link(key), spool, rng=self._rng)
        self._begun_s = time.monotonic()
        self._failing = False
        self._seal_again_s = 0.0
        self._synced, self._ask_clock_s = False, 0.0
        self._ending = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        tls = context(state)
        kinds: tuple[Kind, ...] = ("alarm", "data")
        self._connections = {
            kind: Connection(
                device=found.device,
                kind=kind,
                address=found.mqtt,
                tls=tls,
                rng=self._rng,
                heard=self._heard,
                changed=self._changed,
                alarm_waits=self._alarm_waits if kind == "alarm" else lambda: False,
            )
            for kind in kinds
        }

    def stop(self) -> None:
        """End the run in order: no more readings, then what waits is sent."""
        self._ending.set()

    async def run(self) -> None:
        """Until the source ends, the time is over, or `stop`; then until everything is receipted or the drain is over.

        Raises Unavailable when the spool cannot be read at the end, and whatever a part of the device died of.
        """
        tasks = [asyncio.create_task(each.run(), name=f"link-{kind}") for kind, each in self._connections.items()]
        tasks.append(asyncio.create_task(self._beat(), name="beat"))
        tasks.append(asyncio.create_task(self._live(), name="live"))
        try:
            self._tell({"event": "ready", "device": self._device, "boot": self.agent.boot})
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # only the course ends; another part that did has an error to raise
        finally:
            await _end((*tasks, *self._sending))
        names = ("sealed", "receipted", "refused", "evicted")
        counts = {name: self._spool.counter(name) for name in names}
        self._tell({"event": "finished", "sent": counts["sealed"], "waiting": self.agent.waiting, **counts})

    async def _live(self) -> None:
        await self._read()
        await self._drain(None if self._finite and not self._ending.is_set() else self._course.drain_s)

    @property
    def _finite(self) -> bool:
        return self._course.for_s is None

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        course, at_ms = self._course, self._course.start_ms
        end_ms = None if course.for_s is None else course.start_ms + round(course.for_s * 1000 * course.speed)
        while not self._ending.is_set() and not self.agent.erased:
            if course.source.ended(at_ms) or (end_ms is not None and at_ms >= end_ms):
                return
            until_ms = at_ms + READ_MS
            due_s = self._begun_s + (until_ms - course.start_ms) / 1000 / course.speed
            if await self._ended_before(due_s):
                return
            sample = course.source.read(at_ms, until_ms)
            self._seal(sample)
            for truth in sample.truths:
                self._scripted(truth)
            at_ms = until_ms

    def _seal(self, sample: Sample) -> None:
        """Seal a sample. While the spool cannot be written it waits in memory, and the sensors' time goes on."""
        try:
            self.agent.read(sample, clock=self._clock(), simulated=self._course.source.simulated)
        except Unavailable as error:
            self._failed(error)
        else:
            self._worked()
        if sample.alarms:
            self._connections["alarm"].hurry()

    def _seal_again(self) -> None:
        if self.agent.unsealed and time.monotonic() >= self._seal_again_s:
            self.agent.seal_waiting()
            self._worked()

    def _failed(self, error: Unavailable) -> None:
        """Say once that the spool fails, however often it does."""
        self._seal_again_s = time.monotonic() + RETRY_SPOOL_S
        if not self._failing:
            log.error("%s", error)
            self._tell({"event": "spool_failing", "detail": error.detail})
        self._failing = True

    def _worked(self) -> None:
        if self._failing:
            log.warning("the spool can be written again")
            self._tell({"event": "spool_recovered"})
        self._failing = False

    async def _ended_before(self, due_s: float) -> bool:
        """Wait until `due_s` of the steady clock; True when the run is ended before."""
        try:
            async with asyncio.timeout(max(0.0, due_s - time.monotonic())):
                await self._ending.wait()
        except TimeoutError:
            return False
        return True

    def _scripted(self, truth: Truth) -> None:
        at = datetime.fromtimestamp(truth.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._tell({"event": "scripted", "kind": truth.kind, "at": at})

    def _clock(self) -> Clock:
        now_s = time.monotonic()
        if now_s >= self._ask_clock_s:
            self._ask_clock_s, self._synced = now_s + ASK_CLOCK_S, clock.synced()
        up_ms = round((now_s - self._begun_s) * 1000)
        return Clock(up_ms=up_ms, wall_ms=time.time_ns() // 1_000_000, synced=self._synced)

    # -- sending -----------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Publish what is due."""
        while True:
            now_ms = round(time.monotonic() * 1000)
            try:
                self._seal_again()
                self._publish_due(now_ms)
            except Unavailable as error:
                self._failed(error)
            await asyncio.sleep(BEAT_S)

    def _publish_due(self, now_ms: int) -> None:
        for connection, lane in ((self._connections["alarm"], topics.ALARM), (self._connections["data"], topics.DATA)):
            if connection.up.is_set():
                for entry in self.agent.due(lane, now_ms=now_ms):
                    self._send(connection, topics.up(self._device, lane), entry.raw, entry.place)
        data = self._connections["data"]
        if data.up.is_set():
            raw = self.agent.state(clock=self._clock(), simulated=self._course.source.simulated, now_ms=now_ms)
            if raw is not None:
                self._send(data, topics.up(self._device, topics.STATE), raw)

    def _send(self, connection: Connection, topic: str, raw: bytes, place: Place | None = None) -> None:
        async def job() -> None:
            reason = await connection.publish(topic, raw)
            if place is not None and reason is not None:
                self.agent.on_puback(place, reason, now_ms=round(time.monotonic() * 1000))

        task = asyncio.create_task(job())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _drain(self, most_s: float | None) -> None:
        """Wait until everything is receipted, or `most_s`; an erased device until its gateway has heard of it."""
        until_s = None if most_s is None else time.monotonic() + most_s
        while self._unfinished and (until_s is None or time.monotonic() < until_s):
            if until_s is None and (self._ending.is_set() or self.agent.erased):
                until_s = time.monotonic() + self._course.drain_s
            await asyncio.sleep(BEAT_S)

    @property
    def _unfinished(self) -> bool:
        if self.agent.erased:
            return not self._ending.is_set()
        try:
            return self.agent.waiting > 0
        except Unavailable as error:
            self._failed(error)
            return True

    # -- hearing -----------------------------------------------------------------------------------------------------

    async def _heard(self, topic: str, raw: bytes) -> None:
        try:
            if topic == topics.down_receipt(self._device):
                self.agent.on_receipt(raw)
            elif topic == topics.down_command(self._device):
                answers = self.agent.on_command(raw, now_ms=time.time_ns() // 1_000_000)
                if self.agent.erased:
                    enrolment.erase(self._state)
                    self._tell({"event": "erased"})
                for answer in answers:
                    task = asyncio.create_task(self._answer(answer))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
        except ProtocolError as error:
            log.warning("something on %s was not believed: %s", topic, error)
        except Unavailable as error:
            self._failed(error)

    async def _answer(self, raw: bytes) -> None:
        """Publish the answer to a command until it is acknowledged; an erased device then has nothing more to do."""
        until_s = time.monotonic() + self._course.drain_s
        connection = self._connections["data"]
        while True:
            reason = await connection.publish(topics.up(self._device, topics.STATE), raw)
            if reason is not None and reason < REFUSED:
                break
            if time.monotonic() >= until_s:
                return
            await asyncio.sleep(BEAT_S)
        if self.agent.erased:
            self.stop()

    def _changed(self, kind: Kind, up: bool) -> None:
        if kind == "data":
            self._tell({"event": "connected" if up else "disconnected"})
        if up:
            self.agent.reconnected(topics.ALARM if kind == "alarm" else topics.DATA)

    def _alarm_waits(self) -> bool:
        try:
            return bool(self._spool.oldest(topics.ALARM, 1, frozenset()))
        except Unavailable as error:
            self._failed(error)
            return True  # nobody knows: hurry


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until every one has ended. Once is not enough: `asyncio.wait_for` of Python 3.11 forgets a cancellation
    that comes as what it waits for is done, and a connection would then be made again for ever."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


async def serve(service: Service) -> None:
    """Run with SIGTERM and SIGINT as the orderly end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    await service.run()
