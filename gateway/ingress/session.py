"""One MQTT 5 connection as a state machine without sockets or clocks. wire.md, "Connection".

`feed` takes bytes in any chunks and returns what to do; `answer` turns a verdict into a PUBACK; `tick` finds the dead.
Every close and refusal has a name for a counter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import mqtt5

from gateway.ingress import packets
from protocol import topics
from protocol.errors import Malformed

Lane = Literal["alarm", "data"]

# Reason codes of MQTT 5, table 2-6, as far as they are said here.
NORMAL: Final = 0x00
MALFORMED: Final = 0x81
PROTOCOL_ERROR: Final = 0x82
UNSUPPORTED_VERSION: Final = 0x84
CLIENT_ID_NOT_VALID: Final = 0x85
NOT_AUTHORIZED: Final = 0x87
SHUTTING_DOWN: Final = 0x8B
BAD_AUTHENTICATION_METHOD: Final = 0x8C
KEEP_ALIVE_TIMEOUT: Final = 0x8D
TAKEN_OVER: Final = 0x8E
RECEIVE_MAXIMUM_EXCEEDED: Final = 0x93
TOPIC_ALIAS_INVALID: Final = 0x94
PACKET_TOO_LARGE: Final = 0x95
RATE_TOO_HIGH: Final = 0x96
QUOTA_EXCEEDED: Final = 0x97
PAYLOAD_INVALID: Final = 0x99
RETAIN_NOT_SUPPORTED: Final = 0x9A
QOS_NOT_SUPPORTED: Final = 0x9B
SHARED_NOT_SUPPORTED: Final = 0x9E
MAXIMUM_CONNECT_TIME: Final = 0xA0
SUBSCRIPTION_ID_NOT_SUPPORTED: Final = 0xA1
WILDCARD_NOT_SUPPORTED: Final = 0xA2

RECEIVE_MAXIMUM: Final = 32  # not below 20: paho sends 20 at once whatever it was told
KEEP_ALIVE_S: Final = 15
DEAD_AFTER_S: Final = 22.5  # one and a half times the keep alive (MQTT 5, section 3.1.2.10)
CONNECT_WITHIN_S: Final = 5.0
PARTIAL_PACKET_S: Final = 10.0  # 8 KiB at 7 kbit/s; whoever is slower holds a buffer for nothing
CHATTER_MAX, CHATTER_S = 100, 10.0  # packets in so many seconds that bring no message; a device sends a few in a minute
CONNECT_BYTES_MAX: Final = 1000
# Whole packets: a message of at most 8 KiB and what MQTT puts around it (topic, length, identifier, properties).
OVERHEAD_BYTES: Final = 108
PACKET_BYTES_MAX: Final[dict[Lane, int]] = {"alarm": 1000, "data": 8192 + OVERHEAD_BYTES}
LANES_OF: Final[dict[Lane, tuple[int, ...]]] = {"alarm": (topics.ALARM,), "data": (topics.DATA, topics.STATE)}

_QOS1 = 0x32  # a PUBLISH of QoS 1, neither retained nor sent again
_QOS1_AGAIN = 0x3A


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The CONNECT was accepted; whoever holds the same client id is taken over (0x8E)."""

    client_id: str
    device: str
    lane: Lane


@dataclass(frozen=True, slots=True)
class Published:
    """A message on one of the connection's own topics. `packet_id` 0 and `token` 0: QoS 0, nobody waits."""

    topic: str
    payload: bytes
    packet_id: int
    token: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Something was refused and the connection lives on; `name` is for a counter."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Close, after what was to be sent; `name` is for a counter."""

    reason: int
    name: str


Action = Send | Opened | Published | Refused | Closed


class _Stop(Exception):
    """Ends the connection: `farewell` is sent first."""

    def __init__(self, reason: int, name: str, farewell: bytes) -> None:
        self.closed = Closed(reason=reason, name=name)
        self.farewell = farewell


def _leave(reason: int, name: str) -> _Stop:
    return _Stop(reason, name, packets.disconnect(reason))


class Session:
    """`may_connect` says whether this peer may be `device`: over TLS the certificate's device and no other.
    Times are seconds of any steady clock."""

    def __init__(self, *, may_connect: Callable[[str], bool], now_s: float) -> None:
        self.device = ""
        self.lane: Lane | None = None
        self.closed = False
        self._may_connect = may_connect
        self._since_s = now_s
        self._heard_s = now_s
        self._chatter_since_s, self._chatter = now_s, 0
        self._partial_since_s: float | None = None
        self._rest = b""
        self._bytes_max = CONNECT_BYTES_MAX
        self._peer_bytes_max: int | None = None
        self._up: dict[bytes, str] = {}
        self._down: frozenset[str] = frozenset()
        self._subscribed: set[str] = set()
        self._waiting: dict[int, int] = {}  # packet identifier -> token, so that a late second answer hits nothing
        self._token = 0

    @property
    def in_flight(self) -> int:
        """How many messages wait for `answer`."""
        return len(self._waiting)

    def feed(self, data: bytes, now_s: float) -> list[Action]:
        """What to do about these bytes. Never raises for what the peer sent; after a close it does nothing."""
        actions: list[Action] = []
        if self.closed:
            return actions
        buffer = self._rest + data if self._rest else data
        end = len(buffer)
        at = 0
        try:
            while at < end:
                if self.lane is None and buffer[at] != packets.CONNECT << 4:
                    # Before its CONNECT a peer is told nothing, so that a scanner learns nothing.
                    raise _Stop(PROTOCOL_ERROR, "closed_not_mqtt", b"")
                body, after = packets.frame_end(buffer, at)
                if not body:
                    break
                if after - at > self._bytes_max:
                    raise self._too_large()
                if after > end:
                    break
                self._heard_s = now_s
                self._packet(buffer, at, body, after, actions)
                at = after
        except _Stop as stop:
            self._stop(stop, actions)
            return actions
        except Malformed as error:
            self._stop(self._malformed(error.code), actions)
            return actions
        if at < end:
            if at or self._partial_since_s is None:
                self._partial_since_s = now_s
            self._rest = buffer[at:]
        else:
            self._partial_since_s = None
            self._rest = b""
        return actions

    def answer(self, packet_id: int, token: int, reason: int) -> bytes:
        """The PUBACK for one published message, b"" when none is due (QoS 0, answered before, closed)."""
        if self._waiting.get(packet_id) != token or self.closed:
            return b""
        del self._waiting[packet_id]
        return packets.puback(packet_id, reason)

    def down(self, topic: str, payload: bytes) -> bytes | None:
        """A QoS 0 PUBLISH to this device; None when it has not subscribed `topic` or would not take the size."""
        if topic not in self._subscribed or self.closed:
            return None
        packet = mqtt5.PublishPacket(topic, payload).write()
        if self._peer_bytes_max is not None and len(packet) > self._peer_bytes_max:
            return None
        return packet

    def close(self, reason: int, name: str) -> list[Action]:
        """Ends the connection from our side."""
        actions: list[Action] = []
        if not self.closed:
            self._stop(_leave(reason, name) if self.lane else _Stop(reason, name, b""), actions)
        return actions

    def tick(self, now_s: float) -> list[Action]:
        """Closes a connection that sent no CONNECT in time, fell silent, or lets a packet trickle."""
        if self.lane is None and now_s - self._since_s >= CONNECT_WITHIN_S:
            return self.close(MAXIMUM_CONNECT_TIME, "closed_no_connect")
        if self._partial_since_s is not None and now_s - self._partial_since_s >= PARTIAL_PACKET_S:
            return self.close(KEEP_ALIVE_TIMEOUT, "closed_trickle")
        if now_s - self._heard_s >= DEAD_AFTER_S:
            return self.close(KEEP_ALIVE_TIMEOUT, "closed_silent")
        return []

    def excuse(self, unread_s: float) -> None:
        """Does not count the seconds during which we did not read against the peer."""
        self._heard_s += unread_s
        if self._partial_since_s is not None:
            self._partial_since_s += unread_s

    def _stop(self, stop: _Stop, actions: list[Action]) -> None:
        self.closed = True
        self._rest = b""
        self._waiting.clear()
        self._subscribed.clear()
        if stop.farewell:
            actions.append(Send(stop.farewell))
        actions.append(stop.closed)

    def _too_large(self) -> _Stop:
        if self.lane is None:
            return _Stop(PACKET_TOO_LARGE, "closed_too_large", packets.connack_refused(PACKET_TOO_LARGE))
        return _leave(PACKET_TOO_LARGE, "closed_too_large")

    def _malformed(self, code: str) -> _Stop:
        if self.lane is None:
            return _Stop(MALFORMED, f"closed_{code}", packets.connack_refused(MALFORMED))
        return _leave(MALFORMED, f"closed_{code}")

    def _packet(self, buffer: bytes, at: int, body: int, after: int, actions: list[Action]) -> None:
        first = buffer[at]
        if first in (_QOS1, _QOS1_AGAIN):
            topic_at = body + 2
            topic_end = topic_at + (buffer[body] << 8) + buffer[body + 1] if after > topic_at else after
            payload_at = topic_end + 3
            topic = self._up.get(buffer[topic_at:topic_end])
            if topic is not None and payload_at <= after and buffer[payload_at - 1] == 0:  # no properties
                packet_id = (buffer[topic_end] << 8) | buffer[topic_end + 1]
                token = self._take(packet_id)
                actions.append(Published(topic, buffer[payload_at:after], packet_id, token))
                return
        self._other(buffer[at:after], body - at, actions)

    def _take(self, packet_id: int) -> int:
        """Notes a QoS 1 message that waits for its answer; its token."""
        waiting = self._waiting
        if not packet_id or packet_id in waiting:
            raise _leave(PROTOCOL_ERROR, "closed_packet_id")
        if len(waiting) >= RECEIVE_MAXIMUM:
            raise _leave(RECEIVE_MAXIMUM_EXCEEDED, "closed_receive_maximum")
        self._token = token = self._token + 1
        waiting[packet_id] = token
        return token

    def _talk(self) -> None:
        """Counts a packet that brings no message: answering these costs more than a device's quota of messages."""
        if self._heard_s - self._chatter_since_s >= CHATTER_S:
            self._chatter_since_s, self._chatter = self._heard_s, 0
        self._chatter += 1
        if self._chatter > CHATTER_MAX:
            raise _leave(RATE_TOO_HIGH, "closed_chatter")

    def _other(self, packet: bytes, body: int, actions: list[Action]) -> None:
        kind = packet[0] >> 4
        if kind in (packets.PINGREQ, packets.SUBSCRIBE, packets.UNSUBSCRIBE):
            self._talk()
        if kind == packets.PINGREQ:
            if packet != b"\xc0\x00":
                raise Malformed("mqtt_packet", "a PINGREQ is two bytes")
            actions.append(Send(packets.PINGRESP))
        elif kind == packets.DISCONNECT:
            raise _Stop(NORMAL, "closed_by_device", b"")
        elif kind == packets.CONNECT and self.lane is None:
            self._connect(packet, body, actions)
        elif kind in (packets.PUBLISH, packets.SUBSCRIBE, packets.UNSUBSCRIBE):
            if kind == packets.PUBLISH and (packet[0] >> 1) & 3 == 2:
                raise _leave(QOS_NOT_SUPPORTED, "closed_qos_2")
            decoded = packets.decode(packet, body)
            if isinstance(decoded, mqtt5.PublishPacket):
                self._publish(decoded, actions)
            elif isinstance(decoded, mqtt5.SubscribePacket):
                self._subscribe(decoded, actions)
            elif isinstance(decoded, mqtt5.UnsubscribePacket):
                codes = bytes(0 if pattern in self._subscribed else 0x11 for pattern in decoded.patterns)
                self._subscribed.difference_update(decoded.patterns)
                actions.append(Send(_suback(0xB0, decoded.packet_id, codes)))
        else:  # a second CONNECT, AUTH without a method, an answer to a QoS that we never send
            raise _leave(PROTOCOL_ERROR, "closed_protocol_error")

    def _connect(self, packet: bytes, body: int, actions: list[Action]) -> None:
        older = packets.older_protocol(packet, body)
        if older is not False:
            farewell = packets.CONNACK_3_1_1_REFUSED if older else packets.connack_refused(UNSUPPORTED_VERSION)
            raise _Stop(UNSUPPORTED_VERSION, "closed_version", farewell)
        connect = packets.decode(packet, body)
        assert isinstance(connect, mqtt5.ConnectPacket)
        if connect.authentication_method is not None:
            raise _refuse(BAD_AUTHENTICATION_METHOD, "closed_authentication_method")
        device, _, name = connect.client_id.rpartition("-")
        if name not in LANES_OF or not topics.DEVICE.fullmatch(device):
            raise _refuse(CLIENT_ID_NOT_VALID, "closed_client_id")
        if not self._may_connect(device):
            raise _refuse(NOT_AUTHORIZED, "closed_not_yours")
        lane: Lane = "alarm" if name == "alarm" else "data"
        self.device, self.lane = device, lane
        self._bytes_max = PACKET_BYTES_MAX[lane]
        self._peer_bytes_max = connect.max_packet_size
        self._up = {topics.up(device, at).encode(): topics.up(device, at) for at in LANES_OF[lane]}
        self._down = frozenset((topics.down_receipt(device), topics.down_command(device)))
        actions.append(Opened(client_id=connect.client_id, device=device, lane=lane))
        actions.append(Send(_connack(self._bytes_max)))

    def _publish(self, publish: mqtt5.PublishPacket, actions: list[Action]) -> None:
        if publish.retain:
            raise _leave(RETAIN_NOT_SUPPORTED, "closed_retain")
        if publish.topic_alias is not None:
            raise _leave(TOPIC_ALIAS_INVALID, "closed_topic_alias")
        if publish.subscription_ids:
            raise _leave(PROTOCOL_ERROR, "closed_protocol_error")
        packet_id = publish.packet_id or 0
        token = 0 if publish.packet_id is None else self._take(packet_id)
        if publish.topic.encode() in self._up:
            actions.append(Published(publish.topic, publish.payload, packet_id, token))
            return
        self._talk()
        actions.append(Refused("refused_topic"))
        if token:
            actions.append(Send(self.answer(packet_id, token, NOT_AUTHORIZED)))

    def _subscribe(self, subscribe: mqtt5.SubscribePacket, actions: list[Action]) -> None:
        if subscribe.subscription_id is not None:
            raise _leave(SUBSCRIPTION_ID_NOT_SUPPORTED, "closed_subscription_id")
        codes = bytearray()
        for wanted in subscribe.topic_filters:
            pattern = wanted.pattern
            if pattern in self._down:
                self._subscribed.add(pattern)
                codes.append(0)  # all down-topics are QoS 0
                continue
            actions.append(Refused("refused_subscription"))
            if pattern.startswith("$share/"):
                codes.append(SHARED_NOT_SUPPORTED)
            elif "#" in pattern or "+" in pattern:
                codes.append(WILDCARD_NOT_SUPPORTED)
            else:
                codes.append(NOT_AUTHORIZED)
        actions.append(Send(_suback(0x90, subscribe.packet_id, bytes(codes))))


def _refuse(reason: int, name: str) -> _Stop:
    return _Stop(reason, name, packets.connack_refused(reason))


def _connack(bytes_max: int) -> bytes:
    return mqtt5.ConnAckPacket(
        session_expiry_interval=0,
        server_keep_alive=KEEP_ALIVE_S,
        receive_max=RECEIVE_MAXIMUM,
        max_qos=mqtt5.QoS.AT_LEAST_ONCE,
        retain_available=False,
        max_packet_size=bytes_max,
        wildcard_subscription_available=False,
        subscription_id_available=False,
        shared_subscription_available=False,
    ).write()


def _suback(kind: int, packet_id: int, codes: bytes) -> bytes:
    """A SUBACK (0x90) or UNSUBACK (0xB0)."""
    body = packet_id.to_bytes(2, "big") + b"\x00" + codes
    length = len(body)
    size = bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])
    return bytes([kind]) + size + body
