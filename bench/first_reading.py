"""A newcomer's wait: from `git clone` to the first reading on the caregivers' page, with a new virtual environment.

The package installer may have its downloads in its cache: what the network takes is not measured.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

Row = dict[str, object]
ROOT = Path(__file__).parents[1]
GIVE_UP_S = 300.0


def run() -> list[Row]:
    """Clone, `make setup`, `make demo`; about a minute."""
    with tempfile.TemporaryDirectory() as folder:
        house = Path(folder) / "vigil"
        begun = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(house)], check=True)
        subprocess.run(["make", "setup"], cwd=house, check=True, env=_environment(), stdout=subprocess.DEVNULL)
        set_up = time.perf_counter()
        demo = subprocess.Popen(
            ["make", "--silent", "demo", "ARGS=--no-events --for 30"],
            cwd=house, env=_environment(), stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            first = _first_reading(demo)
        finally:
            os.killpg(demo.pid, signal.SIGINT)
            demo.wait(GIVE_UP_S)
    return [
        {"what": "clone and make setup", "value": set_up - begun, "unit": "s"},
        {"what": "make demo until the first reading on the page", "value": first - set_up, "unit": "s"},
        {"what": "both", "value": first - begun, "unit": "s"},
    ]


def _environment() -> dict[str, str]:
    """Ours, without what points at this checkout's own virtual environment."""
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")}


def _first_reading(demo: "subprocess.Popen[str]") -> float:
    assert demo.stdout is not None
    page = ""
    while not page:
        line = demo.stdout.readline()
        if not line:
            raise SystemExit("the demo ended before it had a page")
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        page = found[0] if found else ""
    with urllib.request.urlopen(page + "events", timeout=GIVE_UP_S) as stream:
        for raw in stream:
            if raw.startswith(b"data: "):
                told = json.loads(raw[6:])
                if told.get("values"):  # of the snapshot by device, of an event as a list
                    return time.perf_counter()
    raise SystemExit("the page's stream ended without a reading")
