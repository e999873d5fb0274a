"""A real gateway process for a benchmark, and what it took."""

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench._load import Job

READY_S = 30.0
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A running gateway. ports: as it said them; ca: PEM of its authority."""

    pid: int
    ports: dict[str, int]
    ca: str
    state: Path

    def memory_mib(self) -> float:
        """The most memory that the gateway's processes held so far (VmHWM)."""
        return sum(_status(pid, "VmHWM") for pid in self._pids()) / 1024

    def processor_s(self) -> float:
        """Seconds of processor time of the gateway's processes so far, user and system."""
        return sum(_processor_s(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        """The gateway and the processes that it started."""
        started = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [self.pid, *(int(pid) for path in started for pid in path.read_text().split())]


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def running(state: Path, **settings: object) -> Iterator[Hub]:
    """`vigil gateway run` on free ports with its plain listener, and these settings; ended in order."""
    environment = {f"VIGIL_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [
            sys.executable, "-m", "vigil", "gateway", "run", "--json", "--state", str(state),
            "--mqtt-port", "0", "--pair-port", "0", "--page-port", "0", "--metrics-port", "0", "--plain-port", "0",
        ],
        cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline() or '{"event": "nothing"}')
        if told["event"] != "ready":
            raise SystemExit("the gateway did not start")
        ports = {name: port for name, port in told.items() if isinstance(port, int)}
        yield Hub(pid=process.pid, ports=ports, ca=(state / "keys" / "ca.pem").read_text(), state=state)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_S)


@contextlib.contextmanager
def loading(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """The load's process, all its connections open; `start` begins it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench._load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        data = pickle.dumps(job)
        process.stdin.write(len(data).to_bytes(8, "big") + data)
        process.stdin.flush()
        if process.stdout.readline() != b"ready\n":
            raise SystemExit("the load did not start")
        yield process
    finally:
        process.kill()
        process.wait()


def start(load: "subprocess.Popen[bytes]") -> None:
    """Let the load begin."""
    assert load.stdin is not None
    load.stdin.write(b"!")
    load.stdin.flush()


def outcome(load: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Wait until the load is done; what came of it."""
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line:
        raise SystemExit("the load ended without a result")
    found: dict[str, float] = json.loads(line)
    return found
