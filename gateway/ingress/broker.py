"""Messages from a broker that somebody brings, instead of our own listener: acknowledged to it only after the commit.

deploy/mosquitto/README.md says how such a broker is set up. A broker that forgets loses nothing, because devices keep
each message until they hold the gateway's signed receipt; what it has not been acknowledged it delivers again.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.ingress.arrival import Arrival, Sink
from gateway.ingress.session import PACKET_BYTES_MAX, Lane
from protocol import topics
from protocol.errors import ConfigError, Malformed

UP_TOPICS = "vigil/1/+/up/+"
RECEIVE_MAXIMUM = 500  # as many as one commit takes; what is beyond waits in the broker
SESSION_EXPIRY_S = 7 * 86_400  # the broker keeps what arrives while the gateway is away
KEEP_ALIVE_S = 15
RECONNECT_S_MIN, RECONNECT_S_MAX = 1, 30


def address(url: str) -> tuple[str, int, bool]:
    """(host, port, whether over TLS) of mqtts://host:port, or of mqtt://host:port on loopback. Raises ConfigError:
    broker_url."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise ConfigError("broker_url", "broker_url must be mqtts://host:port") from None
    if parts.scheme not in ("mqtts", "mqtt") or not host or not port or parts.username or parts.path not in ("", "/"):
        raise ConfigError("broker_url", "broker_url must be mqtts://host:port, without a name, a password or a path")
    if parts.scheme == "mqtt" and not _is_here(host):
        raise ConfigError("broker_url", "a broker on another machine must be reached over TLS: write mqtts://")
    return host, port, parts.scheme == "mqtts"


def context(*, ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """TLS 1.3 towards a broker. ca: file, or empty for the authorities of this machine; certificate, key: files of what is
    shown, or empty. Raises ConfigError: broker_files."""
    try:
        made = ssl.create_default_context(cafile=ca or None)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        if certificate:
            made.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "broker_files", f"broker_ca, broker_certificate or broker_key cannot be used: {error}"
        ) from error
    return made


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Broker:
    """One broker, subscribed to every device's up-topics. `client_id` names the broker's session and must stay the
    same over restarts. The sink is called on the event loop that ran `start`; paho's own thread only reads and writes.
    The device is the topic's: that nobody else publishes there is the broker's access list's to hold."""

    def __init__(
        self, *, sink: Sink, count: Callable[[str], None], client_id: str, now_ms: Callable[[], int] = _unix_ms
    ) -> None:
        self._sink = sink
        self._count = count
        self._now_ms = now_ms
        self._loop: asyncio.AbstractEventLoop | None = None
        # An identifier means something only on the connection that gave it. `_epoch` numbers connections, and the lock
        # keeps an answer from slipping over into the next one.
        self._lock = threading.Lock()
        self._epoch = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=True,
        )
        self._client.reconnect_delay_set(RECONNECT_S_MIN, RECONNECT_S_MAX)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> None:
        """Begins to connect, and goes on trying until `stop`."""
        self._loop = asyncio.get_running_loop()
        if ssl_context is not None:
            self._client.tls_set_context(ssl_context)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = PACKET_BYTES_MAX["data"]
        self._client.connect_async(host, port, KEEP_ALIVE_S, clean_start=False, properties=properties)
        self._client.loop_start()

    async def stop(self) -> None:
        """Leaves; the broker keeps the session and what was not answered."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it lives."""
        return self._client.is_connected()

    def publish(self, device: str, topic: str, payload: bytes) -> bool:
        """Hands a QoS 0 message to the broker; False when it is away. Whether the device listens is not known."""
        if not self._client.is_connected():
            return False
        return self._client.publish(topic, payload, qos=0).rc == paho.MQTT_ERR_SUCCESS

    def _on_connect(
        self, client: paho.Client, _user: object, _flags: paho.ConnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        if code.is_failure:
            self._on_loop(self._count, "broker_refused")
            return
        client.subscribe(UP_TOPICS, qos=1)

    def _on_disconnect(
        self, _client: paho.Client, _user: object, _f: paho.DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        with self._lock:
            self._epoch += 1
        if code.is_failure:
            self._on_loop(self._count, "broker_lost")

    def _on_subscribe(
        self, _client: paho.Client, _user: object, _mid: int, codes: list[ReasonCode], _p: Properties | None
    ) -> None:
        if any(code.is_failure for code in codes):
            self._on_loop(self._count, "broker_subscription_refused")

    def _on_message(self, _client: paho.Client, _user: object, message: paho.MQTTMessage) -> None:
        identifier = message.mid if message.qos else 0
        self._on_loop(self._arrived, message.topic, message.payload, identifier, self._epoch)

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call, *arguments)

    def _arrived(self, topic: str, payload: bytes, identifier: int, epoch: int) -> None:
        answer = partial(self._answer, [identifier], epoch)
        try:
            device, lane = topics.parse_up(topic)
        except Malformed:
            self._count("refused_topic")
            answer(0)
            return
        connection: Lane = "alarm" if lane == topics.ALARM else "data"
        self._sink.arrived(Arrival(device, connection, topic, payload, self._now_ms(), answer))

    def _answer(self, waiting: list[int], epoch: int, _reason: int) -> None:
        """Acknowledges once, whatever the reason: a refused message would only be delivered again."""
        identifier = waiting.pop() if waiting else 0
        if not identifier:
            return
        with self._lock:
            if epoch == self._epoch:
                self._client.ack(identifier, 1)
