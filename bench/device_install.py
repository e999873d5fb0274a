"""What an install for a device alone weighs, and what a running device holds in memory, beside Python itself."""

import datetime
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from device_sim import enrolment
from gateway import keyring
from protocol.keys import device_id

Row = dict[str, object]
ROOT = Path(__file__).parents[1]
MIB = 1 << 20
INSTALLERS = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence.pth")
RUNS_S = 8.0


def run() -> list[Row]:
    """A new virtual environment with `vigil[device]`, at the versions of the lock; about half a minute."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        python = home / "venv" / "bin" / "python"
        pins = re.findall(r"^[a-z0-9][a-z0-9._-]*==[^ ]+", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
        (home / "pins.txt").write_text("\n".join(pins))
        quiet = ["--quiet", "--disable-pip-version-check", "--no-compile"]
        command = [str(python), "-m", "pip", "install", *quiet, "-c", str(home / "pins.txt"), f"{ROOT}[device]"]
        subprocess.run(command, check=True)
        packages = next((home / "venv" / "lib").glob("python3*/site-packages"))
        sizes = {entry.name: _size(entry) for entry in packages.iterdir() if not entry.name.startswith(INSTALLERS)}
        own = sum(
            size for name, size in sizes.items() if name in ("protocol", "device_sim", "gateway", "ledger", "deploy")
        )
        memory, bare = _resident(home, python)
    total = sum(sizes.values())
    return [
        {"what": "installed for a device, without byte code", "value": total / MIB, "unit": "MiB"},
        {"what": "of it, Vigil", "value": own / MIB, "unit": "MiB"},
        {
            "what": "memory of a running simulated device",
            "value": memory,
            "unit": "MiB",
            "ratio": memory / bare,
            "baseline": "an idle Python",
        },
    ]


def _size(entry: Path) -> int:
    if entry.is_file():
        return entry.stat().st_size
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _resident(home: Path, python: Path) -> tuple[float, float]:
    """MiB held by a device that reads, signs and keeps for an absent gateway, and by a Python that does nothing."""
    vigil = python.with_name("vigil")
    state = home / "device"
    _enrol(state, home / "gateway")
    device = subprocess.Popen([str(vigil), "device", "run", "--state", str(state)], stdout=subprocess.DEVNULL)
    idle = subprocess.Popen([str(python), "-c", "input()"], stdin=subprocess.PIPE)
    try:
        time.sleep(RUNS_S)
        if device.poll() is not None:
            raise SystemExit("the device did not run")
        return _memory(device.pid), _memory(idle.pid)
    finally:
        device.send_signal(signal.SIGTERM)
        idle.kill()
        device.wait(60)
        idle.wait()


def _enrol(state: Path, gateway: Path) -> None:
    """As pairing leaves a device behind, with a gateway that does not answer."""
    state.mkdir()
    key = enrolment.make_key(state)
    ring = keyring.opened(gateway, names=(), now=datetime.datetime.now(datetime.UTC))
    device = device_id(key.public)
    paired = enrolment.Enrolment(
        device=device, gateway_key=ring.key.public.x, lk=bytes(range(32)), link_id=b"link", mqtt="127.0.0.1:9"
    )
    enrolment.save(state, paired, certificate=ring.device_certificate(device, key.public.x), ca=ring.ca_pem)


def _memory(pid: int) -> float:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
