"""The gateway as a process: puts the parts together, keeps the clocks ticking, and stops them in order."""

import asyncio
import contextlib
import logging
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping

from gateway import metrics, pair_app, warming
from gateway.admission import REFUSALS, Member, Refusal
from gateway.alerts.book import REMEMBERED_MAX, Book
from gateway.alerts.escalation import Policy
from gateway.committing import Committing
from gateway.desk import Desk
from gateway.detect.settings import DetectSettings
from gateway.directory import Directory
from gateway.duties import Duties
from gateway.ingress import broker
from gateway.ingress.broker import Broker
from gateway.ingress.endpoint import Endpoint
from gateway.ingress.limits import ENDPOINT_CODES, EndpointLimits
from gateway.ingress.session import Lane
from gateway.intake import Intake
from gateway.keyring import Keyring
from gateway.meanwhile import Meanwhile
from gateway.serving import serving
from gateway.settings import Settings
from gateway.store import alerts, messages, schema
from gateway.store.writer import KEYS_FILE, RECORD_FILE, VALUES_FILE, Writer
from gateway.verifiers import Verifiers
from gateway.ward import WARM_S, Ward
from gateway.web.app import app as page_app
from gateway.web.hub import Hub
from gateway.web.serve import loopback
from protocol import message
from protocol.content import State
from protocol.errors import Unavailable
from protocol.evidence import Trust

DRAIN_S = 5.0  # when stopping, how long the last commit may take

log = logging.getLogger(__name__)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Gateway:
    """All parts of a running gateway, made but not yet started. Must be made inside the event loop."""

    def __init__(self, settings: Settings, keyring: Keyring, *, trust: Trust | None, admission: bytes | None) -> None:
        state = settings.state
        self.settings, self.keyring, self.trust = settings, keyring, trust
        self.loop = asyncio.get_running_loop()
        self.writer = Writer(state)
        self.record = schema.reader(state / RECORD_FILE)
        self.secrets = schema.reader(state / KEYS_FILE)
        self.values = schema.reader(state / VALUES_FILE)
        for connection in (self.record, self.secrets, self.values):
            connection.execute("PRAGMA schema_version").fetchone()  # opens the file now, with its journal: see `close`
        self.metrics = metrics.Metrics()
        self.refusals = metrics.Refusals(self.metrics, REFUSALS | {"duplicate"} | ENDPOINT_CODES)
        self.directory = Directory(
            data_rate=(settings.data_rate_per_s, settings.data_burst),
            alarm_rate=(settings.alarm_rate_per_s, settings.alarm_burst),
        )
        self.directory.reload(self.record, self.secrets)
        policy = Policy(
            first=("first",) if settings.webhook_first else (),
            second=("second",) if settings.webhook_second else ("first",) if settings.webhook_first else (),
            second_after_s=settings.escalate_after_s,
            ends_after_s=settings.ends_after_s,
        )
        book = Book(policy, alerts.load(self.record, most=REMEMBERED_MAX))
        self.ward = Ward(book=book, settings=DetectSettings(), demo=settings.demo)
        self.hub = Hub()
        self.verifiers = Verifiers(settings.verify_processes)
        self.meanwhile = Meanwhile(
            screen=self.hub, now_ms=now_ms, failed=lambda name: self.metrics.outbox_failed.labels(name).inc()
        )
        self.ward.tell = self.meanwhile.tell
        self.committing = Committing(
            writer=self.writer,
            key=keyring.key,
            secrets=lambda: self.directory.secrets,
            publish=self._publish,
            screen=self.hub,
            meanwhile=self.meanwhile,
            metrics=self.metrics,
            loop=self.loop,
            now_ms=now_ms,
        )
        self.intake = Intake(
            directory=self.directory,
            ward=self.ward,
            committer=self.committing,
            look_up=self._hash_at,
            count=self.refusals.count,
            drop=self.drop,
            hold=self.hold,
            flag=lambda name: self.metrics.clock_flags.labels(name).inc(),
            answered=self._answered,
            loop=self.loop,
            pool=self.verifiers,
        )
        self.committing.after = self.intake.room
        self.endpoints: list[Endpoint] = []
        self.broker: Broker | None = None
        self.duties = Duties(self, admission=admission, now_ms=now_ms)
        self.committing.troubled = self.duties.storage_trouble
        self.desk = Desk(self, now_ms=now_ms)

    def endpoint(self) -> Endpoint:
        """One more listener that feeds the intake."""
        made = Endpoint(sink=self.intake, limits=EndpointLimits(), count=self.refusals.count, now_s=time.monotonic)
        self.endpoints.append(made)
        return made

    async def join(self) -> Broker:
        """Subscribe to the broker of the settings, beside our own listeners. Raises ConfigError."""
        settings = self.settings
        host, port, secure = broker.address(settings.broker_url)
        tls = None
        if secure:
            tls = broker.context(
                ca=settings.broker_ca, certificate=settings.broker_certificate, key=settings.broker_key
            )
        name = f"vigil-{self.keyring.key.public.thumbprint.hex()[:16]}"
        self.broker = Broker(sink=self.intake, count=self.refusals.count, client_id=name)
        await self.broker.start(host, port, tls)
        return self.broker

    def drop(self, device: str, lane: Lane | None = None) -> None:
        """End a device's connections, or its one of `lane`: not authorised."""
        for endpoint in self.endpoints:
            endpoint.disconnect(device, 0x87, lane)

    def hold(self, held: bool) -> None:
        """Stop reading data connections, or read them again."""
        for endpoint in self.endpoints:
            if held:
                endpoint.pause()
            else:
                endpoint.resume()

    def reload(self) -> None:
        """Take up what another process changed: devices, offers, requests of the command line."""
        for device in self.directory.reload(self.record, self.secrets):
            if not self.directory.welcome(device):  # gone, or suspended, or revoked
                self.ward.forget(device)
                self.drop(device)
            elif self.directory.members[device].state == "erasing":
                self.ward.forget(device)
                self.duties.ask_erase(device)

    def warm(self) -> None:
        """Show the detectors the last minute and a half again, and start to wait for every active device."""
        watched = [each for each in self.directory.members.values() if each.state in ("active", "quarantined")]
        try:
            for member, received_ms, seen in warming.contents(self.record, watched, from_ms=now_ms() - WARM_S * 1000):
                self.ward.warm(member.device, [(received_ms, seen)])
        except sqlite3.Error as error:
            log.error("the detectors start cold: %s", error)
        for member in watched:
            self.ward.expect(member.device)

    async def close(self) -> None:
        """Commit what was taken, then let go of everything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self.intake.batch or not self.committing.free:
                    if self.committing.free:
                        self.intake.flush()
                    await self.committing.idle.wait()
        self.writer.close()
        for connection in (self.record, self.secrets, self.values):
            connection.close()  # last, so that journals stay: who starts on a full disk has no room for new ones
        await self.verifiers.close()

    def _publish(self, device: str, topic: str, payload: bytes) -> bool:
        sent = [endpoint.publish(device, topic, payload) for endpoint in self.endpoints]
        if self.broker is not None:
            sent.append(self.broker.publish(device, topic, payload))
        return any(sent)

    def publish(self, device: str, topic: str, payload: bytes) -> bool:
        """Send down to a device, on whichever connection it listens."""
        return self._publish(device, topic, payload)

    def _hash_at(self, row: int, place: message.Position) -> bytes | None:
        try:
            return messages.hash_at(self.record, row, place.lane, place.boot, place.seq)
        except sqlite3.Error as error:
            raise Refusal("queue_full", "the record cannot be read; keep it") from error

    def _answered(self, member: Member, state: State) -> None:
        self.duties.answered(member, state)


async def run(
    settings: Settings,
    keyring: Keyring,
    *,
    trust: Trust | None,
    admission: bytes | None,
    ready: Callable[[Mapping[str, object]], None],
) -> None:
    """Serve until SIGTERM or SIGINT. ready: told the bound ports. Raises ConfigError, Unavailable."""
    loopback(settings.page_host)
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    gateway = Gateway(settings, keyring, trust=trust, admission=admission)
    try:
        gateway.warm()
        async with _listening(gateway) as ports:
            ready(ports)
            await ending.wait()
            gateway.hub.close()
            for endpoint in gateway.endpoints:
                await endpoint.stop()
    finally:
        await gateway.close()


@contextlib.asynccontextmanager
async def _listening(gateway: Gateway) -> AsyncIterator[Mapping[str, object]]:
    """Everything that listens, and the duties; stopped in reverse order."""
    settings, keyring = gateway.settings, gateway.keyring
    endpoint = gateway.endpoint()
    try:
        mqtt_port = await endpoint.start(settings.mqtt_host, settings.mqtt_port, keyring.device_context())
        plain_port = -1
        if settings.plain_port >= 0:
            plain_port = await gateway.endpoint().start("127.0.0.1", settings.plain_port, None)
    except OSError as error:
        where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        raise Unavailable("port_taken", f"cannot listen for devices on {where}: {error.strerror}") from error
    address = settings.mqtt_address or f"{settings.mqtt_host}:{mqtt_port}"
    certificate = (keyring.folder / "server.pem", keyring.folder / "server.key")
    await gateway.verifiers.start()
    async with contextlib.AsyncExitStack() as stack:
        page_port = await stack.enter_async_context(
            serving(
                page_app(gateway.hub, gateway.desk), host=settings.page_host, port=settings.page_port, name="the page"
            )
        )
        pair_port = await stack.enter_async_context(
            serving(
                pair_app.app(gateway, settings={"mqtt": address}, now_ms=now_ms),
                host=settings.pair_host,
                port=settings.pair_port,
                name="pairing",
                certificate=certificate,
            )
        )
        metrics_port = await stack.enter_async_context(
            serving(
                metrics.app(gateway.metrics, gateway.duties.health, gateway.duties.gauges),
                host=settings.metrics_host,
                port=settings.metrics_port,
                name="metrics",
            )
        )
        await stack.enter_async_context(gateway.duties.running())
        if settings.broker_url:
            stack.push_async_callback((await gateway.join()).stop)
        yield {
            "mqtt": mqtt_port,
            "plain": plain_port,
            "page": page_port,
            "pair": pair_port,
            "metrics": metrics_port,
            "address": address,
        }
