"""A ledger and its witnesses as processes: `vigil ledger run` with a policy of `vigil ledger witness run`, and a restored copy."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ledger.log import fsck
from protocol import policy
from protocol.errors import BadSignature
from protocol.policy import Policy
from tests.support import ledgers
from tests.support import witnesses as rig

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0
COSE = {"content-type": "application/cose"}


@contextlib.contextmanager
def running(*words: str) -> Iterator[dict[str, str]]:
    """A command in a process of its own, and what it says when it is ready."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    command = [sys.executable, "-m", "vigil", "ledger", *words, "--json"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)


def witness(state: Path, port: str = "0") -> contextlib.AbstractContextManager[dict[str, str]]:
    return running("witness", "run", "--state", str(state), "--port", port, "--metrics-port", "0")


def ledger(state: Path, rules: Path) -> contextlib.AbstractContextManager[dict[str, str]]:
    ports = ["--port", "0", "--metrics-port", "0"]
    return running("run", "--state", str(state), "--witness-policy", str(rules), *ports)


def until(reached: Callable[[], bool], what: str) -> None:
    ends_s = time.monotonic() + WITHIN_S
    while not reached():
        assert time.monotonic() < ends_s, f"never: {what}"
        time.sleep(0.05)


def shown(url: str, rules: Policy) -> int:
    """The size of the checkpoint that the ledger shows when it meets the policy, else 0."""
    try:
        return rules.check(httpx.get(f"{url}/checkpoint").text)[0].size
    except BadSignature:
        return 0


def post(url: str, number: int) -> int:
    return httpx.post(f"{url}/entries", content=ledgers.anchor(number), headers=COSE).status_code


@pytest.mark.timeout(180)
def test_a_running_ledger_is_witnessed_survives_its_witness_and_is_refused_as_an_old_copy(tmp_path: Path) -> None:
    state, copy, rules = tmp_path / "ledger", tmp_path / "copy", tmp_path / "policy"
    with ledgers.checked(state) as engine:
        engine.register(ledgers.admission(state))
        log_line = str(engine.trust()["policy"]).split("quorum")[0]
        vkey = policy.parse(str(engine.trust()["policy"])).logs[engine.origin][0]
        size = engine.size
    keys = [_made(tmp_path / name, vkey.name, vkey, name) for name in ("w0", "w1")]
    with contextlib.ExitStack() as held:
        ports = [held.enter_context(witness(tmp_path / name))["url"].rsplit(":", 1)[1] for name in ("w0", "w1")]
        lines = "".join(
            f"witness w{number} {key} http://127.0.0.1:{port}\n"
            for number, (key, port) in enumerate(zip(keys, ports, strict=True))
        )
        rules.write_text(f"{log_line}{lines}group g 2 w0 w1\nquorum g\n")
        read = policy.parse(rules.read_text())
        with ledger(state, rules) as ready:
            url = ready["url"]
            until(lambda: shown(url, read) == size, "the first checkpoint is cosigned")
            for number in range(20):
                assert post(url, number) == 201
            until(lambda: shown(url, read) == size + 20, "what was registered is cosigned")
        fsck.check(state)
        shutil.copytree(state, copy)
        with ledger(state, rules) as ready:
            assert shown(ready["url"], read) == size + 20  # at once: it was kept
            assert post(ready["url"], 100) == 201
            until(lambda: shown(ready["url"], read) == size + 21, "it goes on after a restart")
        env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
        words = [
            "run",
            "--state",
            str(copy),
            "--witness-policy",
            str(rules),
            "--port",
            "0",
            "--metrics-port",
            "0",
            "--json",
        ]
        ended = subprocess.run(
            [sys.executable, "-m", "vigil", "ledger", *words],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, json.loads(ended.stdout)["error"]) == (2, "log_rolled_back")
        assert "bring back the newest copy" in ended.stderr
    # The witnesses are gone: the old copy starts, says so, and stops taking statements when one of them is back.
    with ledger(copy, rules) as ready:
        url, health = ready["url"], f"{ready['metrics']}/healthz"
        assert post(url, 200) == 201 and httpx.get(health).status_code == 200
        with witness(tmp_path / "w0", ports[0]):
            until(lambda: httpx.get(health).status_code == 503, "it learns that it is old")
            answer = httpx.post(f"{url}/entries", content=ledgers.anchor(201), headers=COSE)
            assert answer.status_code == 503 and b"log_rolled_back" in answer.content
            assert "vigil_ledger_rolled_back 1.0" in httpx.get(f"{ready['metrics']}/metrics").text
    fsck.check(copy)


def _made(folder: Path, origin: str, key: rig.NoteKey, name: str) -> str:
    found = rig.made(folder, name=f"{name}.example")
    with contextlib.closing(rig.Store.open(folder)) as store:
        store.add_log(key, url="", path=rig.witnessing.checkpoint_path(origin))
    return found.vkey()


@pytest.mark.timeout(120)
def test_a_witness_that_is_killed_again_and_again_never_takes_back_what_it_cosigned(tmp_path: Path) -> None:
    log = rig.Log().grown(400)
    key = rig.made(tmp_path, log)
    known = 0
    for _ in range(5):
        env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
        words = ["witness", "run", "--state", str(tmp_path), "--port", "0", "--metrics-port", "0", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "vigil", "ledger", *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client() as client:
            old = (
                int(client.post(f"{url}/add-checkpoint", content=log.request(0, 399).body()).content or 0)
                if known
                else 0
            )
            assert old >= known
            for size in range(old + 1, old + 8):
                answer = client.post(f"{url}/add-checkpoint", content=log.request(old, size).body())
                assert answer.status_code == 200
                notes_ = rig.notes.parse(log.note(size) + answer.content.decode())
                assert key in dict(rig.notes.verify(notes_, [key]))
                old = known = size
        process.kill()
        process.communicate()
    assert known >= 35
