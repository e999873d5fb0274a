"""Clients of a ledger, as cheap as it gets: kept connections, requests made beforehand, answers only counted and timed.

A process of its own, so that what it costs is not the ledger's: `python -m bench._posts` reads a `Job` from standard input
(pickle from our own parent), says "ready" when every connection is open, starts at the next byte, and answers with JSON.
"""

import json
import pickle
import selectors
import socket
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass

DEAF_S = 20.0  # nothing comes back for so long: the ledger has gone
SHARE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """requests: whole HTTP requests; connections: that take them in turn; pace_s: between two sends over all, 0: no pause."""

    port: int
    requests: tuple[bytes, ...]
    connections: int
    pace_s: float = 0.0


class Connection:
    """A kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEAF_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun_s = 0.0
        self._found = b""

    def send(self, request: bytes, due_s: float) -> None:
        """One request. due_s: when it should have gone, from which its latency counts."""
        self.begun_s = due_s
        self.socket.sendall(request)

    def answered(self) -> int | None:
        """The status once a whole answer is there."""
        part = self.socket.recv(1 << 20)
        if not part:
            raise SystemExit("the ledger closed a connection")
        self._found += part
        head, found, body = self._found.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return None
        self._found = b""
        return int(head[9:12])


def run(job: Job, connections: list[Connection]) -> dict[str, float]:
    """Send everything; seconds, latencies (p50, p99) and how many answers were no success."""
    selector = selectors.DefaultSelector()
    for each in connections:
        selector.register(each.socket, selectors.EVENT_READ, each)
    waiting, idle = deque(job.requests), deque(connections)
    latencies: list[float] = []
    refused, begun_s, sent = 0, time.perf_counter(), 0
    while len(latencies) < len(job.requests):
        now_s = time.perf_counter()
        while waiting and idle and (not job.pace_s or begun_s + sent * job.pace_s <= now_s):
            due_s = begun_s + sent * job.pace_s if job.pace_s else time.perf_counter()
            idle.popleft().send(waiting.popleft(), due_s)
            sent += 1
        pause_s = max(0.0, begun_s + sent * job.pace_s - now_s) if job.pace_s and waiting and idle else DEAF_S
        for key, _ in selector.select(pause_s):
            each: Connection = key.data
            status = each.answered()
            if status is not None:
                latencies.append(time.perf_counter() - each.begun_s)
                refused += status not in (200, 201)
                idle.append(each)
    seconds = time.perf_counter() - begun_s
    latencies.sort()
    p99_s = latencies[int(len(latencies) * SHARE)]
    return {"seconds": seconds, "p50_s": statistics.median(latencies), "p99_s": p99_s, "refused": refused}


def main() -> None:
    """Entry point."""
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    job: Job = pickle.loads(sys.stdin.buffer.read(size))
    connections = [Connection(job.port) for _ in range(job.connections)]
    print("ready", flush=True)
    sys.stdin.buffer.read(1)
    print(json.dumps(run(job, connections)), flush=True)


if __name__ == "__main__":
    main()
