"""The device's commands, with a real gateway in a process of its own."""

import asyncio
import contextlib
import dataclasses
import json
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.demo.supervise import Crew, Line, environment
from device_sim import enrolment, link
from device_sim.spool import Spool

ROOT = Path(__file__).parents[2]
FORBIDDEN = (
    "cryptography",
    "sqlite_utils",
    "starlette",
    "numpy",
    "httpx",
    "mqtt5",
    "prometheus_client",
    "rich",
    "gateway",
    "ledger",
    "uvicorn",
)
GRACE_S = 20.0


ENV = environment({"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "VIGIL_DEVICE_DRAIN_S": "15"})


def run(*words: str, drain_s: float = 0.0) -> subprocess.CompletedProcess[str]:
    """`vigil device` with `words`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "vigil", "device", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENV | {"VIGIL_DEVICE_DRAIN_S": str(drain_s)},
        cwd=ROOT,
    )


def answer(*words: str) -> Line:
    shown = run(*words, "--json")
    assert shown.returncode == 0, shown.stderr
    return dict(json.loads(shown.stdout))


@dataclass(slots=True)
class Houses:
    """A gateway that runs, and how to pair with it."""

    crew: Crew
    pair_port: object

    async def paired(self, state: str) -> Path:
        """The folder of a device that is paired."""
        offer = await self.crew.command(
            "gateway", "pair", "--state", "gateway", "--address", f"127.0.0.1:{self.pair_port}", "--name", state
        )
        await self.crew.command("device", "pair", str(offer["offer"]), "--state", state)
        return self.crew.folder / state


@contextlib.asynccontextmanager
async def houses(folder: Path, *, mqtt_port: str = "0") -> AsyncIterator[Houses]:
    """A gateway on `folder`/gateway, and an orderly end of all that was started."""
    crew = Crew(folder=folder, env=ENV)
    gateway = await crew.start(
        "gateway", "gateway", "run", "--state", "gateway", "--demo",
        "--mqtt-port", mqtt_port, "--pair-port", "0", "--page-port", "0", "--metrics-port", "0",
    )  # fmt: skip
    try:
        yield Houses(crew, (await gateway.ready())["pair"])
    finally:
        for name in tuple(crew.running):
            await crew.stop(name, grace_s=GRACE_S)


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a gateway that has ended, and a device in `home` that is paired with it."""
    folder = tmp_path_factory.mktemp("paired")

    async def scene() -> None:
        async with houses(folder) as here:
            await here.paired("home")

    asyncio.run(scene())
    return folder


@pytest.fixture
def enrolled(paired: Path, tmp_path: Path) -> Path:
    """The folder of a paired device whose gateway (in the folder beside it) does not run."""
    shutil.copytree(paired, tmp_path, dirs_exist_ok=True)
    return tmp_path / "home"


def kept_address(state: Path) -> str:
    return enrolment.load(state, enrolment.load_key(state)).mqtt


def lines(shown: subprocess.CompletedProcess[str]) -> list[Line]:
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def stored(folder: Path) -> int:
    """Messages in the gateway's record."""
    with contextlib.closing(sqlite3.connect(folder / "gateway" / "gateway.db")) as db:
        return int(db.execute("SELECT COUNT(*) FROM message").fetchone()[0])


def counters(state: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(state / "spool.db")) as db:
        return dict(db.execute("SELECT name, value FROM counter").fetchall())


def test_keygen_makes_one_key_however_often_it_is_called(tmp_path: Path) -> None:
    state = str(tmp_path / "home")
    first = answer("keygen", "--state", state)
    assert answer("keygen", "--state", state) == first
    key = enrolment.load_key(tmp_path / "home")
    assert first["key"] == key.public.x.hex()
    assert "PRIVATE" not in run("keygen", "--state", state).stdout


def test_a_device_that_is_not_paired_says_what_to_do(tmp_path: Path) -> None:
    state = str(tmp_path / "home")
    assert run("run", "--state", state).returncode == 3
    answer("keygen", "--state", state)
    shown = run("run", "--state", state)
    assert shown.returncode == 3
    assert "device pair" in shown.stderr
    assert answer("status", "--state", state)["paired"] is False


@pytest.mark.parametrize("code", ["vigil://pair?", "https://example.org", "vigil://pair?a=h:1&k=AA&s=AA"])
def test_a_text_that_is_no_offer_is_refused(tmp_path: Path, code: str) -> None:
    assert run("pair", code, "--state", str(tmp_path / "home")).returncode == 1


def test_a_device_pairs_sends_gets_receipts_and_stops_in_order(tmp_path: Path) -> None:
    async def scene() -> tuple[list[Line], int, Path]:
        async with houses(tmp_path) as here:
            state = await here.paired("home")
            told: list[Line] = []
            seen = asyncio.Event()

            def heard(line: Line) -> None:
                told.append(line)
                if line["event"] == "scripted":
                    seen.set()

            device = await here.crew.start(
                "home", "device", "run", "--state", "home",
                "--source", "simulated:seed=7,patient=0", "--event", "button@1", heard=heard,
            )  # fmt: skip
            async with asyncio.timeout(GRACE_S):
                await seen.wait()
            device.process.send_signal(signal.SIGTERM)
            return told, await device.ended(), state

    told, code, state = asyncio.run(scene())
    assert code == 0
    assert [line["event"] for line in told[:2]] == ["ready", "connected"]
    assert [line["kind"] for line in told if line["event"] == "scripted"] == ["button"]
    last = told[-1]
    assert last["event"] == "finished"
    assert last["sent"] == last["receipted"]
    assert int(str(last["sent"])) >= 3
    assert (last["waiting"], last["refused"], last["evicted"]) == (0, 0, 0)
    assert counters(state)["sealed"] == last["sent"]
    assert stored(tmp_path) == last["sent"]


def test_what_was_kept_without_a_gateway_arrives_when_there_is_one(enrolled: Path, tmp_path: Path) -> None:
    words = ("run", "--state", str(enrolled), "--source", "simulated:seed=1", "--for", "1", "--speed", "5", "--json")
    alone = lines(run(*words))
    assert [line["event"] for line in alone] == ["ready", "finished"]
    assert (alone[-1]["sent"], alone[-1]["waiting"], stored(tmp_path)) == (5, 5, 0)

    async def scene() -> list[Line]:
        async with houses(tmp_path, mqtt_port=kept_address(enrolled).rpartition(":")[2]):
            return lines(await asyncio.to_thread(run, *words, drain_s=GRACE_S))

    last = asyncio.run(scene())[-1]
    assert (last["sent"], last["receipted"], last["waiting"], last["refused"]) == (10, 10, 0, 0)
    assert stored(tmp_path) == 10


def test_a_gateway_of_another_house_gets_nothing(enrolled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()

    async def scene() -> list[Line]:
        async with houses(other) as here:
            address = kept_address(await here.paired("there"))
            found = enrolment.load(enrolled, enrolment.load_key(enrolled))
            enrolment.save(
                enrolled,
                dataclasses.replace(found, mqtt=address),
                certificate=(enrolled / "client.pem").read_text(),
                ca=(enrolled / "ca.pem").read_text(),
            )
            words = ("run", "--state", str(enrolled), "--source", "simulated:seed=1", "--for", "2", "--json")
            return lines(await asyncio.to_thread(run, *words))

    told = asyncio.run(scene())
    assert [line["event"] for line in told] == ["ready", "finished"]
    assert told[-1]["receipted"] == 0
    assert stored(other) == 0


def test_the_gateways_certificate_and_name_are_checked(enrolled: Path) -> None:
    made = link.context(enrolled)
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    assert made.minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_second_device_on_the_same_folder_is_refused(enrolled: Path) -> None:
    with enrolment.sole(enrolled):
        shown = run("run", "--state", str(enrolled))
    assert shown.returncode == 2
    assert "state_in_use" in shown.stderr


def imported(state: Path, *, without: Iterable[str] = ()) -> set[str]:
    """The top-level modules that are loaded at the end of a run. without: modules that cannot be imported."""
    probe = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in sys.argv[2].split(','): raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import vigil\n"
        "try: vigil.main(['device', 'run', '--state', sys.argv[1], '--source', 'simulated:seed=1', '--for', '1',"
        " '--speed', '10', '--json'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    env = ENV | {"VIGIL_DEVICE_DRAIN_S": "0"}
    shown = subprocess.run(
        [sys.executable, "-c", probe, str(state), ",".join(without)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=env,
    )
    *told, loaded = shown.stdout.splitlines()
    assert json.loads(told[-1])["event"] == "finished"
    assert int(json.loads(told[-1])["sent"]) == 10
    return set(loaded.split())


def needed(extra: str) -> set[str]:
    """The distributions that `pip install vigil[extra]` brings, by their normal names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [*project["dependencies"], *project["optional-dependencies"][extra]]
    found: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += metadata.requires(name) or []
    return found


def test_a_running_device_imports_nothing_of_the_gateways(enrolled: Path) -> None:
    loaded = imported(enrolled)
    assert {"aiomqtt", "device_sim"} <= loaded
    assert set(FORBIDDEN).isdisjoint(loaded)


def test_a_device_runs_where_nothing_but_its_extra_is_installed(enrolled: Path) -> None:
    """Everything else that is installed here is made impossible to import."""
    brought = needed("device")
    others = {
        module
        for module, makers in metadata.packages_distributions().items()
        if not {canonicalize_name(maker) for maker in makers} & (brought | {"vigil", "setuptools"})
    }
    assert {"numpy", "starlette", "httpx", "cryptography"} <= others
    loaded = imported(enrolled, without=others)
    assert {"aiomqtt", "paho", "nacl", "cbor2", "click"} <= loaded
    assert not loaded & others


def test_what_a_device_installs_is_small_and_holds_nothing_of_the_gateways() -> None:
    brought = needed("device")
    assert not brought & {"numpy", "cryptography", "sqlite-utils", "starlette", "uvicorn", "httpx", "rich"}
    files = [file for name in brought for file in metadata.files(name) or []]
    assert sum(Path(str(file.locate())).stat().st_size for file in files if file.locate().exists()) < 40_000_000


def test_status_shows_what_waits(enrolled: Path) -> None:
    kept = Spool(enrolled / "spool.db", bytes_max=1 << 30)
    kept.put(boot=4, sealed=9, receipted=2)
    kept.close()
    shown = answer("status", "--state", str(enrolled))
    assert (shown["paired"], shown["boot"], shown["sealed"], shown["receipted"]) == (True, 4, 9, 2)
    assert shown["waiting"] == 0
    text = run("status", "--state", str(enrolled)).stdout
    assert enrolment.load(enrolled, enrolment.load_key(enrolled)).lk.hex() not in text
