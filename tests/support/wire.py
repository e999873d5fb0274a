"""A bare MQTT client on asyncio that writes whatever packets a test gives it, and reads what comes back."""

import asyncio
import contextlib
import ssl

import mqtt5

READ_S = 8.0  # a server that says nothing for so long says nothing


class Wire:
    """One connection. Nothing is sent but what the test writes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._rest = b""

    @classmethod
    async def dial(cls, port: int, context: ssl.SSLContext | None = None, *, source: str = "127.0.0.1") -> "Wire":
        """A connection to a loopback port, from a loopback address."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(source, 0)))

    def write(self, *sent: bytes) -> None:
        """Send bytes, soon."""
        self.writer.write(b"".join(sent))

    async def packet(self) -> mqtt5.Packet:
        """The next packet."""
        while True:
            with contextlib.suppress(IndexError):
                packet, used = mqtt5.read(memoryview(self._rest))
                self._rest = self._rest[used:]
                return packet
            more = await self._more()
            assert more, "closed"
            self._rest += more

    async def end(self) -> list[mqtt5.Packet]:
        """Every packet until the server closes."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while more := await self._more():
                self._rest += more
        packets = []
        while self._rest:
            packet, used = mqtt5.read(memoryview(self._rest))
            packets.append(packet)
            self._rest = self._rest[used:]
        return packets

    async def _more(self) -> bytes:
        async with asyncio.timeout(READ_S):  # wait_for of Python 3.11 may swallow a cancellation
            return await self.reader.read(65_536)

    async def connect(self, client_id: str) -> "Wire":
        """Open the MQTT connection."""
        self.write(mqtt5.ConnectPacket(client_id, clean_start=True).write())
        answer = await self.packet()
        assert isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code == 0
        return self


def publish(packet_id: int, topic: str, payload: bytes) -> bytes:
    """A PUBLISH of QoS 1."""
    return mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id).write()


def subscribe(*patterns: str) -> bytes:
    """A SUBSCRIBE to all of these."""
    return mqtt5.SubscribePacket(7, [mqtt5.TopicFilter(pattern) for pattern in patterns]).write()


def reason_of(packets: list[mqtt5.Packet]) -> int | None:
    """What the server said when it closed."""
    said = packets[-1] if packets else None
    if isinstance(said, mqtt5.DisconnectPacket | mqtt5.ConnAckPacket):
        return int(said.reason_code)
    return None
