"""The image and the compose file: what they run exists, is not root, holds no secret and listens on this machine only."""

import dataclasses
import json
import re
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import metrics
from ledger import contracts
from ledger.http import app as http
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from ledger.party import service as party
from ledger.party.metrics import Metrics as PartyMetrics
from ledger.party.store import Store
from protocol import config
from tests.ops.test_systemd import PROGRAMS as UNITS
from tests.ops.test_systemd import SETTINGS
from tests.support import deployed
from tests.support.ledgers import opened
from tests.support.serving import served
from tests.support.tools import REPOSITORY

PROGRAMS = tuple(name for name in UNITS if name != "witness")  # a witness is run by somebody else

DOCKERFILE = (deployed.DEPLOY / "Dockerfile").read_text()
COMPOSE = (deployed.DEPLOY / "compose.yaml").read_text()
SERVICES = deployed.services()

every_service = pytest.mark.parametrize("name", SERVICES)


def test_the_compose_file_has_the_programs_and_who_watches_them() -> None:
    assert SERVICES.keys() == {*PROGRAMS, "prometheus", "grafana"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_service_calls_a_command_that_there_is(name: str) -> None:
    words = json.loads(SERVICES[name]["command"])
    assert (words[0], deployed.taken(words).name) == (name, "run")
    assert SERVICES[name]["image"] == "vigil"


@every_service
def test_a_service_may_do_little(name: str) -> None:
    found = SERVICES[name]
    assert found["cap_drop"] == "[ALL]"
    assert found["security_opt"] == '["no-new-privileges:true"]'
    assert re.fullmatch(r"\d+[mg]", found["mem_limit"])
    assert found["restart"] == "unless-stopped"
    assert not found.keys() & {"privileged", "user", "cap_add", "devices", "pid", "ipc"}
    if name in PROGRAMS:
        assert found["read_only"] == "true"


@every_service
def test_a_service_listens_on_this_machine_only(name: str) -> None:
    found = SERVICES[name]
    assert found["network_mode"] == "host" and "ports" not in found
    if name in PROGRAMS:
        for field in dataclasses.fields(SETTINGS[name]):
            if field.name.endswith("host"):
                assert ip_address(str(field.default)).is_loopback, field.name
    else:
        text = found.get("command", "") + found.get("environment", "")
        addresses = re.findall(r"(?:--web\.listen-address=|GF_SERVER_HTTP_ADDR: )([\d.]+)", text)
        assert [ip_address(address).is_loopback for address in addresses] == [True]


def test_no_secret_is_written_down() -> None:
    for text in (COMPOSE, DOCKERFILE, *(path.read_text() for path in deployed.DEPLOY.glob("grafana/provisioning/*/*"))):
        assert not re.search(r"passw|secret|token|api_?key|BEGIN ", text, re.IGNORECASE)


@every_service
def test_what_a_service_mounts_is_here_and_cannot_be_written(name: str) -> None:
    mounts = re.findall(r'["\s](\./[\w./-]+|\w+):(/[^\s",]+)', SERVICES[name]["volumes"])
    assert mounts
    for source, rest in mounts:
        if source.startswith("."):
            assert rest.endswith(":ro"), source
            assert source == "./vigil.toml" or (deployed.DEPLOY / source).is_dir(), source
        else:
            assert re.search(rf"^volumes: .*\b{source}: \{{\}}", COMPOSE, re.MULTILINE), (
                f"the volume {source} is not declared"
            )


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = opened(tmp_path)
    found.close()
    return found


def asked(name: str) -> tuple[list[str], int, str]:
    """A service's health check: (command, port, path)."""
    found = re.search(r"test: (\[.*\])$", SERVICES[name]["healthcheck"], re.MULTILINE)
    assert found is not None
    kind, program, *arguments = json.loads(found[1])
    assert (kind, program) == ("CMD", "python"), "the image has no other way to ask"
    url = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", arguments[-1])
    assert url is not None
    return arguments, int(url[1]), url[2]


def operators(name: str, engine: Engine, folder: Path, *, healthy: bool) -> Starlette:
    """What a program serves on its port of metrics."""
    if name == "gateway":
        return metrics.app(metrics.Metrics(), lambda: (healthy, {}), lambda: None)
    if name == "party":
        store = Store.open(folder)
        if not healthy:
            store.close()
        return party.metrics_app(store, PartyMetrics())
    engine.__class__ = type("Told", (Engine,), {"healthy": healthy})
    return http.metrics_app(engine, Metrics(contracts.CODES))


watched = pytest.mark.parametrize("name", PROGRAMS[1:])


@watched
def test_a_health_check_asks_where_the_program_answers(name: str, engine: Engine, tmp_path: Path) -> None:
    _, port, path = asked(name)
    assert port == SETTINGS[name]().metrics_port
    routes = operators(name, engine, tmp_path, healthy=True).routes
    assert path in {route.path for route in routes if isinstance(route, Route)}


@watched
@pytest.mark.parametrize("healthy", [True, False])
def test_a_health_check_tells_a_healthy_program_from_one_that_is_not(
    name: str, engine: Engine, tmp_path: Path, healthy: bool
) -> None:
    arguments, port, _ = asked(name)
    with served(operators(name, engine, tmp_path, healthy=healthy)) as url:
        here = [argument.replace(f"http://127.0.0.1:{port}", url) for argument in arguments]
        done = subprocess.run([sys.executable, *here], capture_output=True, timeout=30, check=False)
    assert (done.returncode == 0) is healthy


def test_the_image_installs_by_the_hashes_of_the_lock_and_nothing_else() -> None:
    installs = re.findall(r"pip install ([^\n\\]+)", DOCKERFILE)
    assert installs == [
        "--no-cache-dir --require-hashes -r requirements.lock",
        "--no-cache-dir --no-deps --no-build-isolation .",
    ]
    assert not re.search(r"curl|wget|apt-get|ADD ", DOCKERFILE)


def test_the_image_is_not_root_and_keeps_state_where_the_volume_is() -> None:
    *_, last = DOCKERFILE.split("\nFROM ")
    (user,) = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
    assert int(user) > 0 and f"--uid {user}" in last
    (volume,) = re.findall(r"^VOLUME (\S+)$", last, re.MULTILINE)
    variables = dict(re.findall(r"(VIGIL_\w+)=(\S+)", last))
    assert len(variables) == len(PROGRAMS)
    for program in PROGRAMS:
        settings = config.resolve(SETTINGS[program], program, env=variables)
        assert settings.state == Path(volume) / program
    for name in PROGRAMS:
        assert f"{name}:{volume}" in SERVICES[name]["volumes"]
    assert re.search(r'^ENTRYPOINT \["vigil"\]$', last, re.MULTILINE)


def test_the_image_has_all_that_it_copies_and_the_ignore_file_lets_it() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert {"vigil.py", *("protocol", "device_sim", "gateway", "ledger", "deploy")} <= set(copied)
    ignored = (deployed.DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for word in copied:
        assert (REPOSITORY / word).exists(), word
        assert f"!{word}" in ignored, word
