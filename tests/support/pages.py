"""A caregiver page with invented homes behind it: a desk in memory, a drawn ECG, and a server in a thread of its own."""

import asyncio
import contextlib
import math
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from gateway.serving import serving
from gateway.web.app import app
from gateway.web.hub import Hub
from protocol.content import Clock, Data
from protocol.errors import NotFound
from protocol.senml import Vital
from protocol.waves import Wave

DEVICE, OTHER = "00112233445566aa", "00112233445566bb"
SHAPES = ((0.18, 0.12, 0.022), (0.335, -0.12, 0.009), (0.36, 1.15, 0.011), (0.385, -0.25, 0.010), (0.6, 0.3, 0.045))
BEAT_S = 0.84


def wall_ms() -> int:
    """This machine's Unix time."""
    return time.time_ns() // 1_000_000


def alert(alert_id: str = "a1", **changed: object) -> dict[str, object]:
    """An open alert as the desk gives it, with some fields changed."""
    now = wall_ms()
    return {
        "id": alert_id,
        "device": DEVICE,
        "kind": "fall",
        "priority": "high",
        "technical": False,
        "state": "raised",
        "onset_ms": now - 4_000,
        "raised_ms": now,
        "acknowledged_ms": None,
        "acknowledged_by": None,
        "simulated": True,
        "text": "Fall, and no getting up since",
    } | changed


class MemoryDesk:
    """The gateway's records, in a dictionary. hub: told of every acknowledging, as the gateway tells it."""

    def __init__(self, hub: Hub | None = None) -> None:
        self.hub = hub
        self.kept: dict[str, dict[str, object]] = {}
        self.places: list[dict[str, object]] = [
            {"device": DEVICE, "name": "Ada Example", "state": "online", "simulated": True, "last_ms": wall_ms()},
            {"device": OTHER, "name": "Bo Example", "state": "online", "simulated": True, "last_ms": wall_ms()},
        ]

    async def homes(self) -> list[dict[str, object]]:
        """Two homes, unless a test says otherwise."""
        return self.places

    async def alerts(self, open_only: bool) -> list[dict[str, object]]:
        """Every alert that a test has put in."""
        return [dict(found) for found in self.kept.values() if not open_only or found["state"] != "resolved"]

    async def acknowledge(self, alert_id: str, by: str) -> dict[str, object]:
        """Acknowledge once; a second time changes nothing."""
        if alert_id not in self.kept:
            raise NotFound("alert_unknown", "no alarm has this id")
        found = self.kept[alert_id]
        if found["acknowledged_ms"] is None:
            found |= {"acknowledged_ms": wall_ms(), "acknowledged_by": by, "state": "acknowledged"}
            if self.hub is not None:
                self.hub.publish_alert(dict(found))
        return dict(found)


def ecg(t_s: float) -> float:
    """A drawn heartbeat in millivolts."""
    phase = t_s % BEAT_S
    return sum(high * math.exp(-(((phase - at) / (2 * wide)) ** 2)) for at, high, wide in SHAPES)


def pulse(t_s: float) -> float:
    """A drawn pulse wave, from 0 to about 1."""
    phase = (t_s - 0.25) % BEAT_S / BEAT_S
    return math.exp(-(((phase - 0.25) / 0.13) ** 2)) + 0.4 * math.exp(-(((phase - 0.58) / 0.14) ** 2))


def wave(stream: str, *, t0_ms: int, rate_hz: int, n: int, shape: Callable[[float], float] = ecg) -> Wave:
    """A stretch of a drawn wave, at 0.005 units in a count."""
    counts = array("h", (round(shape(t0_ms / 1000 + index / rate_hz) * 200) for index in range(n)))
    place = "II" if stream == "ecg" else "finger"
    return Wave(
        stream=stream, t0_ms=t0_ms, rate_mhz=rate_hz * 1000, scale=0.005, place=place, n=n, samples=counts.tobytes()
    )


def second(*, end_ms: int, heart_rate: int = 72, synced: bool = True, waves: bool = True) -> Data:
    """One second of a home that ends at `end_ms`: vitals and, where asked for, waves."""
    vitals = (
        ("MDC_ECG_HEART_RATE", heart_rate),
        ("MDC_PULS_OXIM_SAT_O2", 97),
        ("MDC_RESP_RATE", 15),
        ("MDC_TEMP_BODY", 36.7),
        ("MDC_PRESS_BLD_NONINV_SYS", 124),
        ("MDC_PRESS_BLD_NONINV_DIA", 79),
    )
    drawn = (
        wave("ecg", t0_ms=end_ms - 1000, rate_hz=250, n=250),
        wave("ppg", t0_ms=end_ms - 1000, rate_hz=100, n=100, shape=pulse),
    )
    return Data(
        clock=Clock(up_ms=1, wall_ms=end_ms, synced=synced),
        simulated=True,
        vitals=tuple(Vital(name=name, value=value, at_ms=end_ms - 100) for name, value in vitals),
        waves=drawn if waves else (),
    )


class Running:
    """A page that is being served. address: without a slash at its end; feeding: whether homes send."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.desk = MemoryDesk(self.hub)
        self.address = ""
        self.feeding = threading.Event()
        self.stopping = threading.Event()
        self.loop = asyncio.new_event_loop()
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._serve()), daemon=True)

    def start(self) -> None:
        """Serve, in a thread."""
        self._thread.start()
        self.address = self._ready.result(10)
        self.feeding.set()

    def stop(self) -> None:
        """End streams and server, and wait for the thread."""
        self.stopping.set()
        self._thread.join(10)
        self.loop.close()

    def raise_alert(self, found: dict[str, object]) -> None:
        """Keep an alert and tell the pages, in the loop's thread, as the gateway does."""
        self.desk.kept[str(found["id"])] = found
        self.call(self.hub.publish_alert, dict(found))

    def call(self, what: Callable[..., object], *arguments: object) -> None:
        """Do something in the loop's thread and wait until it is done."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (what(*arguments), done.set()))
        assert done.wait(10)

    async def _serve(self) -> None:
        async with serving(app(self.hub, self.desk), host="127.0.0.1", port=0, name="the page") as port:
            self._ready.set_result(f"http://127.0.0.1:{port}")
            end_ms = wall_ms()
            while not self.stopping.is_set():
                if wall_ms() - end_ms >= 1000:
                    end_ms += 1000
                    if self.feeding.is_set():
                        self.hub.publish_content(DEVICE, second(end_ms=end_ms), wall_ms())
                        self.hub.publish_content(OTHER, second(end_ms=end_ms, heart_rate=64, waves=False), wall_ms())
                await asyncio.sleep(0.05)
            self.hub.close()


@contextlib.contextmanager
def running() -> Iterator[Running]:
    """A served page with two homes that send every second."""
    page = Running()
    page.start()
    try:
        yield page
    finally:
        page.stop()
