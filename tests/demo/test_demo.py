"""`vigil demo` as a person runs it: what it says is what the programs' records say, and nobody is left behind when it ends."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.demo import records
from deploy.demo.supervise import environment
from ledger.log import fsck
from protocol.evidence import Bundle
from tests.support import rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FIELDS = [
    "readings_sent", "readings_stored", "refused", "events", "alarms", "missed", "false_alarms", "anchored", "tree_size",
    "evidence", "trust", "verified",
]  # fmt: skip
WITHIN_S = 150.0
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FOR_S = 25
RATE_HZ = 50


@dataclass(slots=True)
class Demo:
    """A running demo. folder: where it was started, and where what it says is kept."""

    process: subprocess.Popen[str]
    folder: Path
    seen: dict[str, int] = field(default_factory=dict)

    def ended(self) -> tuple[int, str]:
        """(exit code, standard output) when it has ended by itself."""
        output, _ = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, output

    def children(self) -> dict[str, int]:
        """The programs that it started and that run now: process ids by what is run, such as `gateway` or `device home-1`."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):  # it has just ended
                    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                    words = (entry / "cmdline").read_text().split("\0")
                    if int(parent) == self.process.pid and "run" in words:
                        state = words[words.index("--state") + 1]
                        found[state] = int(entry.name)
        self.seen |= found
        return found

    def living(self, homes: int) -> dict[str, int]:
        """Its programs, when the gateway keeps some readings of every home."""
        wanted = {"ledger", "gateway", *(f"home-{number + 1}" for number in range(homes))}
        until(lambda: self.children().keys() == wanted)
        found = self.children()
        state = Path(f"/proc/{found['gateway']}/cwd").readlink() / "gateway"
        until(lambda: list(map(bool, records.glance(state).stored.values())) == [True] * homes)
        return found

    def told(self) -> str:
        """What it told people meanwhile."""
        return (self.folder / "told").read_text()


def until(true: Callable[[], bool]) -> None:
    """Wait for something to be so."""
    end_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.1)


@contextlib.contextmanager
def demo(folder: Path, *words: object) -> Iterator[Demo]:
    """`vigil demo` with these words; whoever of it still runs after the block is killed."""
    (folder / "tmp").mkdir(parents=True)
    with (folder / "told").open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "vigil", "demo", *map(str, words)],
            cwd=folder, env={**environment(os.environ), "TMPDIR": str(folder / "tmp")}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told, text=True,
        )  # fmt: skip
    started = Demo(process, folder)
    try:
        yield started
    finally:
        started.children()
        if process.poll() is None:
            process.kill()
        for pid in started.seen.values():
            if b"vigil" in _words(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _words(pid: int) -> bytes:
    """How a process was started; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def gone(children: Mapping[str, int]) -> bool:
    """Whether none of these processes runs any more."""
    return not any(Path(f"/proc/{pid}").exists() for pid in children.values())


def left(folder: Path) -> list[Path]:
    """What a demo that was not to keep anything has left."""
    return list((folder / "tmp").iterdir())


def counted(file: Path, sql: str) -> int:
    """A number in a program's database."""
    with rig.opened(file) as database:
        return int(database.execute(sql).fetchone()[0])


def check_counts(told: Mapping[str, Any], kept: Path, homes: Sequence[str]) -> None:
    """The figures are those of the programs' own records."""
    assert sorted(path.name for path in kept.glob("home-*") if path.is_dir()) == sorted(homes)
    sent = sum(counted(kept / home / "spool.db", "SELECT value FROM counter WHERE name = 'sealed'") for home in homes)
    used = "SELECT SUM(value) FROM counter WHERE name IN ('seq_0', 'seq_1')"  # positions of the one boot
    assert sent == sum(counted(kept / home / "spool.db", used) for home in homes)
    record = kept / "gateway" / "gateway.db"
    assert told["readings_sent"] == sent > 0
    assert told["readings_stored"] == counted(record, "SELECT COUNT(*) FROM message") == sent
    assert told["anchored"] == sent
    assert told["refused"] == {}
    assert told["tree_size"] == fsck.check(kept / "ledger").size


def test_the_whole_demo_misses_nothing_and_proves_an_alarm(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with demo(tmp_path / "here", "--for", FOR_S, "--seed", 7, "--homes", 3, "--json", "--keep", kept) as running:
        code, output = running.ended()
    told = json.loads(output)
    assert (code, list(told)) == (0, FIELDS)
    check_counts(told, kept, ["home-1", "home-2", "home-3"])
    assert (told["missed"], told["false_alarms"], told["verified"]) == (0, 0, True)
    fall, arrest = sorted(told["events"], key=lambda event: str(event["kind"]), reverse=True)
    assert (fall["kind"], arrest["kind"]) == ("fall", "arrest") and fall["home"] != arrest["home"]
    assert all(list(event) == ["home", "kind", "at"] for event in told["events"])
    assert {(alarm["home"], alarm["kind"]) for alarm in told["alarms"]} >= {
        (fall["home"], "fall"),
        (arrest["home"], "ventricular_fibrillation"),
    }
    for alarm in told["alarms"]:
        assert list(alarm) == ["home", "kind", "onset", "raised_at", "latency_ms"]
        took = datetime.fromisoformat(alarm["raised_at"]) - datetime.fromisoformat(alarm["onset"])
        assert alarm["latency_ms"] == took // timedelta(milliseconds=1) and 0 < alarm["latency_ms"] <= 14_000
        assert TIME.fullmatch(alarm["onset"]) and TIME.fullmatch(alarm["raised_at"])
    assert all(TIME.fullmatch(event["at"]) for event in told["events"])
    check_proof(told, kept, running.folder / "alone")


def check_proof(told: Mapping[str, Any], kept: Path, alone: Path) -> None:
    """The evidence that is named is that of the first alarm's message, and verifies with the trust file that is named."""
    bundle = Path(told["evidence"]).read_bytes()
    code, answer = rig.verified(bundle, trust=Path(told["trust"]).read_bytes(), alone=alone)
    assert (code, answer["verified"]) == (0, True)
    with rig.opened(kept / "gateway" / "gateway.db") as record:
        (raw,) = record.execute(
            "SELECT m.raw FROM message m JOIN alert a ON a.lane = m.lane AND a.boot = m.boot AND a.seq = m.seq"
            " JOIN device d ON d.device = a.device AND d.id = m.device ORDER BY a.raised_ms LIMIT 1"
        ).fetchone()
    assert Bundle.decode(bundle).message == raw


def test_without_events_nothing_happens_and_ctrl_c_ends_everything_in_order(tmp_path: Path) -> None:
    with demo(tmp_path, "--for", 3600, "--seed", 7, "--homes", 2, "--no-events", "--json") as running:
        children = running.living(2)
        (folder,) = {Path(f"/proc/{pid}/cwd").readlink() for pid in children.values()}
        running.process.send_signal(signal.SIGINT)
        code, output = running.ended()
        assert gone(children)
    told = json.loads(output)
    assert (code, told["events"], told["alarms"], told["missed"], told["false_alarms"]) == (0, [], [], 0, 0)
    assert told["readings_sent"] == told["readings_stored"] == told["anchored"] > 0
    assert told["verified"] is True and Path(told["evidence"]).is_file() and Path(told["trust"]).is_file()
    assert not folder.exists() and left(tmp_path) == [Path(told["evidence"]).parent]


def test_ctrl_c_twice_ends_everything_at_once(tmp_path: Path) -> None:
    with demo(tmp_path, "--for", 3600, "--homes", 2, "--no-events") as running:
        children = running.living(2)
        running.process.send_signal(signal.SIGINT)
        until(lambda: "once more" in running.process.stdout.readline())  # type: ignore[union-attr]
        running.process.send_signal(signal.SIGINT)
        code, _ = running.ended()
        assert gone(children)
    assert code == 1
    assert left(tmp_path) == []


def test_a_demo_whose_gateway_dies_says_so_and_leaves_nobody_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--for", 3600, "--homes", 1, "--no-events", "--json") as running:
        children = running.living(1)
        os.kill(children["gateway"], signal.SIGKILL)
        code, output = running.ended()
        assert gone(children)
    assert (code, json.loads(output)["error"]) == (1, "demo_ended")
    assert "gateway has ended" in running.told()
    assert left(tmp_path) == []


def test_recordings_are_played_instead(tmp_path: Path) -> None:
    """A table of somebody who sits still, and one who drops to the floor and stays there."""
    played, kept = tmp_path / "recordings", tmp_path / "kept"
    played.mkdir()
    for name, rows in (("drops", _drop()), ("sits", np.tile((0.0, 1.0, 0.0), (12 * RATE_HZ, 1)))):
        lines = [f"{frame / RATE_HZ},{x},{y},{z}" for frame, (x, y, z) in enumerate(rows)]
        (played / f"{name}.csv").write_text("\n".join(("time [s],x [g],y [g],z [g]", *lines)) + "\n")
    with demo(tmp_path, "--for", 3600, "--homes", 2, "--replay", played, "--keep", kept, "--json") as running:
        code, output = running.ended()  # when the recordings have, long before an hour
    told = json.loads(output)
    assert (code, told["events"], told["missed"]) == (0, [], 0)
    assert [(alarm["home"], alarm["kind"]) for alarm in told["alarms"]] == [("home-1", "fall")]
    assert told["false_alarms"] is None, "nobody knows what happened in a recording"
    check_counts(told, kept, ["home-1", "home-2"])
    check_proof(told, kept, tmp_path / "alone")


def _drop() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Upright, a blow, and lying."""
    rows = np.tile((0.0, 1.0, 0.0), (12 * RATE_HZ, 1))
    rows[5 * RATE_HZ : 5 * RATE_HZ + 4] = (3.0, 3.0, 3.0)
    rows[5 * RATE_HZ + 4 :] = (0.0, 0.0, 1.0)
    return rows + np.random.default_rng(1).normal(0, 0.005, rows.shape)


@pytest.mark.parametrize(
    "words",
    [
        ("--for", "20"),  # too short for the script
        ("--for", "4"),
        ("--homes", "0"),
        ("--homes", "65"),
        ("--replay", "nowhere"),
        ("--keep", "full"),
        ("--no-such-option",),
    ],
    ids=" ".join,
)
def test_what_cannot_be_shown_is_refused_at_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine")
    with demo(tmp_path, *words) as running:
        code, output = running.ended()
    assert (code, output) == (2, "")
    assert words[0] in running.told() or words[0] == "--keep"
    assert (tmp_path / "full" / "letter").read_text() == "mine"
