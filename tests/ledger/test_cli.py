"""The ledger's command line: run it, admit a gateway, verify a receipt offline, check the log; and its settings."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

import vigil
from ledger import settings
from ledger.log import fsck
from protocol import receipt, statement
from protocol.errors import ConfigError
from protocol.evidence import Trust
from tests.support import ledgers

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20


def ran(*words: str, env: dict[str, str] | None = None) -> Result:
    """A command in this process."""
    return CliRunner().invoke(
        vigil.cli, ["ledger", *words], env={"VIGIL_STATE": None, "VIGIL_CONFIG": None, **(env or {})}
    )


def told(*words: str) -> dict[str, object]:
    """The object that a command prints."""
    result = ran(*words, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


def started(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """`vigil ledger run` in a process of its own, on free ports."""
    command = [sys.executable, "-m", "vigil", "ledger", "run", "--port", "0", "--metrics-port", "0", *words]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    return subprocess.Popen(
        command, cwd=ROOT, env={**inherited, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
    """The exit code and standard error after a signal."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=DEADLINE_S)
    return process.returncode, errors


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A ledger with one admitted gateway, at rest; whole in the end."""
    state = tmp_path / "ledger"
    with ledgers.checked(state) as engine:
        engine.register(ledgers.admission(state))
    yield state
    fsck.check(state)


def test_a_ledger_runs_takes_a_gateway_and_proves_it_offline(tmp_path: Path) -> None:
    state = tmp_path / "ledger"
    process = started("--state", str(state), "--origin", ledgers.ORIGIN, "--json")
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["origin"], ready["size"]) == ("ready", ledgers.ORIGIN, ledgers.BEGUN)
        files = {name: tmp_path / name for name in ("trust.json", "admission.cose", "receipt.cose")}
        told("trust", "--state", str(state), "--out", str(files["trust.json"]))
        key = ledgers.GATEWAY.public.x.hex()
        admit = ["admit", "--state", str(state), "--role", "gateway", "--key", key, "--name", "clinic"]
        entry = told(*admit, "--out", str(files["admission.cose"]))["entry"]
        raw = files["admission.cose"].read_bytes()
        assert (statement.entry(raw).hex(), raw) == (entry, ledgers.admission(state))
        answer = httpx.post(f"{ready['url']}/entries", content=raw, headers={"content-type": "application/cose"})
        assert answer.status_code == 201
        files["receipt.cose"].write_bytes(answer.content)
        assert httpx.get(f"{ready['metrics']}/healthz").json()["tree_size"] == ledgers.BEGUN + 1
        assert told("fsck", "--state", str(state))["size"] == ledgers.BEGUN + 1
        again = ran("run", "--state", str(state), "--port", "0", "--json")
        assert (again.exit_code, json.loads(again.stdout)["error"]) == (2, "state_in_use")
    finally:
        code, errors = ended(process)
    assert (code, errors) == (0, "")
    words = ["--receipt", str(files["receipt.cose"]), "--trust", str(files["trust.json"])]
    verified = told("verify", "--statement", str(files["admission.cose"]), *words)
    assert (verified["verified"], verified["index"], verified["size"]) == (True, 2, 3)
    files["admission.cose"].write_bytes(receipt.attach(raw, [answer.content]))
    assert told("verify", "--statement", str(files["admission.cose"]), *words) == verified
    fsck.check(state)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_people_get_a_sentence(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "vigil.toml"
    file.write_text(f"[ledger]\norigin = '{ledgers.ORIGIN}'\n")
    process = started(env={"VIGIL_CONFIG": str(file), "VIGIL_STATE": str(tmp_path)})
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"the ledger {ledgers.ORIGIN} serves http://127.0.0.1:")
    assert ended(process, number) == (0, "")
    fsck.check(tmp_path / "ledger")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    process = started("--state", str(tmp_path / "one"), "--json")
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["url"].rsplit(":", 1)[1]
        result = ran("run", "--state", str(tmp_path / "two"), "--port", port, "--metrics-port", "0", "--json")
    finally:
        ended(process)
    assert result.exit_code == 5
    assert json.loads(result.stdout)["error"] == "address_in_use"
    assert port in result.stderr
    fsck.check(tmp_path / "two")


def test_an_admission_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    words = [
        "admit",
        "--state",
        str(folder),
        "--role",
        "gateway",
        "--name",
        "clinic",
        "--key",
        ledgers.STRANGER.public.x.hex(),
    ]
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        told(*words, "--out", str(out))
    assert outs[0].read_bytes() == outs[1].read_bytes() == ledgers.admission(folder, ledgers.STRANGER)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--role", "gateway", "--key", "xyz", "--name", "clinic"], 2, "admission_bad"),
        (["--role", "gateway", "--key", "aa" * 31, "--name", "clinic"], 2, "admission_bad"),
        (["--role", "gateway", "--key", "aa" * 32, "--name", "c" * 129], 2, "admission_bad"),
        (["--role", "gateway", "--key", "aa" * 32, "--name", ""], 2, "admission_bad"),
    ],
)
def test_an_admission_that_the_log_would_refuse_is_not_written(
    folder: Path, tmp_path: Path, words: list[str], code: int, error: str
) -> None:
    result = ran("admit", "--state", str(folder), *words, "--out", str(tmp_path / "out"), "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (code, error)
    assert not (tmp_path / "out").exists()


def test_an_unknown_role_is_a_usage_error(folder: Path, tmp_path: Path) -> None:
    words = ["--role", "king", "--key", "aa" * 32, "--name", "x", "--out", str(tmp_path / "out")]
    assert ran("admit", "--state", str(folder), *words).exit_code == 2


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["trust"], 3, "state_missing"),
        (["fsck"], 5, "state_unreadable"),
        (["admit", "--role", "gateway", "--key", "aa" * 32, "--name", "x", "--out", "/dev/null"], 3, "key_missing"),
    ],
)
def test_where_no_ledger_is_that_is_said(tmp_path: Path, words: list[str], code: int, error: str) -> None:
    result = ran(*words, "--state", str(tmp_path / "nothing"), "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (code, error)
    assert not (tmp_path / "nothing").exists()


def test_trust_is_printed_when_no_file_is_named_and_checks_what_the_log_signs(folder: Path) -> None:
    trust = Trust.from_json(ran("trust", "--state", str(folder)).stdout.encode())
    assert told("trust", "--state", str(folder)) == json.loads(trust.to_json())
    with ledgers.checked(folder) as engine:
        assert trust.policy.check(engine.checkpoint())[0].size == ledgers.BEGUN + 1


def test_a_damaged_ledger_ends_the_check_with_its_own_exit_code(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("UPDATE node SET hash = zeroblob(32)")
    db.close()
    result = ran("fsck", "--state", str(tmp_path), "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (4, "node_wrong")


@pytest.fixture
def proved(folder: Path, tmp_path: Path) -> dict[str, Path]:
    """A statement, its receipt and a trust file."""
    raw = ledgers.anchor(1)
    with ledgers.checked(folder) as engine:
        proof = engine.register(raw).receipt
    files = {name: tmp_path / name for name in ("statement", "receipt", "trust")}
    files["statement"].write_bytes(raw)
    files["receipt"].write_bytes(proof)
    told("trust", "--state", str(folder), "--out", str(files["trust"]))
    return files


def _verify(files: dict[str, Path]) -> Result:
    return ran("verify", *(word for name, path in files.items() for word in (f"--{name}", str(path))), "--json")


def test_a_receipt_is_verified_and_every_changed_byte_of_it_or_of_its_statement_is_refused(
    proved: dict[str, Path],
) -> None:
    assert _verify(proved).exit_code == 0
    for name in ("statement", "receipt"):
        data = proved[name].read_bytes()
        for place in range(0, len(data), 7):
            proved[name].write_bytes(data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :])
            result = _verify(proved)
            assert result.exit_code == 4, (name, place, result.output)
        proved[name].write_bytes(data)


def test_a_receipt_of_another_log_proves_nothing(proved: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    with ledgers.checked(other):
        told("trust", "--state", str(other), "--out", str(proved["trust"]))
    result = _verify(proved)
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (4, "log_unknown")


def test_a_file_that_cannot_be_used_is_not_a_failed_check(proved: dict[str, Path], tmp_path: Path) -> None:
    missing = {**proved, "receipt": tmp_path / "nothing"}
    result = _verify(missing)
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (5, "file_unreadable")
    proved["trust"].write_text("{}")
    result = _verify(proved)
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (5, "trust_bad")


def test_settings_come_from_file_environment_and_flags() -> None:
    text = "[ledger]\nport = 1\nstate = '/one'\norigin = 'a'\n"
    found = settings.read(text=text, env={"VIGIL_LEDGER_PORT": "2"}, flags={"state": Path("/two")})
    assert found == settings.Settings(port=2, state=Path("/two"), origin="a")


@pytest.mark.parametrize(
    "flags",
    [{"port": -1}, {"port": 65_536}, {"metrics_port": 70_000}, {"answer_within_s": -0.1}, {"answer_within_s": 31.0}],
)
def test_a_number_outside_its_range_is_refused(flags: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.read(flags=flags)
    assert refused.value.code == "settings_bad_value"


def test_a_settings_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vigil.toml"
    file.write_bytes(b"\xff\xfe")
    result = ran("fsck", "--json", env={"VIGIL_CONFIG": str(file)})
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (2, "settings_not_toml")
