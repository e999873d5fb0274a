"""`vigil ledger monitor` against a ledger on a port."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import vigil
from ledger import contracts
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol.documents import MEMBERS
from tests.support import ledgers
from tests.support.policies import read_by
from tests.support.serving import nobody, served

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path / "ledger") as found:
        found.register(ledgers.admission(tmp_path / "ledger"))
        (tmp_path / "trust.json").write_text(json.dumps(found.trust()))
        yield found


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    with served(http.app(engine, Metrics(contracts.CODES))) as found:
        yield found


def words(tmp_path: Path, url: str, *more: str) -> list[str]:
    """The command's words."""
    return ["ledger", "monitor", url, "--trust", str(tmp_path / "trust.json"), "--state", str(tmp_path / "m"), *more]


def ran(tmp_path: Path, url: str, *more: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(vigil.cli, words(tmp_path, url, "--once", *more))


def lines(result: Result) -> list[dict[str, object]]:
    """What it printed with --json."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_log_is_followed_once_and_again(tmp_path: Path, engine: Engine, url: str) -> None:
    first = ran(tmp_path, url, "--json", "--issuer", ledgers.GATEWAY.public.urn)
    assert (first.exit_code, [line["event"] for line in lines(first)]) == (0, ["checkpoint", "followed"])
    for n in range(2):
        engine.register(ledgers.anchor(n))
    second = ran(tmp_path, url, "--json", "--issuer", ledgers.GATEWAY.public.urn)
    assert [line["event"] for line in lines(second)] == ["checkpoint", "alert", "alert", "followed"]
    assert lines(second)[1]["iss"] == ledgers.GATEWAY.public.urn
    third = ran(tmp_path, url)
    assert (third.exit_code, third.stdout) == (0, "")


def test_plain_lines_say_the_same_to_people(tmp_path: Path, url: str) -> None:
    found = ran(tmp_path, url, "--subject", "vigil:log:")
    assert [line.split(":")[0] for line in found.stdout.splitlines()] == ["checkpoint", "alert", "followed"]


def test_a_member_reads_with_a_key_what_is_not_for_everybody(tmp_path: Path, engine: Engine, url: str) -> None:
    engine.register(read_by(tmp_path / "ledger", engine, MEMBERS))
    engine.register(ledgers.anchor(1))
    key = tmp_path / "key.pem"
    key.write_text(ledgers.GATEWAY.pem())
    issuer = ("--issuer", ledgers.GATEWAY.public.urn)
    assert [line["event"] for line in lines(ran(tmp_path, url, "--json", *issuer))] == ["checkpoint", "followed"]
    (tmp_path / "m" / "followed.json").unlink()
    found = lines(ran(tmp_path, url, "--json", *issuer, "--key", str(key)))
    assert [line["event"] for line in found] == ["checkpoint", "alert", "followed"]
    (tmp_path / "m" / "followed.json").unlink()
    key.write_text(ledgers.STRANGER.pem())
    refused = ran(tmp_path, url, "--json", *issuer, "--key", str(key))
    assert (refused.exit_code, lines(refused)[-1]["error"]) == (5, "signature_key_unknown")


def test_exit_codes_tell_what_happened(tmp_path: Path, url: str) -> None:
    gone = ran(tmp_path, nobody(), "--json")
    assert (gone.exit_code, lines(gone)[0]["error"]) == (5, "ledger_unreachable")
    assert ran(tmp_path, "ftp://ledger.example").exit_code == 2
    assert ran(tmp_path, url, "--every", "0").exit_code == 2
    assert ran(tmp_path, url, "--key", str(tmp_path / "none.pem")).exit_code == 3
    trust = (tmp_path / "trust.json").read_text()
    with contextlib.closing(ledgers.opened(tmp_path / "other")) as other:
        (tmp_path / "trust.json").write_text(json.dumps(other.trust()))
    forged = ran(tmp_path, url, "--json")
    assert (forged.exit_code, lines(forged)[0]["error"]) == (4, "log_unsigned")
    (tmp_path / "trust.json").write_text("none")
    assert ran(tmp_path, url).exit_code == 5
    (tmp_path / "trust.json").write_text(trust)
    assert ran(tmp_path, url).exit_code == 0


def test_a_rolled_back_log_ends_the_monitor_and_leaves_both_checkpoints(tmp_path: Path, engine: Engine) -> None:
    old = engine.checkpoint()
    engine.register(ledgers.anchor(1))
    app = http.app(engine, Metrics(contracts.CODES))
    with served(app) as url:
        assert ran(tmp_path, url).exit_code == 0
        shelf = engine._shelf.published
        engine._shelf.published = type(shelf)(
            **{**{name: getattr(shelf, name) for name in shelf.__slots__}, "note": old, "size": engine.size - 1}
        )
        result = ran(tmp_path, url, "--json")
        engine._shelf.published = shelf
    assert result.exit_code == 4
    found = lines(result)
    assert (found[0]["event"], found[0]["contradiction"]) == ("contradiction", "shrank")
    assert found[1]["error"] == "log_shrank"
    folder = Path(str(found[0]["evidence"]))
    assert (folder / "later.checkpoint").read_text() == old
    assert (folder / "earlier.checkpoint").read_text() == engine.checkpoint()


def test_a_running_monitor_ends_at_a_signal_and_its_folder_is_free_again(tmp_path: Path, url: str) -> None:
    command = [sys.executable, "-m", "vigil", *words(tmp_path, url, "--json")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["event"] for _ in range(2)] == ["checkpoint", "followed"]
        held = ran(tmp_path, url, "--json")
        assert (held.exit_code, lines(held)[0]["error"]) == (2, "state_in_use")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert ran(tmp_path, url).exit_code == 0
