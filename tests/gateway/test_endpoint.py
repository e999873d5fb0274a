"""The listener over real sockets on loopback: TLS with certificates on both sides, real clients, and abuse."""

import asyncio
import contextlib
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import mqtt5
import paho.mqtt.client as paho
import pytest
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.ingress import endpoint as endpoint_module
from gateway.ingress.arrival import Arrival
from gateway.ingress.endpoint import Endpoint
from gateway.ingress.limits import ENDPOINT_CODES, EndpointLimits
from gateway.ingress.tls import server_context
from protocol import topics
from protocol.errors import ConfigError
from tests.support.certificates import Authority, Issued, client_context
from tests.support.gatehouse import until
from tests.support.wire import Wire, subscribe
from tests.support.wire import publish as published

DEVICE = "0123456789abcdef"
OTHER = "fedcba9876543210"
UP_DATA = topics.up(DEVICE, topics.DATA)
UP_ALARM = topics.up(DEVICE, topics.ALARM)
RECEIPTS = topics.down_receipt(DEVICE)


class Desk:
    """A sink that keeps what arrives; the test answers."""

    def __init__(self, keys: dict[bytes, str]) -> None:
        self.keys = keys
        self.arrivals: list[Arrival] = []
        self.counts: Counter[str] = Counter()

    def device_of(self, public_key: bytes) -> str | None:
        return self.keys.get(public_key)

    def device_known(self, device: str) -> bool:
        return device in self.keys.values()

    def arrived(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)

    def count(self, name: str) -> None:
        self.counts[name] += 1


def publish(packet_id: int, topic: str = UP_DATA, payload: bytes = b"reading") -> bytes:
    return published(packet_id, topic, payload)


@contextlib.asynccontextmanager
async def listening(
    desk: Desk, context: ssl.SSLContext | None = None, limits: EndpointLimits | None = None
) -> AsyncIterator[tuple[Endpoint, int]]:
    endpoint = Endpoint(sink=desk, limits=limits or EndpointLimits(), count=desk.count, now_s=time.monotonic)
    port = await endpoint.start("127.0.0.1", 0, context)
    try:
        yield endpoint, port
    finally:
        await endpoint.stop()


def plain(
    scene: Callable[[Desk, Endpoint, int], Awaitable[None]], limits: EndpointLimits | None = None
) -> Counter[str]:
    """Plays a scene on the plain listener; the counts."""
    desk = Desk({b"": DEVICE})

    async def play() -> None:
        async with listening(desk, None, limits) as (endpoint, port):
            await scene(desk, endpoint, port)

    asyncio.run(play())
    return desk.counts


class Home:
    """An authority, a server, one paired device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        server = self.authority.server()
        self.context = server_context(certificate=server.certificate, key=server.key, ca=self.authority.ca)
        self.device = self.authority.device(DEVICE)

    def play(self, scene: Callable[[Desk, Endpoint, int], Awaitable[None]]) -> Counter[str]:
        """Plays a scene over TLS; the counts."""
        desk = Desk({self.device.public_key: DEVICE})

        async def play() -> None:
            async with listening(desk, self.context) as (endpoint, port):
                await scene(desk, endpoint, port)

        asyncio.run(play())
        return desk.counts


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A gateway's certificates and one device's."""
    return Home(tmp_path)


class Paho:
    """A real client, connected with a certificate."""

    def __init__(self, port: int, context: ssl.SSLContext, client_id: str) -> None:
        self.acknowledged: list[int] = []
        self.received: list[tuple[str, bytes]] = []
        self.connected: list[ReasonCode] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_message = lambda _c, _u, message: self.received.append((message.topic, message.payload))
        self.client.connect("127.0.0.1", port, keepalive=60)
        self.client.loop_start()

    def _on_connect(
        self, _c: paho.Client, _u: object, _f: paho.ConnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        self.connected.append(code)

    def _on_publish(self, _c: paho.Client, _u: object, mid: int, _code: ReasonCode, _p: Properties | None) -> None:
        self.acknowledged.append(mid)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_paho_gets_its_puback_only_when_the_message_is_answered(home: Home) -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        client = await asyncio.to_thread(Paho, port, client_context(home.authority, home.device), f"{DEVICE}-data")
        try:
            await until(lambda: bool(client.connected))
            assert not client.connected[0].is_failure
            sent = client.client.publish(UP_DATA, b"reading", qos=1)
            await until(lambda: bool(desk.arrivals))
            arrival = desk.arrivals[0]
            assert (arrival.device, arrival.lane_connection, arrival.topic) == (DEVICE, "data", UP_DATA)
            assert arrival.payload == b"reading" and abs(arrival.received_ms - time.time() * 1000) < 10_000
            await asyncio.sleep(0.2)
            assert client.acknowledged == []
            arrival.answer(0)
            arrival.answer(0)
            await until(lambda: client.acknowledged == [sent.mid])
        finally:
            await asyncio.to_thread(client.close)

    assert home.play(scene)["closed_by_device"] == 1


def test_paho_receives_a_down_message_of_its_own(home: Home) -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        client = await asyncio.to_thread(Paho, port, client_context(home.authority, home.device), f"{DEVICE}-data")
        try:
            await until(lambda: bool(client.connected))
            assert endpoint.publish(DEVICE, RECEIPTS, b"receipt") is False
            client.client.subscribe(RECEIPTS, qos=1)
            await until(lambda: endpoint.publish(DEVICE, RECEIPTS, b"receipt"))
            await until(lambda: (RECEIPTS, b"receipt") in client.received)
            assert endpoint.publish(OTHER, RECEIPTS, b"receipt") is False
        finally:
            await asyncio.to_thread(client.close)

    home.play(scene)


@pytest.mark.parametrize(
    "who", ["nobody", "another authority", "unknown key", "another kind of key", "expecting tls 1.2"]
)
def test_a_peer_without_an_enrolled_certificate_is_refused(home: Home, who: str) -> None:
    issued: Issued | None = home.device
    (home.folder / "other").mkdir()
    if who == "nobody":
        issued = None
    elif who == "another authority":
        issued = Authority(home.folder / "other", "other").device(DEVICE)
    elif who == "unknown key":
        issued = home.authority.device(OTHER)
    elif who == "another kind of key":
        issued = home.authority.device(OTHER, elliptic=True)
    context = client_context(home.authority, issued)
    if who == "expecting tls 1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            wire = await Wire.dial(port, context)
            wire.write(mqtt5.ConnectPacket(f"{DEVICE}-data", clean_start=True).write())
            assert await wire.end() == []
        await until(lambda: desk.counts["refused_tls"] + desk.counts["refused_certificate"] == 1)
        assert endpoint.open_connections == 0

    home.play(scene)


def test_another_devices_client_id_is_refused_and_so_is_a_revoked_device(home: Home) -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        context = client_context(home.authority, home.device)
        wire = await Wire.dial(port, context)
        wire.write(mqtt5.ConnectPacket(f"{OTHER}-data", clean_start=True).write())
        (answer,) = await wire.end()
        assert isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code == 0x87
        late = await Wire.dial(port, context)
        await asyncio.sleep(0.05)
        desk.keys.clear()
        late.write(mqtt5.ConnectPacket(f"{DEVICE}-data", clean_start=True).write())
        (answer,) = await late.end()
        assert isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code == 0x87

    assert home.play(scene)["closed_not_yours"] == 2


def test_a_second_connection_takes_the_first_over_and_the_other_lane_stays() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        first = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        alarm = await (await Wire.dial(port)).connect(f"{DEVICE}-alarm")
        first.write(publish(1))
        await until(lambda: len(desk.arrivals) == 1)
        second = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        (goodbye,) = await first.end()
        assert isinstance(goodbye, mqtt5.DisconnectPacket) and goodbye.reason_code == 0x8E
        desk.arrivals[0].answer(0)  # harmless: its connection is gone
        second.write(publish(1))
        alarm.write(publish(1, UP_ALARM))
        await until(lambda: len(desk.arrivals) == 3 and endpoint.open_connections == 2)
        assert {arrival.lane_connection for arrival in desk.arrivals[1:]} == {"data", "alarm"}

    plain(scene)


def test_the_answers_of_one_commit_leave_in_one_write() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        wire = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        wire.write(*(publish(at) for at in range(1, 33)))
        await until(lambda: len(desk.arrivals) == 32)
        for arrival in desk.arrivals:
            arrival.answer(0)
        first = await wire.reader.read(65_536)
        assert len(first) == 32 * 4

    plain(scene)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"".join(publish(at) for at in range(1, 34)), 0x93),
        (mqtt5.PublishPacket(UP_DATA, b"", qos=mqtt5.QoS.EXACTLY_ONCE, packet_id=1).write(), 0x9B),
        (mqtt5.PublishPacket(UP_DATA, b"", retain=True).write(), 0x9A),
        (publish(1, payload=b"x" * 9000), 0x95),
        (b"\x32\x05\x00\x01\xff\x00\x01", 0x81),
    ],
)
def test_abuse_is_told_why_and_closed(sent: bytes, reason: int) -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        wire = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        wire.write(sent)
        goodbye = (await wire.end())[-1]
        assert isinstance(goodbye, mqtt5.DisconnectPacket) and goodbye.reason_code == reason
        await until(lambda: endpoint.open_connections == 0)

    plain(scene)


def test_garbage_and_older_clients_are_closed() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        web = await Wire.dial(port)
        web.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await web.reader.read() == b""
        older = await Wire.dial(port)
        older.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a")
        assert await older.reader.read() == b"\x20\x02\x00\x01"

    counts = plain(scene)
    assert counts["closed_not_mqtt"] == counts["closed_version"] == 1


@pytest.mark.slow
def test_half_a_connect_is_closed_after_5_s() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        wire = await Wire.dial(port)
        wire.write(mqtt5.ConnectPacket(f"{DEVICE}-data", clean_start=True).write()[:9])
        began_s = time.monotonic()
        assert await wire.end() == []
        assert 4.5 < time.monotonic() - began_s < 6.5

    assert plain(scene)["closed_no_connect"] == 1


def test_a_handshake_that_stalls_is_cut(home: Home) -> None:
    async def scene() -> None:
        desk = Desk({})
        async with listening(desk, home.context, EndpointLimits(handshake_s=0.3)) as (_, port):
            wire = await Wire.dial(port)
            wire.write(b"\x16\x03\x01")
            assert await wire.end() == []
            await until(lambda: desk.counts["refused_tls"] == 1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (EndpointLimits(sockets_per_address=3), "refused_sockets_address"),
        (EndpointLimits(sockets=3), "refused_sockets"),
    ],
)
def test_sockets_that_have_not_connected_are_capped(limits: EndpointLimits, name: str) -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        opened = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        idle = [await Wire.dial(port) for _ in range(3)]
        assert await (await Wire.dial(port)).end() == []
        idle[0].writer.close()
        await until(lambda: desk.counts["closed_lost"] == 1)
        await (await Wire.dial(port)).connect(f"{DEVICE}-alarm")
        opened.write(publish(1))
        await until(lambda: len(desk.arrivals) == 1)

    assert plain(scene, limits)[name] == 1


def test_a_slow_reader_loses_down_messages_first_and_then_the_connection() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        wire = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.write(subscribe(RECEIPTS))
        await until(lambda: endpoint.publish(DEVICE, RECEIPTS, b"x"))
        for _ in range(2000):
            endpoint.publish(DEVICE, RECEIPTS, b"x" * 8000)
            await asyncio.sleep(0)
            if desk.counts["dropped_down"]:
                break
        assert desk.counts["dropped_down"] and endpoint.open_connections == 1
        for number in range(2_000):
            wire.write(publish(number % 32 + 1, payload=bytes(600)))  # fewer than 32 of these fill a read
            await until(lambda: len(desk.arrivals) > number or endpoint.open_connections == 0)  # noqa: B023
            if endpoint.open_connections == 0:
                break
            desk.arrivals[-1].answer(0)
        assert desk.counts["closed_slow_reader"] == 1

    plain(scene, EndpointLimits(write_buffer_bytes=34_000))


def test_a_pause_stops_data_never_alarms_and_ends_by_itself() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        data = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        alarm = await (await Wire.dial(port)).connect(f"{DEVICE}-alarm")
        endpoint.pause()
        data.write(publish(1))
        alarm.write(publish(1, UP_ALARM))
        await until(lambda: len(desk.arrivals) == 1)
        await asyncio.sleep(0.05)
        assert [arrival.lane_connection for arrival in desk.arrivals] == ["alarm"]
        await until(lambda: len(desk.arrivals) == 2)
        endpoint.pause()  # too soon after one that ran its whole time
        data.write(publish(2))
        await until(lambda: len(desk.arrivals) == 3, within_s=0.2)

    plain(scene, EndpointLimits(pause_s=0.3, pause_rest_s=0.5))


def test_resume_ends_a_pause_and_a_connection_opened_meanwhile_was_paused_too() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        endpoint.pause()
        data = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        data.write(publish(1))
        await asyncio.sleep(0.05)
        assert desk.arrivals == []
        endpoint.resume()
        await until(lambda: len(desk.arrivals) == 1)

    plain(scene)


def test_disconnect_ends_both_connections_with_the_reason() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        wires = [await (await Wire.dial(port)).connect(f"{DEVICE}-{lane}") for lane in ("alarm", "data")]
        endpoint.disconnect(DEVICE, 0x98)
        for wire in wires:
            (goodbye,) = await wire.end()
            assert isinstance(goodbye, mqtt5.DisconnectPacket) and goodbye.reason_code == 0x98

    assert plain(scene)["closed_by_gateway"] == 2


def test_stopping_says_goodbye() -> None:
    async def scene(desk: Desk, endpoint: Endpoint, port: int) -> None:
        wire = await (await Wire.dial(port)).connect(f"{DEVICE}-data")
        ending = asyncio.create_task(wire.end())
        await endpoint.stop()
        (goodbye,) = await ending
        assert isinstance(goodbye, mqtt5.DisconnectPacket) and goodbye.reason_code == 0x8B
        with pytest.raises(ConnectionError):
            await Wire.dial(port)

    plain(scene)


def test_a_plain_listener_is_for_loopback_only() -> None:
    async def scene() -> None:
        desk = Desk({})
        endpoint = Endpoint(sink=desk, limits=EndpointLimits(), count=desk.count, now_s=time.monotonic)
        with pytest.raises(ConfigError, match="plain_listener"):
            await endpoint.start("0.0.0.0", 0, None)

    asyncio.run(scene())


def test_everything_that_the_listener_counts_has_its_name_in_the_closed_set() -> None:
    folder = Path(endpoint_module.__file__).parent
    texts = {path.stem: path.read_text() for path in folder.glob("*.py") if path.stem != "limits"}
    said = set(re.findall(r'"((?:accept|closed|dropped|refused)_[a-z0-9_]+)"', "".join(texts.values())))
    said |= set(re.findall(r'_count, "([a-z_]+)"', texts["broker"]))
    said |= {f"closed_{code}" for code in re.findall(r'Malformed\("(mqtt_[a-z_]+)"', "".join(texts.values()))}
    assert said == ENDPOINT_CODES
