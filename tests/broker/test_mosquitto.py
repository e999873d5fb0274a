"""The gateway behind a real Mosquitto: a message is the broker's to keep until its answer."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from gateway.ingress.arrival import Arrival
from gateway.ingress.broker import Broker
from protocol import topics

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
pytestmark = [pytest.mark.broker, pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not here")]

DEVICE = "0123456789abcdef"
UP_DATA = topics.up(DEVICE, topics.DATA)
UP_ALARM = topics.up(DEVICE, topics.ALARM)


class Desk:
    """A sink that keeps what arrives; the test answers."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.counts: Counter[str] = Counter()

    def device_of(self, public_key: bytes) -> str | None:
        return None

    def device_known(self, device: str) -> bool:
        return False

    def arrived(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)

    def count(self, name: str) -> None:
        self.counts[name] += 1


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The loopback port of a Mosquitto of our own."""
    assert MOSQUITTO is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 500\n"
    )
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline_s, (tmp_path / "log").read_text()
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(5)


async def until(reached: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline_s, "did not happen in time"
        await asyncio.sleep(0.01)


def send(port: int, *messages: tuple[str, bytes]) -> None:
    """A device that publishes at QoS 1 and waits for the broker's PUBACKs."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, f"{DEVICE}-data", protocol=paho.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


async def joined(port: int, desk: Desk) -> Broker:
    """An adapter whose subscription is in force: a message of QoS 0 has come through."""
    broker = Broker(sink=desk, count=desk.count, client_id="gateway")
    await broker.start("127.0.0.1", port, None)
    await until(lambda: broker.connected)
    probe = topics.up(DEVICE, topics.STATE)

    def heard() -> bool:
        broker.publish(DEVICE, probe, b"probe")
        return any(arrival.topic == probe for arrival in desk.arrivals)

    await until(heard)
    await asyncio.sleep(0.1)
    desk.arrivals[:] = [arrival for arrival in desk.arrivals if arrival.topic != probe]
    return broker


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    asyncio.run(main())


def test_a_message_is_delivered_and_once_answered_never_again(port: int) -> None:
    async def scene() -> None:
        desk = Desk()
        broker = await joined(port, desk)
        await asyncio.to_thread(send, port, (UP_DATA, b"reading"), (UP_ALARM, b"alarm"))
        await until(lambda: len(desk.arrivals) == 2)
        first, second = desk.arrivals
        assert (first.device, first.lane_connection, first.payload) == (DEVICE, "data", b"reading")
        assert (second.device, second.lane_connection, second.payload) == (DEVICE, "alarm", b"alarm")
        first.answer(0)
        second.answer(0x99)
        second.answer(0)
        await asyncio.sleep(0.2)
        await broker.stop()
        again = Desk()
        broker = await joined(port, again)
        assert again.arrivals == []
        await broker.stop()

    play(scene)


def test_a_message_that_was_not_answered_comes_again_after_a_reconnect(port: int) -> None:
    async def scene() -> None:
        desk = Desk()
        broker = await joined(port, desk)
        await asyncio.to_thread(send, port, (UP_DATA, b"one"), (UP_DATA, b"two"))
        await until(lambda: len(desk.arrivals) == 2)
        desk.arrivals[0].answer(0)
        await asyncio.sleep(0.2)
        await broker.stop()
        again = Desk()
        broker = await joined(port, again)
        assert [arrival.payload for arrival in again.arrivals] == [b"two"]
        again.arrivals[0].answer(0)
        await asyncio.sleep(0.2)
        await broker.stop()
        last = Desk()
        broker = await joined(port, last)
        assert last.arrivals == []
        await broker.stop()

    play(scene)


class Cable:
    """A port before the broker's that can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def lay(self) -> int:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        laid: int = server.sockets[0].getsockname()[1]
        return laid

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def test_an_answer_from_before_a_reconnect_acknowledges_nothing(port: int) -> None:
    async def scene() -> None:
        desk = Desk()
        cable = Cable(port)
        broker = await joined(await cable.lay(), desk)
        await asyncio.to_thread(send, port, (UP_DATA, b"reading"))
        await until(lambda: len(desk.arrivals) == 1)
        cable.cut()
        await until(lambda: len(desk.arrivals) == 2)  # the broker gives the same message, under the same identifier
        desk.arrivals[0].answer(0)
        await asyncio.sleep(0.2)
        await broker.stop()
        again = Desk()
        broker = await joined(port, again)
        assert [arrival.payload for arrival in again.arrivals] == [b"reading"]
        await broker.stop()

    play(scene)


def test_a_topic_that_is_no_devices_is_counted_and_not_kept(port: int) -> None:
    async def scene() -> None:
        desk = Desk()
        broker = await joined(port, desk)
        await asyncio.to_thread(send, port, ("vigil/1/NOBODY/up/data", b"x"), (UP_DATA, b"reading"))
        await until(lambda: len(desk.arrivals) == 1)
        assert desk.arrivals[0].topic == UP_DATA and desk.counts["refused_topic"] == 1
        await broker.stop()

    play(scene)
