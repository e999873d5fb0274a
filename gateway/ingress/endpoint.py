"""The gateway's own MQTT 5 listener: accepts sockets within bounds and knows which connections are open.

wire.md, "Connection". All methods belong to the event loop that ran `start`.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable

from gateway.ingress import session as mqtt
from gateway.ingress.arrival import Sink
from gateway.ingress.connection import Connection
from gateway.ingress.limits import EndpointLimits
from protocol.errors import ConfigError


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Endpoint:
    """Hands each message to `sink` and each refusal's or close's name to `count`. now_s: any steady clock's seconds;
    now_ms: Unix time. A client id has one connection: a second one takes the first over."""

    def __init__(
        self,
        *,
        sink: Sink,
        limits: EndpointLimits,
        count: Callable[[str], None],
        now_s: Callable[[], float],
        now_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        self.sink = sink
        self.limits = limits
        self.count = count
        self.now_s = now_s
        self.now_ms = now_ms
        self.over_tls = True
        # One for all connections: a selector loop fills it and hands it over in one step, never for two at a time.
        self.read_buffer = memoryview(bytearray(limits.read_bytes))
        self._context: ssl.SSLContext | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._greetings: set[asyncio.Task[None]] = set()
        self._unauthenticated: Counter[str] = Counter()
        self._connections: set[Connection] = set()
        self._open: dict[str, Connection] = {}
        self._to_flush: list[Connection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._paused_since_s: float | None = None
        self._paused_until_s = float("-inf")
        self._empty = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """How many connections have been accepted by their CONNECT and live."""
        return len(self._open)

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> int:
        """Listens; the bound port. Without a context (benchmarks) only on a loopback address.
        Raises ConfigError: plain_listener; OSError when the address cannot be had."""
        if ssl_context is None and not ipaddress.ip_address(host).is_loopback:
            raise ConfigError("plain_listener", "without TLS the listener is for a loopback address only")
        self._context = ssl_context
        self.over_tls = ssl_context is not None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=self.limits.backlog)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections have it from the listener
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listener))
        self._timer = asyncio.get_running_loop().call_later(self.limits.tick_s, self._tick)
        bound: int = self._listener.getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Says goodbye (0x8B), waits a little for it to be read, and cuts what is left."""
        tasks = [task for task in (self._accepting, *self._greetings) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener:
            self._listener.close()
        if self._timer:
            self._timer.cancel()
        self.resume()
        for connection in list(self._connections):
            connection.perform(connection.session.close(mqtt.SHUTTING_DOWN, "closed_stopping"))
        if self._connections:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), self.limits.linger_s)
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
                await asyncio.sleep(0)

    def publish(self, device: str, topic: str, payload: bytes) -> bool:
        """Sends at QoS 0 to those of the device's connections that subscribed `topic`; False when it went to none."""
        sent = False
        for connection in self._of(device):
            packet = connection.session.down(topic, payload)
            if packet is None:
                continue
            if connection.unread_bytes() + len(packet) > self.limits.down_buffer_bytes:
                self.count("dropped_down")
                continue
            connection.send(packet)
            sent = True
        return sent

    def disconnect(self, device: str, reason: int, lane: mqtt.Lane | None = None) -> None:
        """Ends the device's connections, or its one of `lane`, with an MQTT reason code (0x87 revoked, 0x98 by a person)."""
        for connection in self._of(device):
            if lane in (None, connection.session.lane):
                connection.perform(connection.session.close(reason, "closed_by_gateway"))

    def pause(self) -> None:
        """Stops reading data connections until `resume`, for `pause_s` at most and then not for `pause_rest_s`."""
        now_s = self.now_s()
        if self._paused_since_s is not None or now_s < self._paused_until_s + self.limits.pause_rest_s:
            return
        self._paused_since_s = now_s
        for connection in self._open.values():
            connection.pause()
        asyncio.get_running_loop().call_later(self.limits.pause_s, self._pause_over, now_s)

    def resume(self) -> None:
        """Reads again from every connection; a pause may begin at once when this one ended early."""
        self._paused_since_s = None
        for connection in self._connections:
            connection.resume()

    def _pause_over(self, since_s: float) -> None:
        if self._paused_since_s == since_s:
            self._paused_until_s = self.now_s()
            self.resume()

    def _of(self, device: str) -> list[Connection]:
        found = (self._open.get(f"{device}-{lane}") for lane in mqtt.LANES_OF)
        return [connection for connection in found if connection is not None]

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError:
                self.count("accept_failed")
                await asyncio.sleep(self.limits.accept_again_s)
                continue
            if self._unauthenticated[address[0]] >= self.limits.sockets_per_address:
                self.count("refused_sockets_address")
                accepted.close()
            elif self._unauthenticated.total() >= self.limits.sockets:
                self.count("refused_sockets")
                accepted.close()
            else:
                self._unauthenticated[address[0]] += 1
                task = loop.create_task(self._greet(accepted, address[0]))
                self._greetings.add(task)
                task.add_done_callback(self._greetings.discard)

    async def _greet(self, accepted: socket.socket, address: str) -> None:
        connection = Connection(self, address)
        timeout_s = self.limits.handshake_s if self._context else None
        linger_s = self.limits.linger_s if self._context else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=timeout_s,
                ssl_shutdown_timeout=linger_s,
            )
        except OSError:  # also a certificate of another authority, none at all, and a handshake out of time
            if not connection.is_made:
                self.count("refused_tls")
        finally:
            if not connection.is_made:
                self._authenticated(connection)

    def made(self, connection: Connection) -> None:
        """A connection past its handshake."""
        self._connections.add(connection)

    def opened(self, connection: Connection, client_id: str) -> None:
        """A connection past its CONNECT: an earlier one with the same client id is told 0x8E and closed."""
        self._authenticated(connection)
        earlier = self._open.get(client_id)
        connection.client_id = client_id
        self._open[client_id] = connection
        if earlier is not None:
            earlier.perform(earlier.session.close(mqtt.TAKEN_OVER, "closed_taken_over"))
        if self._paused_since_s is not None:
            connection.pause()

    def lost(self, connection: Connection) -> None:
        """A connection that is gone."""
        self._authenticated(connection)
        self._connections.discard(connection)
        if self._open.get(connection.client_id) is connection:
            del self._open[connection.client_id]
        if not self._connections:
            self._empty.set()

    def flush_soon(self, connection: Connection) -> None:
        """One flush for all connections with something to write, after the callbacks that are due now."""
        if not self._to_flush:
            asyncio.get_running_loop().call_soon(self._flush)
        self._to_flush.append(connection)

    def _authenticated(self, connection: Connection) -> None:
        if connection.counted:
            connection.counted = False
            self._unauthenticated[connection.address] -= 1
            if not self._unauthenticated[connection.address]:
                del self._unauthenticated[connection.address]

    def _flush(self) -> None:
        due, self._to_flush = self._to_flush, []
        for connection in due:
            connection.flush()

    def _tick(self) -> None:
        now_s = self.now_s()
        for connection in list(self._connections):
            if connection.paused_since_s is None:
                connection.perform(connection.session.tick(now_s))
        self._timer = asyncio.get_running_loop().call_later(self.limits.tick_s, self._tick)
