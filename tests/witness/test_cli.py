"""`vigil ledger witness`: made, told of a log, run as a process, asked by a log, and what it holds against it taken out."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

import vigil
from ledger.witness import settings
from protocol import notes
from protocol.errors import ConfigError
from protocol.notes import NoteKey
from tests.support import witnesses as rig
from tests.support.witnesses import Log

ROOT = Path(__file__).parents[2]
LOG, FORK = Log().grown(20), Log(fork=5, branch="other").grown(20)


def ran(folder: Path, *words: str) -> Result:
    command = ["ledger", "witness", words[0], "--state", str(folder), *words[1:], "--json"]
    return CliRunner().invoke(vigil.cli, command, env={"VIGIL_STATE": None, "VIGIL_CONFIG": None})


def told(folder: Path, *words: str) -> dict:
    result = ran(folder, *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_witness_is_made_told_of_a_log_run_and_asked_for_evidence(tmp_path: Path) -> None:
    state = tmp_path / "witness"
    vkey = told(state, "init", "--name", "witness.example/1")["vkey"]
    assert told(state, "key") == {"name": "witness.example/1", "vkey": vkey}
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    words = ["ledger", "witness", "run", "--state", str(state), "--port", "0", "--metrics-port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vigil", *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["vkey"]) == ("ready", vkey)
        url = f"{ready['url']}/add-checkpoint"
        assert httpx.post(url, content=LOG.request(0, 7).body()).status_code == 404
        assert told(state, "add-log", LOG.vkey.vkey(), "--url", "https://log.example")["new"] is True
        answer = httpx.post(url, content=LOG.request(0, 7).body())
        found = notes.verify(notes.parse(LOG.note(7) + answer.content.decode()), [NoteKey.from_vkey(vkey)])
        assert len(found) == 1
        assert httpx.post(url, content=FORK.request(7, 7).body()).status_code == 422
        assert ran(state, "run").exit_code == 2  # a second process
        assert httpx.get(f"{ready['metrics']}/healthz").json()["ok"] is True
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    (log,) = told(state, "logs")["logs"]
    assert (log["origin"], log["size"], log["url"]) == (LOG.origin, 7, "https://log.example")
    out = tmp_path / "evidence"
    (one,) = told(state, "evidence", "--out", str(out))["evidence"]
    assert one["kind"] == "two_trees"
    files = sorted(file.name for file in out.iterdir())
    assert files == ["1-two_trees-cosigned.note", "1-two_trees-refused.note"]
    for file in files:
        assert LOG.vkey in dict(notes.verify(notes.parse((out / file).read_text()), [LOG.vkey]))


def test_a_log_is_added_once_and_a_witness_is_no_log(tmp_path: Path) -> None:
    rig.made(tmp_path)
    assert told(tmp_path, "add-log", LOG.vkey.vkey())["new"] is True
    assert told(tmp_path, "add-log", LOG.vkey.vkey())["new"] is False
    witness = told(tmp_path, "key")["vkey"]
    for bad in (witness, "nonsense", LOG.vkey.vkey()[:-1]):
        result = ran(tmp_path, "add-log", bad)
        assert (result.exit_code, json.loads(result.stdout)["error"]) == (2, "vkey_bad")


def test_a_key_that_is_retired_is_cosigned_no_more_and_nothing_is_forgotten(tmp_path: Path) -> None:
    rig.made(tmp_path, LOG)
    vkey = LOG.vkey.vkey()
    with rig.opened(tmp_path) as witness:
        assert witness.add(LOG.request(0, 7).body()).code == "cosigned"
        assert [told(tmp_path, "remove-log", vkey)["gone"] for _ in range(2)] == [True, False]
        assert witness.add(LOG.request(7, 9).body()).code == "log_unknown"
        assert told(tmp_path, "add-log", vkey)["new"] is True
        assert witness.add(FORK.request(0, 9).body()).code == "old_differs"
        assert witness.add(FORK.request(7, 7).body()).code == "root_differs"
        assert witness.add(LOG.request(7, 9).body()).code == "cosigned"
    assert ran(tmp_path, "remove-log", "nonsense").exit_code == 2


@pytest.mark.parametrize("command", ["key", "logs", "evidence", "run"])
def test_without_a_witness_there_is_nothing_to_show(tmp_path: Path, command: str) -> None:
    result = ran(tmp_path / "none", command)
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (3, "witness_missing")


@pytest.mark.parametrize(
    "setting", ["port = 70000", "metrics_port = -1", "rate_per_s = 0.0", "log_rate_per_s = 1e9", "x = 1"]
)
def test_a_setting_that_cannot_be_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError):
        settings.read(text=f"[witness]\n{setting}\n")
