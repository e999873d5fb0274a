"""The gateway as a process: it begins once on a folder, does what the command line asks while it runs, and stops in order."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import mqtt5
import pytest

from deploy.demo.supervise import Crew, Program, environment
from device_sim import enrolment
from gateway.alerts.sender import LOOK_EVERY_S
from gateway.store.writer import KEYS_FILE, RECORD_FILE, VALUES_FILE
from protocol.keys import SigningKey
from tests.support import rig
from tests.support.receiver import check, receiving
from tests.support.tools import REPOSITORY
from tests.support.wire import Wire

ENV = environment(os.environ | {"PYTHONPATH": str(REPOSITORY)})
FREE = ("--mqtt-port", "0", "--pair-port", "0", "--page-port", "0", "--metrics-port", "0")
SCENE_S, GRACE_S = 100.0, 20.0


@dataclass(slots=True)
class Hub:
    """A gateway that runs in `folder`/gateway."""

    crew: Crew
    program: Program
    ports: dict[str, Any] = field(default_factory=dict)

    async def ask(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """(exit code, the one JSON object, standard error) of a command on the same folder, in a process of its own."""
        return await asyncio.to_thread(ran, self.crew.folder, *words)

    async def pair(self, name: str) -> str:
        """Enrol a device; its id."""
        offer = await self.crew.command(
            "gateway", "pair", "--state", "gateway", "--address", f"127.0.0.1:{self.ports['pair']}", "--name", name
        )
        return str((await self.crew.command("device", "pair", str(offer["offer"]), "--state", name))["device"])

    def rows(self, sql: str, file: str = RECORD_FILE) -> list[tuple[Any, ...]]:
        """Rows of its databases."""
        with rig.opened(self.crew.folder / "gateway" / file) as found:
            return found.execute(sql).fetchall()


def ran(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the one JSON object, standard error) of `vigil gateway` with `words`."""
    done = subprocess.run(
        [sys.executable, "-m", "vigil", "gateway", *words, "--state", "gateway", "--json"],
        cwd=folder, env=ENV, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    return done.returncode, json.loads(line), done.stderr


@contextlib.asynccontextmanager
async def hub(folder: Path, *words: str) -> AsyncIterator[Hub]:
    """A gateway while the block runs, and an orderly end of all that was started."""
    crew = Crew(folder=folder, env=ENV)
    try:
        async with asyncio.timeout(SCENE_S):
            program = await crew.start("gateway", "gateway", "run", "--state", "gateway", *FREE, "--demo", *words)
            yield Hub(crew, program, dict(await program.ready()))
    finally:
        for name in tuple(crew.running):
            await crew.stop(name, grace_s=GRACE_S)


def play(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


# -- the start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
def test_a_page_that_others_could_reach_is_refused_with_exit_code_2_and_the_fix(tmp_path: Path, host: str) -> None:
    code, said, errors = ran(tmp_path, "run", *FREE, "--page-host", host)
    assert (code, said["error"]) == (2, "page_not_loopback")
    assert "127.0.0.1" in said["detail"] and said["detail"] in errors and "Traceback" not in errors


def test_a_second_gateway_on_the_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as first:
            code, said, errors = await first.ask("run", *FREE)
            assert (code, said["error"]) == (2, "state_in_use")
            assert "gateway is running" in said["detail"] and "--state" in said["detail"] and "Traceback" not in errors
            assert first.program.process.returncode is None
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{first.ports['metrics']}/healthz")).status_code == 200

    play(scene())


def test_a_gateway_that_was_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as first:
            first.program.process.kill()
            await first.program.ended()
            again = await first.crew.start("again", "gateway", "run", "--state", "gateway", *FREE)
            assert (await again.ready())["event"] == "ready"

    play(scene())


def test_a_port_that_is_taken_is_named_with_exit_code_5_whoever_else_listens(tmp_path: Path) -> None:
    async def scene() -> None:
        (tmp_path / "other").mkdir()
        async with hub(tmp_path) as first:
            for name in ("mqtt", "page", "pair", "metrics"):
                words = dict(zip(FREE[::2], FREE[1::2], strict=True)) | {f"--{name}-port": str(first.ports[name])}
                flags = [word for pair in words.items() for word in pair]
                code, said, errors = await asyncio.to_thread(ran, tmp_path / "other", "run", *flags)
                assert (code, said["error"]) == (5, "port_taken")
                assert str(first.ports[name]) in said["detail"] and "Traceback" not in errors

    play(scene())


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async def scene() -> None:
        async with hub(tmp_path) as here:
            device = await here.pair("home")
            wire = await _connected(tmp_path / "home", int(here.ports["mqtt"]), device)
            here.program.process.send_signal(number)
            farewell = await wire.end()
            assert isinstance(farewell[-1], mqtt5.DisconnectPacket) and farewell[-1].reason_code == 0x8B
            assert await asyncio.wait_for(here.program.ended(), GRACE_S) == 0
            assert here.program.told() == "", "there is nothing to complain about"
            for file in (RECORD_FILE, VALUES_FILE, KEYS_FILE):
                assert here.rows("PRAGMA integrity_check", file) == [("ok",)]
            wire.writer.close()
            again = await here.crew.start("again", "gateway", "run", "--state", "gateway", *FREE)
            await again.ready()

    play(scene())


async def _connected(home: Path, port: int, device: str) -> Wire:
    context = ssl.create_default_context(cafile=home / enrolment.CA_FILE)
    context.load_cert_chain(home / enrolment.CERTIFICATE_FILE, home / enrolment.KEY_FILE)
    return await (await Wire.dial(port, context)).connect(f"{device}-data")


# -- while it runs ---------------------------------------------------------------------------------------------------


def test_what_people_ask_of_a_running_gateway_is_done_by_it(tmp_path: Path) -> None:
    """One life: a device is paired, somebody presses its button, a caregiver answers, the enrolment is erased."""

    async def scene() -> None:
        async with receiving() as receiver, hub(tmp_path, "--webhook-first", receiver.url) as here:
            settings = tmp_path / "vigil.toml"
            settings.write_text(f'[gateway]\nwebhook_first = "{receiver.url}"\n')
            device = await here.pair("home")
            await _press(here)
            alert = await _listed(here, device)
            await _noticed(here, receiver)
            await _answered(here, alert)
            assert (await here.ask("alerts", "test"))[:2] == (0, {"channels": ["first"]})
            await _until(lambda: any(b'"test":' in taken.body for taken in receiver.taken))
            code, said, _ = await here.ask("erase", device, "--yes")
            assert (code, said) == (0, {"device": device, "state": "erasing"})
            assert here.rows("SELECT * FROM enrolment", KEYS_FILE) == []
            (_, listed, _) = await here.ask("devices")
            assert [one["state"] for one in listed["devices"]] == ["erasing"]
            assert here.program.process.returncode is None

    play(scene())


async def _press(here: Hub) -> None:
    words = ("--source", "simulated:seed=5", "--event", "button@0.5", "--speed", "4", "--for", "1")
    program = await here.crew.start("home", "device", "run", "--state", "home", *words)
    assert await asyncio.wait_for(program.ended(), 60) == 0, program.told()


async def _listed(here: Hub, device: str) -> str:
    code, said, _ = await here.ask("alerts", "list", "--open")
    (alert,) = said["alerts"]
    assert (code, alert["kind"], alert["device"], alert["state"]) == (0, "button", device, "raised")
    assert alert["message"] == f"{device}/alarm/1/0"
    code, said, _ = await here.ask("devices")
    (one,) = said["devices"]
    assert (code, one["device"], one["name"], one["state"]) == (0, device, "home", "active")
    assert one["messages"] >= 2
    return str(alert["id"])


async def _noticed(here: Hub, receiver: Any) -> None:
    await _until(lambda: len(receiver.taken) > 0)
    key = SigningKey.from_pem((here.crew.folder / "gateway/keys/gateway.key").read_text()).public
    check(receiver.taken[0], authority=receiver.authority, public_key=key.x)
    assert (await here.ask("key"))[1]["key"] == key.x.hex()


async def _answered(here: Hub, alert: str) -> None:
    assert (await here.ask("alerts", "ack", alert, "--by", "Eve"))[:2] == (0, {"alert": alert, "acknowledged": True})
    assert here.rows("SELECT state, acknowledged_by FROM alert") == [("acknowledged", "Eve")]
    for words, code in (
        (("alerts", "ack", "0" * 32), "alert_unknown"),
        (("erase", "0" * 16, "--yes"), "device_unknown"),
    ):
        exit_code, said, _ = await here.ask(*words)
        assert (exit_code, said["error"]) == (3, code), "the same as without a running gateway"


async def _until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what it waits for happens in another process
            await asyncio.sleep(LOOK_EVERY_S)


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_nothing_private_is_in_its_output_its_log_its_metrics_or_its_pages(tmp_path: Path) -> None:
    async def scene() -> None:
        heard: list[str] = []
        async with hub(tmp_path) as here:
            await here.pair("home")
            async with httpx.AsyncClient() as client:
                for port, path in (("metrics", "/metrics"), ("metrics", "/healthz"), ("page", "/")):
                    heard.append((await client.get(f"http://127.0.0.1:{here.ports[port]}{path}")).text)
            heard += [json.dumps(answer) for _, answer, _ in await _answers(here)]
            heard.append(json.dumps(here.ports))
            await here.crew.stop("gateway", grace_s=GRACE_S)
            heard.append((tmp_path / "gateway.log").read_text())
        secrets = _secrets(tmp_path)
        assert len(secrets) >= 5 and all(len(secret) >= 16 for secret in secrets)
        forms = [form for secret in secrets for form in (secret.hex(), repr(secret)[2:-1])]
        assert not [form for form in forms for text in heard if form in text]

    play(scene())


async def _answers(here: Hub) -> Sequence[tuple[int, dict[str, Any], str]]:
    return [await here.ask(*words) for words in (("devices",), ("alerts", "list"), ("check-config",), ("key",))]


def _secrets(folder: Path) -> list[bytes]:
    """What is private of a gateway with one device."""
    found = [
        SigningKey.from_pem((folder / path).read_text()).seed
        for path in ("gateway/keys/gateway.key", "home/device.key")
    ]
    with contextlib.closing(sqlite3.connect(folder / "gateway" / KEYS_FILE)) as keys:
        found += [bytes(value) for row in keys.execute("SELECT lk, store_key FROM enrolment") for value in row]
        found += [bytes(row[0]) for row in keys.execute("SELECT secret FROM offer")]
    return found
