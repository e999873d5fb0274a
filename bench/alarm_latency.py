"""From the moment a device sends an alarm until it is durable (PUBACK) and until an open page has it: a real gateway over TLS.

Measured from outside, with what the socket, TLS and the page's stream take, so it is a little more than "from arrival at the
gateway". Each alarm is the first of its device. Idle, and beside other devices that send readings as fast as half of what this
gateway takes in the same run.
"""

import contextlib
import random
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench._fleet import Device, call, enrol, readings
from bench._hub import Hub, loading, outcome, running, start
from bench._load import Client, Connection, Job, packets
from protocol import topics

Row = dict[str, object]
ALARMS = 200  # devices that call for help, one after the other
CROWD = 16  # devices that send readings meanwhile
CROWD_MESSAGES = 1_000  # of each, as fast as they are taken: tells what half of it is
PAUSE_S = (0.005, 0.060)  # between two alarms, drawn anew each time
WAIT_S = 10.0  # no answer for so long: the alarm is lost
SETTINGS = {"data_rate_per_s": 1e6, "data_burst": 1e6}


def run() -> list[Row]:
    """Idle first, then busy; about a minute."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        fleet = enrol(state, 2 * ALARMS + 2 * CROWD)
        crowds = (fleet[:CROWD], fleet[CROWD : 2 * CROWD])
        calling = fleet[2 * CROWD :]
        with running(state, **SETTINGS) as hub:
            idle = _alarms(hub, calling[:ALARMS])
            taken = _crowd(hub, crowds[0], CROWD_MESSAGES, pace_s=0.0)
            pace_s = 2 / taken
            messages = round(ALARMS * 0.2 / pace_s / CROWD)
            with _busy(hub, crowds[1], messages, pace_s=pace_s):
                busy = _alarms(hub, calling[ALARMS:])
    rows = _rows("idle", idle)
    rows.append({"what": "beside other devices", "value": 1 / pace_s, "unit": "messages/s"})
    return rows + _rows("busy", busy, idle)


def _rows(name: str, found: Sequence[tuple[float, float]], quiet: Sequence[tuple[float, float]] = ()) -> list[Row]:
    rows = []
    for column, what in enumerate(("durable and acknowledged", "on the page")):
        values = sorted(times[column] * 1000 for times in found)
        for label, share in (("p50", 0.50), ("p99", 0.99)):
            row: Row = {"what": f"{name}: {what}, {label}", "value": _at(values, share), "unit": "ms"}
            if quiet:
                row["ratio"] = _at(values, share) / _at(sorted(times[column] * 1000 for times in quiet), share)
                row["baseline"] = f"idle {label}"
            rows.append(row)
    return rows


def _at(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def _alarms(hub: Hub, devices: Sequence[Device]) -> list[tuple[float, float]]:
    """(seconds to the PUBACK, seconds to the page) of one alarm of each device."""
    rng = random.Random(7)
    with _page(hub) as page:
        return [_alarm(hub, device, page, rng) for device in devices]


@contextlib.contextmanager
def _page(hub: Hub) -> Iterator[socket.socket]:
    """An open page's stream of events, past its snapshot."""
    with socket.create_connection(("127.0.0.1", hub.ports["page"]), timeout=WAIT_S) as page:
        page.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{hub.ports['page']}\r\n\r\n".encode())
        seen = b""
        while b"event: snapshot" not in seen or not seen.endswith(b"\n\n\r\n"):
            seen += page.recv(65_536)
        yield page


def _alarm(hub: Hub, device: Device, page: socket.socket, rng: random.Random) -> tuple[float, float]:
    raw = call(device, at_ms=time.time_ns() // 1_000_000)
    client = Client(
        device=device.name,
        packets=packets(device.name, topics.ALARM, (raw,)),
        certificate=device.certificate,
        key=device.key_pem,
    )
    connection = Connection(hub.ports["mqtt"], client, hub.ca, lane="alarm")
    wanted = f'"device":"{device.name}"'.encode()
    chooser = selectors.DefaultSelector()
    chooser.register(connection.socket, selectors.EVENT_READ)
    chooser.register(page, selectors.EVENT_READ)
    time.sleep(rng.uniform(*PAUSE_S))
    seen, durable_s, shown_s = b"", 0.0, 0.0
    begun = time.perf_counter()
    connection.send(1)
    while not (durable_s and shown_s):
        ready = chooser.select(WAIT_S)
        now = time.perf_counter() - begun
        if not ready:
            raise SystemExit("an alarm was lost")
        for key, _ in ready:
            if key.fileobj is page:
                seen += page.recv(65_536)
                shown_s = shown_s or (now if b"event: alert" in seen and wanted in seen else 0.0)
            else:
                connection.read()
                durable_s = durable_s or (now if connection.done else 0.0)
    connection.socket.close()
    return durable_s, shown_s


def _job(hub: Hub, devices: Sequence[Device], messages: int, *, pace_s: float) -> Job:
    until_ms = time.time_ns() // 1_000_000
    clients = []
    for device in devices:
        raws = tuple(readings(device, messages=messages, rounds=1, until_ms=until_ms))
        sent = packets(device.name, topics.DATA, raws)
        clients.append(Client(device=device.name, packets=sent, certificate="", key=""))
    return Job(port=hub.ports["plain"], ca="", clients=tuple(clients), pace_s=pace_s)


def _crowd(hub: Hub, devices: Sequence[Device], messages: int, *, pace_s: float) -> float:
    """Messages a second that the gateway took."""
    with loading(_job(hub, devices, messages, pace_s=pace_s)) as load:
        start(load)
        result = outcome(load)
    return result["messages"] / result["seconds"]


@contextlib.contextmanager
def _busy(hub: Hub, devices: Sequence[Device], messages: int, *, pace_s: float) -> Iterator[None]:
    with loading(_job(hub, devices, messages, pace_s=pace_s)) as load:
        start(load)
        yield
        if load.poll() is not None:
            raise SystemExit("the crowd was done before the alarms were: these would be idle figures")
