"""The connection to the gateway: MQTT 5 over mutual TLS 1.3, one connection for alarms and one for everything else.

When a connection is lost the next try comes after a random part of a growing pause (full jitter), so that the homes behind one
router do not all knock at once; for an alarm the pauses are short, and one that is being waited out is cut short.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, Literal

import aiomqtt
import paho.mqtt.client as mqtt

from device_sim.enrolment import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from protocol import topics
from protocol.errors import ConfigError

KEEP_ALIVE_S = 15
CONNECT_WITHIN_S = 10.0
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 60.0
STEADY_S = (
    30.0  # a connection that lasted less long is one more failure: a gateway that lets in and drops is not hammered
)
ALARM_BACKOFF_MIN_S, ALARM_BACKOFF_MAX_S = 0.2, 2.0  # while an alarm waits
OUTGOING_MAX = (
    64  # messages in the client's hands, three windows: a gateway that acknowledges nothing gets no more copies
)
DOWN_QUEUE_MAX = 256  # receipts and commands that wait to be read; the gateway sends lost ones again

Kind = Literal["alarm", "data"]
Heard = Callable[[str, bytes], Awaitable[None]]
log = logging.getLogger(__name__)


def pause_s(failures: int, *, alarm_waits: bool, rng: Random) -> float:
    """How long to wait before the next try: anything between nothing and a bound that doubles with every failure."""
    least_s, most_s = (ALARM_BACKOFF_MIN_S, ALARM_BACKOFF_MAX_S) if alarm_waits else (BACKOFF_MIN_S, BACKOFF_MAX_S)
    return rng.uniform(0.0, min(most_s, least_s * 2.0 ** min(failures, 16)))


def context(state: Path) -> ssl.SSLContext:
    """TLS 1.3 with the device's own key, towards a server of the gateway's CA. Raises ConfigError: certificate_bad."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        made.load_verify_locations(state / CA_FILE)
        made.load_cert_chain(state / CERTIFICATE_FILE, state / KEY_FILE)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "certificate_bad", f"the certificates in {state} cannot be used; pair again: {error}"
        ) from error
    return made


class _Client(aiomqtt.Client):
    """The library's client waits for acknowledgements and forgets what they say; this one tells."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers: dict[int, asyncio.Future[int]] = {}

    async def deliver(self, topic: str, raw: bytes) -> int:
        """Publish at QoS 1; the reason of its acknowledgement. Raises MqttError, TimeoutError, ValueError (no room)."""
        info = self._client.publish(topic, raw, qos=1)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[info.mid] = answered
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                return await answered
        finally:
            self._answers.pop(info.mid, None)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        answered = self._answers.get(mid)
        if answered is not None and not answered.done():
            answered.set_result(int(reason_code.value))


class Connection:
    """One of the two connections, kept up until it is stopped."""

    def __init__(
        self,
        *,
        device: str,
        kind: Kind,
        address: str,
        tls: ssl.SSLContext,
        rng: Random,
        heard: Heard,
        changed: Callable[[Kind, bool], None],
        alarm_waits: Callable[[], bool],
    ) -> None:
        self._device, self._kind, self._tls, self._rng = device, kind, tls, rng
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._heard, self._changed, self._alarm_waits = heard, changed, alarm_waits
        self._client: _Client | None = None
        self._wanted = asyncio.Event()
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        failures, now_s = 0, asyncio.get_running_loop().time
        while True:
            up_s = None
            try:
                async with self._connected() as client:
                    up_s = now_s()
                    async for received in client.messages:
                        if isinstance(received.payload, bytes):
                            await self._heard(str(received.topic), received.payload)
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                log.info("the %s connection was lost: %s", self._kind, error)
            steady = up_s is not None and now_s() - up_s >= STEADY_S
            failures = 1 if steady else failures + 1
            await self.rest(pause_s(failures, alarm_waits=self._alarm_waits(), rng=self._rng))

    def hurry(self) -> None:
        """Something urgent waits: if a pause is being waited out, it ends now."""
        self._wanted.set()

    async def rest(self, pause_s: float) -> None:
        """Wait that long, or until `hurry`; an earlier `hurry` does not count, for the pause was chosen knowing it."""
        self._wanted.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wanted.wait()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Client]:
        client = _Client(
            self._host,
            self._port,
            identifier=f"{self._device}-{self._kind}",
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=KEEP_ALIVE_S,
            tls_context=self._tls,
            timeout=CONNECT_WITHIN_S,
            max_queued_incoming_messages=DOWN_QUEUE_MAX,
            max_queued_outgoing_messages=OUTGOING_MAX,
        )
        async with client:
            wanted = [topics.down_receipt(self._device)]
            if self._kind == "data":
                wanted.append(topics.down_command(self._device))
            await client.subscribe([(topic, 0) for topic in wanted])
            self._client = client
            self.up.set()
            self._changed(self._kind, True)
            try:
                yield client
            finally:
                self._client = None
                self.up.clear()
                self._changed(self._kind, False)

    async def publish(self, topic: str, raw: bytes) -> int | None:
        """Publish at QoS 1; the reason of its acknowledgement (below 0x80: taken), None when there came none."""
        client = self._client
        if client is None:
            return None
        try:
            return await client.deliver(topic, raw)
        except (aiomqtt.MqttError, OSError, TimeoutError, ValueError):
            return None
