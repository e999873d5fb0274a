"""The units: what they start exists, may do little, keeps its state where it may write, and says when it is ready."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from device_sim.settings import Settings as DeviceSettings
from gateway.settings import Settings as GatewaySettings
from ledger.party.settings import Settings as PartySettings
from ledger.settings import Settings as LedgerSettings
from ledger.witness.settings import Settings as WitnessSettings
from protocol import config
from tests.support import deployed
from tests.support.tools import REPOSITORY, called, tool

SETTINGS = {
    "device": DeviceSettings,
    "gateway": GatewaySettings,
    "ledger": LedgerSettings,
    "party": PartySettings,
    "witness": WitnessSettings,
}
PROGRAMS = tuple(SETTINGS)
EXPOSURE_MAX = 15  # of 100, as `systemd-analyze security` counts: an ordinary service has 96
READY_S = 30.0
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "DynamicUser": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "MemoryDenyWriteExecute": "yes",
    "RestrictSUIDSGID": "yes",
    "UMask": "0077",
    "StateDirectoryMode": "0700",
}

every_program = pytest.mark.parametrize("program", PROGRAMS)


def service(program: str) -> dict[str, list[str]]:
    return dict(deployed.unit(program)["Service"])


def words(program: str) -> list[str]:
    """What the unit calls, after `vigil`."""
    (line,) = service(program)["ExecStart"]
    command, *rest = shlex.split(line)
    assert command == "/opt/vigil/bin/vigil"
    return rest


def test_there_is_a_unit_for_each_program() -> None:
    found = {path.name for path in (deployed.DEPLOY / "systemd").glob("*.service")}
    assert found == {f"vigil-{program}.service" for program in PROGRAMS}


@every_program
def test_a_unit_calls_a_command_that_there_is(program: str) -> None:
    assert deployed.taken(words(program)).name == "run"
    assert words(program)[-2:] == [program, "run"]


def test_a_command_that_there_is_not_would_be_noticed() -> None:
    for wrong in (["gateway", "start"], ["gateway", "run", "--fast"], ["gatewey", "run"], ["gateway"]):
        with pytest.raises(click.UsageError):
            deployed.taken(wrong)


@every_program
def test_a_unit_may_do_little(program: str) -> None:
    found = service(program)
    for key, value in HARDENING.items():
        assert found[key] == [value], key
    assert "User" not in found, "a dynamic user is nobody else"
    assert found["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert int(found["LimitNOFILE"][0]) >= 4096 and found["MemoryMax"] and found["TasksMax"]


@every_program
def test_a_unit_starts_again_for_ever(program: str) -> None:
    assert service(program)["Restart"] == ["always"]
    assert deployed.unit(program)["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert deployed.unit(program)["Install"]["WantedBy"] == ["multi-user.target"]


@every_program
def test_a_unit_keeps_the_state_in_the_one_folder_that_it_may_write(program: str) -> None:
    found = service(program)
    (folder,) = found["StateDirectory"]
    variables = deployed.environment(found)
    assert variables.keys() == {"VIGIL_CONFIG", f"VIGIL_{program.upper()}_STATE"}
    settings = config.resolve(SETTINGS[program], program, env=variables)
    assert settings.state == Path("/var/lib") / folder


@every_program
def test_systemd_takes_the_units(program: str, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    name = f"vigil-{program}.service"
    text = (deployed.DEPLOY / "systemd" / name).read_text()
    (tmp_path / name).write_text(text.replace("/opt/vigil/bin/vigil", sys.executable))
    assert called([analyze, "verify", str(tmp_path / name)]) == (0, "")
    checked = [analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(tmp_path / name)]
    code, told = called(checked)
    assert code == 0, told


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(READY_S)
        yield listening


@pytest.mark.parametrize("program", ["gateway", "ledger", "party"])
def test_a_program_started_as_by_its_unit_says_that_it_is_ready_and_writes_only_its_state(
    program: str, tmp_path: Path, notify: socket.socket
) -> None:
    """Type=notify waits for READY=1; ProtectSystem=strict would refuse any other place to write."""
    assert service(program)["Type"] == ["notify"]
    folder, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    elsewhere.mkdir()
    ports = [field for field in SETTINGS[program].__dataclass_fields__ if re.fullmatch(r"(\w+_)?port", field)]
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VIGIL_")},
        **{f"VIGIL_{program.upper()}_{port.upper()}": "0" for port in ports if port != "plain_port"},
        **deployed.environment(service(program)),
        f"VIGIL_{program.upper()}_STATE": str(folder),
        "VIGIL_CONFIG": str(deployed.DEPLOY / "vigil.example.toml"),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "vigil", *words(program), "--json"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=elsewhere, env=variables, stdout=subprocess.PIPE, stderr=log)
    try:
        assert notify.recv(100) == b"READY=1", (tmp_path / "log").read_text()
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
    finally:
        process.terminate()
        process.communicate(timeout=READY_S)
    assert process.returncode == 0
    assert any(folder.iterdir())
    assert list(elsewhere.iterdir()) == []
