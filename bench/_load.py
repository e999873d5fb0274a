"""Devices' side of the listener, as cheap as it gets: blocking sockets, packets made beforehand, answers only counted.

A process of its own, so that what it costs is not the gateway's: `python -m bench._load` reads a `Job` from standard input
(pickle from our own parent), says "ready" when every connection is open, starts at the next byte, and answers with JSON.
"""

import json
import pickle
import selectors
import socket
import ssl
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mqtt5

from protocol import topics

WINDOW = 32  # messages in flight on a connection: the gateway's Receive Maximum
GIVE_UP_S = 120.0
DEAF_S = 10.0  # nothing comes back for so long: the gateway has gone
PUBACK, PUBLISH, DISCONNECT = 4, 3, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One connection's work. packets: whole PUBLISH packets; certificate, key: PEM, for TLS."""

    device: str
    packets: tuple[bytes, ...]
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """ca: PEM, or "" for the plain listener; pace_s: seconds between two messages over all clients, 0: no pause."""

    port: int
    ca: str
    clients: tuple[Client, ...]
    pace_s: float = 0.0


def packets(device: str, lane: int, messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """QoS 1 PUBLISH packets with identifiers 1, 2, ..., as a device's client numbers them."""
    topic = topics.up(device, lane)
    return tuple(
        mqtt5.PublishPacket(topic, raw, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number % 65_535 + 1).write()
        for number, raw in enumerate(messages)
    )


class Connection:
    """An open connection, its packets, and how many were answered with which reason."""

    def __init__(self, port: int, client: Client, ca: str, *, lane: str = "data") -> None:
        self.client, self.sent, self.done, self.refused, self.receipts = client, 0, 0, 0, 0
        self._rest = b""
        plain = socket.create_connection(("127.0.0.1", port), timeout=DEAF_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = _context(client, ca).wrap_socket(plain) if ca else plain
        self.socket.sendall(mqtt5.ConnectPacket(f"{client.device}-{lane}", clean_start=True, keep_alive=15).write())
        self._expect(2)
        wanted = [mqtt5.TopicFilter(topics.down_receipt(client.device))]
        self.socket.sendall(mqtt5.SubscribePacket(1, wanted).write())
        self._expect(9)
        self.socket.setblocking(False)

    def _expect(self, kind: int) -> None:
        """Read one packet, which must be of this kind."""
        found = self.socket.recv(4096)
        if not found or found[0] >> 4 != kind:
            raise SystemExit(f"the gateway answered {found[:8].hex()} instead of packet {kind}")

    def send(self, most: int) -> int:
        """Send as many packets as the window has room for, at most `most`; how many."""
        ends = min(len(self.client.packets), self.done + WINDOW, self.sent + most)
        count = ends - self.sent
        if count > 0:
            data = b"".join(self.client.packets[self.sent : ends])
            self.socket.setblocking(True)  # a window fits a socket's buffer; a gateway that pauses is waited for
            self.socket.sendall(data)
            self.socket.setblocking(False)
            self.sent = ends
        return max(0, count)

    def read(self) -> bool:
        """Count what came back; False when the connection is over."""
        while True:
            try:
                data = self.socket.recv(65_536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return True
            if not data:
                return False
            self._take(self._rest + data)

    def _take(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at + 2 <= end:
            size, head = data[at + 1], 2
            if size & 0x80:
                if at + 3 > end:
                    break
                size, head = size & 0x7F | data[at + 2] << 7, 3
            if at + head + size > end:
                break
            kind = data[at] >> 4
            if kind == PUBACK:
                self.done += 1
                self.refused += size > 2 and data[at + head + 2] != 0
            elif kind == PUBLISH:
                self.receipts += 1
            elif kind == DISCONNECT:
                raise SystemExit(f"the gateway said goodbye: {data[at : at + 4].hex()}")
            at += head + size
        self._rest = data[at:]


def _context(client: Client, ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca)
    context.check_hostname = False
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "device.pem"), Path(folder, "device.key")
        certificate.write_text(client.certificate)
        key.write_text(client.key)
        context.load_cert_chain(certificate, key)
    return context


def work(job: Job) -> dict[str, float]:
    """Send everything, wait for every answer; what came of it."""
    connections = [Connection(job.port, client, job.ca) for client in job.clients]
    print("ready", flush=True)
    sys.stdin.buffer.read(1)
    chooser = selectors.DefaultSelector()
    for connection in connections:
        chooser.register(connection.socket, selectors.EVENT_READ, connection)
    total = sum(len(client.packets) for client in job.clients)
    begun = time.perf_counter()
    if job.pace_s:
        _paced(connections, chooser, total, job.pace_s, begun)
    else:
        for connection in connections:
            connection.send(WINDOW)
        while sum(connection.done for connection in connections) < total:
            _turn(chooser, DEAF_S, begun, window=WINDOW)
    took_s = time.perf_counter() - begun
    return {
        "messages": total,
        "seconds": took_s,
        "refused": sum(connection.refused for connection in connections),
        "receipts": sum(connection.receipts for connection in connections),
    }


def _turn(chooser: selectors.BaseSelector, wait_s: float, begun: float, *, window: int) -> None:
    found = chooser.select(wait_s)
    if (not found and wait_s >= DEAF_S) or time.perf_counter() - begun > GIVE_UP_S:
        raise SystemExit("the gateway does not answer any more")
    for key, _ in found:
        if not key.data.read():
            raise SystemExit("the gateway closed a connection")
        if window:
            key.data.send(window)


def _paced(
    connections: list[Connection], chooser: selectors.BaseSelector, total: int, pace_s: float, begun: float
) -> None:
    sent = 0
    while sent < total:
        due = min(total, int((time.perf_counter() - begun) / pace_s) + 1)
        for connection in connections:
            if sent < due:
                sent += connection.send(min(WINDOW, due - sent))
        _turn(chooser, min(pace_s, 0.005), begun, window=0)


def main() -> None:
    """Entry point of the load's process."""
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    job = pickle.loads(sys.stdin.buffer.read(size))
    print(json.dumps(work(job)), flush=True)


if __name__ == "__main__":
    main()
