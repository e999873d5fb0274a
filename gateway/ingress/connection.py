"""One socket of the listener: moves bytes between asyncio and the session, and gathers what is to be written."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from gateway.ingress.arrival import Arrival, Sink
from gateway.ingress.limits import EndpointLimits
from gateway.ingress.session import Action, Opened, Published, Refused, Send, Session
from gateway.ingress.tls import ed25519_key


class Owner(Protocol):
    """What a connection asks of its endpoint."""

    sink: Sink
    limits: EndpointLimits
    count: Callable[[str], None]
    now_s: Callable[[], float]
    now_ms: Callable[[], int]
    over_tls: bool
    read_buffer: memoryview

    def made(self, connection: "Connection") -> None:
        """The connection lives: it is ticked from now on."""

    def opened(self, connection: "Connection", client_id: str) -> None:
        """Its CONNECT was accepted."""

    def lost(self, connection: "Connection") -> None:
        """It is gone."""

    def flush_soon(self, connection: "Connection") -> None:
        """`connection.flush` is called once, after the callbacks that are due now."""


class Connection(asyncio.BufferedProtocol):
    """From the end of the TLS handshake to the end of the socket. `counted`: it still counts as unauthenticated."""

    def __init__(self, owner: Owner, address: str) -> None:
        self.owner = owner
        self.address = address
        self.counted = True
        self.is_made = False
        self.client_id = ""
        self.transport: asyncio.Transport | None = None
        self.session: Session
        self.paused_since_s: float | None = None
        self._out: list[bytes] = []
        self._in = owner.read_buffer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Finds the device of the client's certificate; a peer without one is refused without a word."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.is_made = True
        transport.set_write_buffer_limits(high=self.owner.limits.write_buffer_bytes)
        may_connect = self._certified() if self.owner.over_tls else self.owner.sink.device_known
        self.session = Session(may_connect=may_connect or _nobody, now_s=self.owner.now_s())
        self.owner.made(self)
        if may_connect is None:
            self.perform(self.session.close(0, "refused_certificate"))

    def _certified(self) -> Callable[[str], bool] | None:
        assert self.transport is not None
        certificate = self.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        key = ed25519_key(certificate) if certificate else None
        if key is None or self.owner.sink.device_of(key) is None:
            return None
        # Asked again at the CONNECT: the device may have been revoked since the handshake.
        return lambda device: self.owner.sink.device_of(key) == device

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio puts the next bytes. Left to itself it allocates 256 KiB for each read of a plain socket."""
        return self._in

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes in, whatever their cuts."""
        self.perform(self.session.feed(bytes(self._in[:nbytes]), self.owner.now_s()))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone; answers that are still due will do nothing."""
        if not self.session.closed:
            self.session.close(0, "closed_lost")
            self.owner.count("closed_lost")
        self._out.clear()
        self.owner.lost(self)

    def perform(self, actions: list[Action]) -> None:
        """Does what the session decided."""
        session = self.session
        received_ms = self.owner.now_ms()
        for action in actions:
            if isinstance(action, Published):
                assert session.lane is not None
                answer = partial(self.answer, action.packet_id, action.token)
                self.owner.sink.arrived(
                    Arrival(session.device, session.lane, action.topic, action.payload, received_ms, answer)
                )
            elif isinstance(action, Send):
                self.send(action.data)
            elif isinstance(action, Refused):
                self.owner.count(action.name)
            elif isinstance(action, Opened):
                self.owner.opened(self, action.client_id)
            else:
                self.owner.count(action.name)
                self._close()

    def answer(self, packet_id: int, token: int, reason: int) -> None:
        """Acknowledges one message; written together with every other answer of this turn of the loop."""
        packet = self.session.answer(packet_id, token, reason)
        if packet:
            self.send(packet)

    def send(self, data: bytes) -> None:
        """Writes `data` with the next flush."""
        if not self._out:
            self.owner.flush_soon(self)
        self._out.append(data)

    def flush(self) -> None:
        """Writes what was gathered; a peer that does not read is dropped."""
        data = b"".join(self._out)
        self._out.clear()
        if self.transport is None or self.transport.is_closing() or not data:
            return
        self.transport.write(data)
        if self.unread_bytes() > self.owner.limits.write_buffer_bytes:
            self.owner.count("closed_slow_reader")
            self.session.close(0, "closed_slow_reader")
            self.transport.abort()

    def unread_bytes(self) -> int:
        """How much lies in the write buffer. Under TLS the socket's own buffer (64 KiB at most) is not in it."""
        return self.transport.get_write_buffer_size() if self.transport else 0

    def pause(self) -> None:
        """Stops reading a data connection; an alarm connection, or one that is not open yet, reads on."""
        if self.transport and self.session.lane == "data" and self.paused_since_s is None:
            self.paused_since_s = self.owner.now_s()
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads again, and does not count the pause against the peer."""
        if self.transport and self.paused_since_s is not None:
            self.session.excuse(self.owner.now_s() - self.paused_since_s)
            self.paused_since_s = None
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def abort(self) -> None:
        """Ends the socket without waiting for the peer."""
        if self.transport:
            self.transport.abort()

    def _close(self) -> None:
        self.flush()
        assert self.transport is not None
        self.transport.close()
        asyncio.get_running_loop().call_later(self.owner.limits.linger_s, self.abort)


def _nobody(_device: str) -> bool:
    return False
