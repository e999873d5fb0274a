"""A real gateway on loopback behind its real listener with TLS, an honest neighbour who sends all the while, and room for others.

The listener's clock is the test's, so that a minute passes at once; everything else is as it is in a home.
"""

import asyncio
import contextlib
import datetime
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import mqtt5

from gateway import keyring
from gateway.ingress.endpoint import Endpoint
from gateway.ingress.limits import EndpointLimits
from protocol import delivery, topics
from protocol.message import message_hash
from tests.support.gatehouse import House, enrol, open_house, until
from tests.support.sealed import Sender, alarm, reading
from tests.support.wire import Wire, publish, subscribe

READING_EVERY_S = 0.02
IN_FLIGHT_MAX = 20  # as a paho client sends
ALARM_WITHIN_S = 3.0  # from the press until it is on the disk and acknowledged: 50 ms, but machines that test are busy
TICK_S = 0.02
PING, PING_EVERY = b"\xc0\x00", 10  # readings
CALL_EVERY_S = 1.2  # more slowly than the bucket fills
KINDS = {"button": "button", "fall": "device_fall", "tamper": "tamper"}  # alerts by the alarms that raise them


class Steady:
    """A steady clock that can be put forward."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    async def forward(self, seconds: int) -> None:
        """Time goes by in small steps, and the listener notices each."""
        for _ in range(seconds):
            self._ahead_s += 1
            await asyncio.sleep(1.5 * TICK_S)


@dataclass(slots=True)
class Street:
    """house: the gateway; certificates: a folder with NAME.pem and NAME.key of every sender."""

    house: House
    endpoint: Endpoint
    port: int
    clock: Steady
    certificates: Path

    def context(self, who: Sender | None) -> ssl.SSLContext:
        """TLS as a device has it, or as somebody without a certificate."""
        context = ssl.create_default_context(cadata=self.house.gateway.keyring.ca_pem)
        if who is not None:
            context.load_cert_chain(self.certificates / f"{who.name}.pem", self.certificates / f"{who.name}.key")
        return context

    async def dial(self, who: Sender | None, *, source: str = "127.0.0.1") -> Wire:
        """A TLS connection, nothing said yet."""
        return await Wire.dial(self.port, self.context(who), source=source)

    async def connect(self, who: Sender, lane: str = "data") -> Wire:
        """An open MQTT connection."""
        return await (await self.dial(who)).connect(f"{who.device}-{lane}")

    def count(self, code: str) -> int:
        """How often something was refused or closed, as /metrics says it."""
        found = self.house.gateway.metrics.registry.get_sample_value("vigil_refusals_total", {"code": code})
        assert found is not None, f"{code} is not in the closed set"
        return int(found)

    def counted(self) -> dict[str, int]:
        """Every counter of refusals and closes that moved."""
        return {code: self.count(code) for code in self.house.gateway.refusals._children if self.count(code)}

    async def answered(self, wire: Wire, *sent: bytes) -> list[int]:
        """The PUBACK reasons to these packets, in the order of the packet identifiers."""
        wire.write(*sent)
        found: dict[int, int] = {}
        while len(found) < len(sent):
            packet = await wire.packet()
            if isinstance(packet, mqtt5.PubAckPacket):
                found[packet.packet_id] = int(packet.reason_code)
        return [found[packet_id] for packet_id in sorted(found)]


def certify(house_folder: Path, folder: Path, senders: tuple[Sender, ...]) -> None:
    """Certificates of these devices, by the gateway's own authority, as files for TLS."""
    ring = keyring.opened(house_folder, names=(), now=datetime.datetime.now(datetime.UTC))
    for sender in senders:
        (folder / f"{sender.name}.pem").write_text(ring.device_certificate(sender.device, sender.key.public.x))
        (folder / f"{sender.name}.key").write_text(sender.key.pem())


@dataclass(slots=True)
class Neighbour:
    """Sends a reading every 20 ms and now and then an alarm, reads its receipts, and notes how long each alarm took."""

    who: Sender
    street: Street
    unreceipted: dict[int, bytes] = field(default_factory=dict)
    sent: int = 0
    refused: list[int] = field(default_factory=list)
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)
    took_s: list[float] = field(default_factory=list)  # by each alarm, which have the sequence numbers from 0 on

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Sends while the block runs, then waits for the last receipt, and holds the gateway to its promises."""
        data, alarms = [await self.street.connect(self.who, lane) for lane in ("data", "alarm")]
        data.write(subscribe(topics.down_receipt(self.who.device)))
        in_flight: set[int] = set()
        tasks = [
            asyncio.create_task(self._read(data, in_flight)),
            asyncio.create_task(self._send(data, alarms, in_flight)),
        ]
        try:
            await until(lambda: self.sent > 2)
            await self._call(alarms, "button")
            calling = asyncio.create_task(self._call_on(alarms))
            tasks.append(calling)
            yield
            self._quiet.set()
            await calling
            tasks.remove(calling)
            await self._call(alarms, "tamper")
            tasks[1].cancel()
            await until(lambda: not self.unreceipted)
            assert not any(task.done() and not task.cancelled() for task in tasks), "its connection was closed"
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        self._hold()
        for wire in (data, alarms):
            wire.writer.close()

    def _hold(self) -> None:
        house = self.street.house
        stored = house.record(
            "SELECT m.lane, COUNT(*) FROM message m JOIN device d ON d.id = m.device WHERE d.device = ? GROUP BY m.lane",
            self.who.device,
        )
        assert dict(stored) == {topics.ALARM: len(self.took_s), topics.DATA: self.sent} and self.refused == []
        raised = house.record("SELECT kind FROM alert WHERE device = ?", self.who.device)
        assert sorted(kind for (kind,) in raised) == sorted(KINDS.values())
        assert max(self.took_s) < ALARM_WITHIN_S, f"an alarm took {max(self.took_s):.3f} s"

    async def _call_on(self, wire: Wire) -> None:
        while not self._quiet.is_set():
            await self._call(wire, "fall")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALL_EVERY_S):
                    await self._quiet.wait()

    async def _call(self, wire: Wire, kind: str) -> None:
        """Press, and wait for the acknowledgement: the alarm of a kind is raised, and its alert is on the disk, by then."""
        number, began_s = len(self.took_s), time.monotonic()
        raw = self.who.seal(alarm(number, kind=kind, at_ms=time.time_ns() // 1_000_000), number)
        (reason,) = await self.street.answered(wire, publish(1, self.who.up(topics.ALARM), raw))
        self.took_s.append(time.monotonic() - began_s)
        assert reason == 0
        sql = "SELECT 1 FROM alert WHERE device = ? AND kind = ?"
        assert self.street.house.record(sql, self.who.device, KINDS[kind]), "acknowledged, and no alert on the disk"

    async def _send(self, wire: Wire, alarms: Wire, in_flight: set[int]) -> None:
        while True:
            if self.sent % PING_EVERY == 0:
                alarms.write(PING)  # or a test's minute would make it a silent connection
            if len(in_flight) < IN_FLIGHT_MAX:
                raw = self.who.seal(reading(self.sent, at_ms=time.time_ns() // 1_000_000), self.sent)
                self.unreceipted[self.sent] = message_hash(raw)
                packet_id = self.sent % 60_000 + 1
                in_flight.add(packet_id)
                self.sent += 1
                wire.write(publish(packet_id, self.who.up(), raw))
            await asyncio.sleep(READING_EVERY_S)

    async def _read(self, wire: Wire, in_flight: set[int]) -> None:
        key = self.street.house.gateway.keyring.key.public
        while True:
            packet = await wire.packet()
            if isinstance(packet, mqtt5.PubAckPacket):
                in_flight.discard(packet.packet_id)
                if int(packet.reason_code):
                    self.refused.append(int(packet.reason_code))
            elif isinstance(packet, mqtt5.PublishPacket):
                receipt = delivery.read(packet.payload, packet.topic, key)
                if receipt.lane != topics.DATA:
                    continue
                covered = [seq for first, last in receipt.ranges for seq in range(first, last + 1)]
                assert receipt.refused == () and receipt.digest == delivery.digest(
                    self.unreceipted.pop(seq) for seq in covered
                )


@contextlib.asynccontextmanager
async def open_street(
    state: Path, certificates: Path, *, limits: EndpointLimits | None = None, **settings: object
) -> AsyncIterator[Street]:
    """The gateway of a folder behind its listener."""
    async with open_house(state, **settings) as house:
        clock = Steady()
        gateway = house.gateway
        endpoint = Endpoint(
            sink=gateway.intake,
            limits=limits or EndpointLimits(tick_s=TICK_S),
            count=gateway.refusals.count,
            now_s=clock,
        )
        gateway.endpoints.append(endpoint)
        port = await endpoint.start("127.0.0.1", 0, gateway.keyring.device_context())
        try:
            yield Street(house, endpoint, port, clock, certificates)
        finally:
            await endpoint.stop()


ADA, MALLORY = Sender("Ada"), Sender("Mallory")  # the neighbour, and who attacks
Scene = Callable[[Street], Awaitable[None]]


class Town:
    """A gateway's folder with both devices paired, made once, copied for each scene."""

    def __init__(self, folder: Path) -> None:
        self.state, self.certificates = folder / "state", folder / "certificates"
        self.state.mkdir()
        self.certificates.mkdir()
        certify(self.state, self.certificates, (ADA, MALLORY))
        enrol(self.state, ADA, MALLORY)

    def play(self, scene: Scene, folder: Path, *, limits: EndpointLimits | None = None, **values: object) -> Street:
        """A scene with the neighbour at home."""
        shutil.copytree(self.state, folder / "state")

        async def play() -> Street:
            async with open_street(folder / "state", self.certificates, limits=limits, **values) as street:
                async with Neighbour(ADA, street).living():
                    await scene(street)
                return street

        return asyncio.run(play())
