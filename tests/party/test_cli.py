"""`vigil party`: its commands, exit codes and settings."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger.log import fsck
from ledger.party import settings
from ledger.party.settings import Settings
from protocol import conflict, statement
from protocol.errors import ConfigError
from protocol.keys import SigningKey
from tests.support import ledgers, paper, parties

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30
OWN = SigningKey.from_seed(bytes([1]) * 32).public.x.hex()


def ran(*words: str, env: dict[str, str] | None = None) -> Result:
    """A command in this process."""
    cleared = {"VIGIL_STATE": None, "VIGIL_CONFIG": None}
    return CliRunner().invoke(vigil.cli, ["party", *words], env={**cleared, **(env or {})})


def told(*words: str) -> dict[str, object]:
    """The object that a command prints."""
    result = ran(*words, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


def started(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """`vigil party run` in a process of its own, on free ports."""
    command = [sys.executable, "-m", "vigil", "party", "run", "--port", "0", "--metrics-port", "0", *words, "--json"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    return subprocess.Popen(
        command, cwd=ROOT, env={**inherited, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_init_makes_a_key_once_that_nobody_else_reads_and_says_how_it_is_admitted(tmp_path: Path) -> None:
    state = tmp_path / "party"
    first = told("init", "--state", str(state), "--name", "St. Mary's")
    assert stat.S_IMODE((state / "party.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "party.db").stat().st_mode) == 0o600
    key = SigningKey.from_pem((state / "party.key").read_text()).public
    assert (first["key"], first["thumbprint"]) == (key.x.hex(), key.thumbprint.hex())
    assert told("init", "--state", str(state)) | {"name": "", "admit": ""} == first | {"name": "", "admit": ""}


def test_what_init_says_admits_the_party(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path / "ledger") as engine:
        said = str(told("init", "--state", str(tmp_path / "party"), "--name", "St. Mary's")["admit"])
        _, program, *words = shlex.split(said)
        words[words.index("--out") + 1] = str(tmp_path / "party.admission")
        result = CliRunner().invoke(vigil.cli, [program, *words, "--state", str(tmp_path / "ledger")])
        assert result.exit_code == 0, result.output
        assert engine.register((tmp_path / "party.admission").read_bytes()).new


def test_status_tells_what_stands_where(tmp_path: Path) -> None:
    state = tmp_path / "party"
    result = ran("status", "--state", str(state))
    assert result.exit_code == 3 and "[key_missing]" in result.stderr
    told("init", "--state", str(state))
    with parties.folder(state) as (key, store):
        for number in range(3):
            raw = statement.sign(key, iss=key.public.urn, sub="x", payload=b"%d" % number, content_type="text/plain")
            store.queue(statement.entry(raw), raw, now_ms=number)
        store.refuse(statement.entry(raw), "content_type_not_allowed", now_ms=9)
        found = told("status", "--state", str(state))  # while it is at work
    expected = {"admitted": False, "waiting": 2, "receipted": 0, "checkpoint": None, "conflicts": 0}
    assert found.items() >= expected.items() and found["refused"] == {"content_type_not_allowed": 1}
    assert found["key"] == key.public.x.hex()
    assert "2 wait" in ran("status", "--state", str(state)).output


def test_status_writes_the_proofs_that_a_log_contradicted_itself(tmp_path: Path) -> None:
    log, fork = paper.Paper(), paper.Paper()
    log.grow(4)
    fork.grow(4, salt=b"fork")
    with parties.folder(tmp_path) as (_, store):
        found = conflict.Conflict(
            earlier=conflict.Seen(note=log.note(5), at_ms=1), later=conflict.Seen(note=fork.note(5), at_ms=2)
        )
        store.accuse(found)
    out = tmp_path / "proofs"
    assert told("status", "--state", str(tmp_path), "--conflicts", str(out))["conflicts"] == 1
    (file,) = out.iterdir()
    assert conflict.verify(file.read_bytes(), paper.trusted()).kind == "two_roots"
    assert "CONTRADICTED" in ran("status", "--state", str(tmp_path)).output


def test_a_party_whose_key_is_gone_does_not_become_another(tmp_path: Path) -> None:
    told("init", "--state", str(tmp_path))
    (tmp_path / "party.key").unlink()
    for command in (["init"], ["run", "--port", "0", "--metrics-port", "0"]):
        result = ran(*command, "--state", str(tmp_path))
        assert result.exit_code == 2 and "[key_lost]" in result.stderr


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    with parties.folder(tmp_path):
        result = ran("run", "--state", str(tmp_path), "--port", "0", "--metrics-port", "0")
    assert result.exit_code == 2 and "[state_in_use]" in result.stderr


@pytest.mark.parametrize(
    ("setting", "value", "code", "exit_code"),
    [
        ("--ledger-url", "http://127.0.0.1:1", "trust_missing", 2),
        ("--admission", "nowhere", "file_unreadable", 5),
        ("--trust", "nowhere", "file_unreadable", 5),
        ("--port", "70000", "settings_bad_value", 2),
        ("--name", "x" * 129, "settings_bad_value", 2),
    ],
)
def test_a_wrong_setting_stops_it_and_is_named(
    tmp_path: Path, setting: str, value: str, code: str, exit_code: int
) -> None:
    result = ran("run", "--state", str(tmp_path), "--metrics-port", "0", setting, value)
    assert result.exit_code == exit_code and f"[{code}]" in result.stderr


def test_an_admission_of_another_key_stops_it(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path / "ledger"):
        pass
    other = parties.admission(tmp_path / "ledger", parties.STRANGER, tmp_path / "other.admission")
    for file in (other, tmp_path / "ledger" / "log.key"):
        words = ["--state", str(tmp_path / "party"), "--port", "0", "--metrics-port", "0", "--admission", str(file)]
        result = ran("run", *words)
        assert result.exit_code == 2 and "[admission_bad]" in result.stderr


@pytest.mark.parametrize(
    "changed",
    [
        {"writers": ("ABC",)},
        {"peers": (OWN.upper(),)},
        {"peers": (OWN,) * 1025},
        {"addresses": ("http://party.example",)},
        {"host": "0.0.0.0"},
        {"name": "two\nlines"},
        {"ledger_url": "http://a", "trust": "t", "with_ledger": True},
        {"metrics_port": -1},
        {"url": "https://clinic.example/"},
        {"url": "clinic.example"},
        {"did": "did:key:z6Mk"},
        {"did": "did:web:clinic.example/x"},
        {"credential_sources": ("https://clinic.example",)},
        {"credential_sources": ("https://clinic.example/",) * 1025},
        {"host": "10.0.0.1", "vc_api": True},
    ],
)
def test_settings_that_cannot_be_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Settings(**changed)


def test_an_issuer_is_reached_under_an_address_and_believes_lists_under_addresses() -> None:
    Settings(
        url="https://clinic.example:8443",
        did="did:web:clinic.example%3A8443:staff",
        credential_sources=("https://board.example/credentials/", "http://127.0.0.1:8091/"),
        vc_api=True,
    )


def test_settings_are_read_from_text_environment_and_flags() -> None:
    found = settings.read(
        text=f'[party]\nname = "a"\nport = 1\nwriters = ["{OWN}"]',
        env={"VIGIL_PARTY_PEERS": OWN, "VIGIL_PARTY_PORT": "2"},
        flags={"port": 3, "addresses": None},
    )
    assert (found.name, found.port, found.writers, found.peers) == ("a", 3, (OWN,), (OWN,))
    (public,) = settings.keys(found.writers).values()
    assert public.x.hex() == OWN


@pytest.mark.slow
def test_a_party_runs_with_a_ledger_in_its_process_and_both_end_whole(tmp_path: Path) -> None:
    env = {
        "VIGIL_LEDGER_STATE": str(tmp_path / "ledger"),
        "VIGIL_LEDGER_PORT": "0",
        "VIGIL_LEDGER_METRICS_PORT": "0",
    }
    key = str(told("init", "--state", str(tmp_path / "party"))["key"])
    with ledgers.checked(tmp_path / "ledger"):
        pass
    admission = tmp_path / "admission"
    words = ["--role", "party", "--key", key, "--name", "clinic", "--out", str(admission)]
    admitted = CliRunner().invoke(vigil.cli, ["ledger", "admit", "--state", str(tmp_path / "ledger"), *words])
    assert admitted.exit_code == 0, admitted.output
    run = ["--state", str(tmp_path / "party"), "--with-ledger", "--admission", str(admission)]
    for number in (signal.SIGTERM, signal.SIGINT):
        process = started(*run, env=env)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready" and ready["ledger"] and ready["ledger"] != ready["url"]
        for _ in range(DEADLINE_S * 10):
            found = told("status", "--state", str(tmp_path / "party"))
            if found["admitted"]:
                break
            time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, errors) == (0, "")
        assert found["admitted"] and found["receipted"] == 1 and found["waiting"] == 0
    checked = fsck.check(tmp_path / "ledger")
    assert checked.size == ledgers.BEGUN + 1
    assert not (tmp_path / "ledger" / "party.key").exists()
