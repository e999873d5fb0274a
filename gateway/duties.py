"""What a gateway does by the clock: detectors' silence, escalation, batches, the ledger, notices, requests of people, gauges."""

import asyncio
import contextlib
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING

from gateway import commands
from gateway.admission import Member
from gateway.alerts.sender import Channel, Sender
from gateway.alerts.webhook import Webhook
from gateway.detect.finding import Phase, finding
from gateway.lookout import Lookout
from gateway.store import alerts, anchors, contradictions, devices, keys, schema, values
from gateway.store.writer import KEYS_FILE, RECORD_FILE, VALUES_FILE
from gateway.submit import Submitter
from ledger.client import AsyncClient
from protocol import command, conflict, topics
from protocol.conflict import Conflict
from protocol.content import State
from protocol.errors import Unavailable, VigilError
from protocol.policy import Policy

if TYPE_CHECKING:
    from gateway.service import Gateway

TICK_S = 0.5
AGAIN_S = 1.0  # after storage or a peer failed a duty
SAID_AGAIN_S = 600.0  # a failure that lasts is in the log so often
PRUNE_EVERY_S = 600.0
HOUR_MS = 3_600_000
ERASE_GOOD_FOR_MS = 60_000  # a command that is older is made again
LEDGER_BEHIND_MS = 600_000  # older waiting statements raise a technical alarm
REFUSED_AGAIN_MS = 3_600_000  # what the ledger refused is sent again so often: nobody signs a refusal
GATEWAY = "gateway"  # the "device" of alarms about the gateway itself
FORKED, ROLLED_BACK = "ledger_forked", "ledger_rolled_back"  # alarms that stay until a person resolves them

log = logging.getLogger(__name__)


class Duties:
    """admission: the registry's statement about our key, to be registered first."""

    def __init__(self, gateway: "Gateway", *, admission: bytes | None, now_ms: Callable[[], int]) -> None:
        self._gateway, self._now_ms = gateway, now_ms
        self._admission = admission
        self._begun_ms = now_ms()
        self._commands = 0
        self._asked_ms: dict[str, int] = {}
        self._backlog: tuple[int, int | None] = (0, None)
        self._reopened_ms = self._begun_ms
        own = [alert for alert in gateway.ward.book.open() if alert.device == GATEWAY and alert.cleared_ms is None]
        self._trouble_ms = {alert.kind: alert.onset_ms for alert in own}  # raised before a restart: not raised again
        self._channels_failing: set[str] = set()
        self._lookout: Lookout | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs while the block does. A duty that storage or a peer fails is logged and starts again; one that ends
        in any other way is a fault of ours and ends the gateway: nobody would notice that it no longer watches."""
        gateway = self._gateway
        jobs: list[tuple[str, Callable[[], Coroutine[object, object, None]]]] = [
            ("tick", self._tick),
            ("requests", self._requests),
            ("anchor", self._anchor),
            ("prune", self._prune),
        ]
        async with contextlib.AsyncExitStack() as stack:
            if gateway.settings.ledger_url and gateway.trust is not None:
                client = await stack.enter_async_context(AsyncClient(gateway.settings.ledger_url))
                jobs.append(("submit", self._submitter(client, gateway.trust.policy).run))
            channels = gateway.meanwhile.channels = self._channels(stack)
            sender = Sender(
                writer=gateway.writer,
                channels=channels,
                now_ms=self._now_ms,
                rng=random.Random(),
                failed=lambda name: gateway.metrics.outbox_failed.labels(name).inc(),
                trouble=self._channel_trouble,
            )
            jobs.append(("send", sender.run))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_forever(name, job), name=name) for name, job in jobs]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    gateway.meanwhile.stop()

    def _submitter(self, client: AsyncClient, policy: Policy) -> Submitter:
        gateway = self._gateway
        self._lookout = Lookout(
            writer=gateway.writer, client=client, policy=policy, now_ms=self._now_ms, report=self.contradicted
        )
        # What contradicted itself before a restart is sent nothing after it either, until it holds again what it held.
        self._lookout.doubted = any(alert.kind in (FORKED, ROLLED_BACK) for alert in gateway.ward.book.open())
        return Submitter(
            writer=gateway.writer,
            client=client,
            lookout=self._lookout,
            policy=policy,
            now_ms=self._now_ms,
            rng=random.Random(),
            failed=gateway.metrics.log_failed,
        )

    def _channels(self, stack: contextlib.AsyncExitStack) -> Mapping[str, Channel]:
        settings = self._gateway.settings
        found: dict[str, Channel] = {}
        for name, url in (("first", settings.webhook_first), ("second", settings.webhook_second)):
            if url:
                webhook = Webhook(url=url, key=self._gateway.keyring.key)
                stack.push_async_callback(webhook.close)
                found[name] = webhook
        return found

    # -- by the clock ------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        gateway = self._gateway
        if gateway.committing.healthy:
            self._technical("storage_failing", False)  # of before a restart: the commit of this shows whether it works
        while True:
            gateway.committing.look()
            gateway.verifiers.look()
            active = [device for device, member in gateway.directory.members.items() if member.state == "active"]
            if gateway.ward.tick(active, now_ms=self._now_ms(), batch=gateway.intake.batch) or gateway.intake.batch:
                gateway.intake.soon()
            for device, member in gateway.directory.members.items():
                if member.state == "erasing":
                    self.ask_erase(device)
            await asyncio.sleep(TICK_S)

    async def _requests(self) -> None:
        for device, row in list(self._gateway.directory.rows.items()):
            if row.state == "erasing":  # a stop may have come between two of its steps
                await self._erase(device)
        while True:
            for asked in commands.waiting(self._gateway.record):
                await self._do(asked)
            await asyncio.sleep(TICK_S)

    async def _anchor(self) -> None:
        gateway = self._gateway
        await gateway.writer.run(anchors.reopen)
        if self._admission is not None:
            raw = self._admission
            await gateway.writer.run(lambda conn: anchors.queue(conn, "admission", raw, now_ms=self._now_ms()))
        while True:
            await asyncio.sleep(gateway.settings.anchor_every_s)
            await self._batch()

    async def _batch(self) -> None:
        gateway, now_ms = self._gateway, self._now_ms()
        batch = await asyncio.to_thread(self._prepared, now_ms)
        await gateway.writer.run(lambda conn: anchors.keep(conn, batch, now_ms=now_ms))
        gateway.metrics.anchors.inc()
        self._backlog = await gateway.writer.run(anchors.backlog)
        refused = await gateway.writer.run(anchors.count_refused)
        late = self._backlog[1] is not None and now_ms - self._backlog[1] > LEDGER_BEHIND_MS
        self._technical("ledger_behind", late or refused > 0)
        if refused and now_ms - self._reopened_ms >= REFUSED_AGAIN_MS:
            self._reopened_ms = now_ms
            await gateway.writer.run(anchors.reopen)

    def _prepared(self, now_ms: int) -> anchors.Batch:
        """In a thread, on a connection of its own."""
        gateway = self._gateway
        with contextlib.closing(schema.reader(gateway.settings.state / RECORD_FILE)) as conn:
            return anchors.prepare(conn, gateway.keyring.key, begun_ms=self._begun_ms, now_ms=now_ms)

    async def _prune(self) -> None:
        while True:
            await self.prune()
            job = partial(keys.forget_offers, now_ms=self._now_ms())
            await self._gateway.writer.run(job, file=KEYS_FILE)
            await asyncio.sleep(PRUNE_EVERY_S)

    async def prune(self) -> None:
        """Forget decoded readings whose time is over, for good; those around an alarm stay. Raises Unavailable."""
        writer, settings, now_ms = self._gateway.writer, self._gateway.settings, self._now_ms()
        oldest = await writer.run(values.oldest, file=VALUES_FILE)
        if oldest is None:
            return
        from_ms = oldest - values.SPAN_MS - alerts.STRIP_AFTER_MS
        spans = await writer.run(lambda conn: alerts.strips(conn, from_ms=from_ms))
        await writer.run(lambda conn: values.hold(conn, spans), file=VALUES_FILE)
        gone = 0
        for samples, keep_ms in (
            (True, round(settings.keep_waves_hours * HOUR_MS)),
            (False, round(settings.keep_vitals_days * 24 * HOUR_MS)),
        ):
            job = partial(values.prune, samples=samples, before_ms=now_ms - keep_ms)
            while some := await writer.run(job, file=VALUES_FILE):
                gone += some
        if gone:
            await asyncio.wrap_future(writer.scrub(VALUES_FILE))

    # -- requests of people ------------------------------------------------------------------------------------------

    async def _do(self, asked: commands.Asked) -> None:
        gateway = self._gateway
        outcome = ""
        try:
            if asked.kind == "erase":
                await self._erase(asked.argument)
            if asked.kind == "test":
                await gateway.desk.commit(commands.test_notices(asked.argument, now_ms=self._now_ms()))
            else:
                await gateway.desk.commit(commands.answer(gateway.ward.book, asked, now_ms=self._now_ms()))
        except VigilError as error:
            outcome = commands.outcome_of(error)
        await gateway.writer.run(lambda conn: commands.done(conn, asked.number, outcome, now_ms=self._now_ms()))

    async def _erase(self, device: str) -> None:
        gateway = self._gateway
        for file, job in commands.erase_steps(device, now_ms=self._now_ms()):
            await gateway.writer.run(job, file=file)
            if file == KEYS_FILE:
                gateway.reload()  # from here on nothing is sealed under what was destroyed
        for file in commands.SCRUBBED:
            await asyncio.wrap_future(gateway.writer.scrub(file))

    def ask_erase(self, device: str) -> None:
        """Tell a device to erase its link key, until it says that it has."""
        now_ms = self._now_ms()
        if now_ms - self._asked_ms.get(device, 0) < ERASE_GOOD_FOR_MS // 12:
            return
        self._asked_ms[device] = now_ms
        self._commands += 1
        topic = topics.down_command(device)
        order = command.Command(
            n=(self._begun_ms // 1000, self._commands), expires_ms=now_ms + ERASE_GOOD_FOR_MS, kind="erase", args={}
        )
        self._gateway.publish(device, topic, command.sign(self._gateway.keyring.key, topic, order))

    def answered(self, member: Member, state: State) -> None:
        """A device answered a command."""
        if member.state == "erasing" and state.detail.get("kind") == "erase":
            gateway, now_ms = self._gateway, self._now_ms()

            async def finish() -> None:
                await gateway.writer.run(lambda conn: devices.set_state(conn, member.device, "erased", now_ms=now_ms))
                gateway.reload()

            self._finishing = asyncio.create_task(finish())

    # -- technical alarms --------------------------------------------------------------------------------------------

    def storage_trouble(self, failing: bool) -> None:
        """Commits fail, or succeed again: what waits for one is told at once, and that they fail."""
        if failing:
            for changes in self._gateway.intake.batch.changes:
                self._gateway.meanwhile.tell(changes)
        self._technical("storage_failing", failing)

    def _channel_trouble(self, channel: str, failing: bool) -> None:
        if failing:
            self._channels_failing.add(channel)
        else:
            self._channels_failing.discard(channel)
        self._technical("channel_failed", bool(self._channels_failing))

    def _technical(self, kind: str, present: bool) -> None:
        """Raise or clear an alarm about the gateway itself."""
        known = self._trouble_ms.get(kind)
        if present == (known is not None):
            return
        now_ms = self._now_ms()
        if present:
            self._trouble_ms[kind] = now_ms
        else:
            self._trouble_ms.pop(kind, None)
        self._consider(kind, "raised" if present else "cleared", onset_ms=known or now_ms)

    async def contradicted(self, found: Conflict, kind: conflict.Kind, origin: str) -> None:
        """A log contradicts itself: keep the evidence, and raise the alarm of it unless it stands. Raises Unavailable."""
        alarm = FORKED if kind in conflict.PROOFS else ROLLED_BACK
        if any(alert.kind == alarm for alert in self._gateway.ward.book.open()):
            return
        await self._gateway.writer.run(lambda conn: contradictions.keep(conn, found, kind=kind, origin=origin))
        # Stop here: the evidence is kept and nobody is told. The ledger is asked again after the restart, and says the same.
        self._consider(alarm, "raised", onset_ms=found.later.at_ms)

    def _consider(self, kind: str, phase: Phase, *, onset_ms: int) -> None:
        now_ms = self._now_ms()
        found = finding(kind, phase, onset_ms=onset_ms, at_ms=now_ms, detail={})
        changes = self._gateway.ward.book.consider(GATEWAY, found, now_ms=now_ms, simulated=False)
        if changes:
            self._gateway.intake.batch.changes.append(changes)
            self._gateway.meanwhile.tell(changes)
            self._gateway.intake.soon()

    # -- what operators see ------------------------------------------------------------------------------------------

    def health(self) -> tuple[bool, Mapping[str, object]]:
        """Whether the gateway can do its work, and why not."""
        return self._gateway.committing.healthy, {
            "storage": "ok" if self._gateway.committing.healthy else "failing",
            "waiting_for_ledger": self._backlog[0],
        }

    def gauges(self) -> None:
        """Set the gauges that are read on demand."""
        gateway, metrics, now_ms = self._gateway, self._gateway.metrics, self._now_ms()
        metrics.queue_messages.set(gateway.intake.waiting)
        metrics.connections.set(sum(endpoint.open_connections for endpoint in gateway.endpoints))
        metrics.broker_away.set(gateway.broker is not None and not gateway.broker.connected)
        found = gateway.ward.book.open()
        for priority in ("high", "medium", "low"):
            metrics.alerts_open.labels(priority).set(sum(alert.priority == priority for alert in found))
        unanswered = [a.raised_ms for a in found if a.priority == "high" and a.acknowledged_ms is None]
        metrics.alert_unacknowledged_seconds.set((now_ms - min(unanswered)) / 1000 if unanswered else 0)
        members = gateway.directory.members.values()
        states = ["quarantined" if member.quarantined_until_ms > now_ms else member.state for member in members]
        for state in devices.STATES:
            metrics.devices.labels(state).set(states.count(state))
        count, oldest = self._backlog
        metrics.anchors_pending.set(count)
        metrics.anchor_age_seconds.set(0 if oldest is None else (now_ms - oldest) / 1000)
        metrics.log_contradicted.set(sum(alert.kind in (FORKED, ROLLED_BACK) for alert in found))
        held_ms = now_ms if self._lookout is None else self._lookout.held_ms or self._begun_ms
        metrics.log_held_age_seconds.set((now_ms - held_ms) / 1000)
        metrics.outbox_pending.set(alerts.pending(gateway.record))
        metrics.page_clients.set(gateway.hub.subscribers)
        metrics.waves_dropped(gateway.hub.waves_dropped)


async def _forever(name: str, job: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a duty; when storage or a peer fails it, run it again a little later. The same failure is told now and then."""
    said, again_s = "", 0.0
    while True:
        try:
            await job()
        except (Unavailable, sqlite3.Error) as error:
            now_s = asyncio.get_running_loop().time()
            if str(error) != said or now_s >= again_s:
                log.error("%s: %s", name, error)
                said, again_s = str(error), now_s + SAID_AGAIN_S
            await asyncio.sleep(AGAIN_S)
