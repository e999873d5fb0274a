"""The gateway and a device of ours meet through a real Mosquitto that runs this project's own configuration."""

import asyncio
import contextlib
import os
import shutil
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiomqtt
import pytest

from deploy.demo.supervise import Crew, environment
from device_sim.enrolment import CERTIFICATE_FILE, KEY_FILE
from protocol import topics
from tests.support.certificates import Authority, Issued
from tests.support.tools import REPOSITORY, tool

pytestmark = pytest.mark.broker

FOLDER = REPOSITORY / "deploy" / "mosquitto"
WITHIN_S = 20.0
LEAVE_S = 10.0
OTHER = "fedcba9876543210"


def free() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def configured(folder: Path, keys: Path, operator: Authority) -> tuple[Path, int, int]:
    """The project's configuration with other ports and paths: (file, port of devices, port of the gateway)."""
    text = (FOLDER / "mosquitto.conf").read_text()
    devices, gateways = free(), free()
    pki = folder / "pki"
    pki.mkdir()
    files = {
        "ca.pem": keys / "ca.pem",
        "broker.pem": keys / "server.pem",
        "broker.key": keys / "server.key",
        "operator-ca.pem": operator.ca,
    }
    for name, source in files.items():
        shutil.copyfile(source, pki / name)
    for name in ("acl.devices", "acl.gateway"):
        shutil.copyfile(FOLDER / name, folder / name)
        (folder / name).chmod(0o600)
    changes = [
        ("/etc/mosquitto/", f"{folder}/"),
        ("/var/lib/mosquitto/", f"{folder}/"),
        ("listener 8883\n", f"listener {devices} 127.0.0.1\n"),
        ("listener 8885 127.0.0.1\n", f"listener {gateways} 127.0.0.1\n"),
    ]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    if os.geteuid() == 0:
        text = f"user root\n{text}"  # or it would give up the right to read the files that this test has made
    (folder / "mosquitto.conf").write_text(text)
    return folder / "mosquitto.conf", devices, gateways


@contextlib.asynccontextmanager
async def mosquitto(config: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Mosquitto of our own, ended by its process."""
    log_path = config.with_name("log")
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(tool("mosquitto"), "-c", str(config), stdout=log, stderr=log)
    try:

        def listens() -> bool:
            assert process.returncode is None, log_path.read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            return False

        await until(listens)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(LEAVE_S):
            await process.wait()


async def until(reached: Callable[[], bool]) -> None:
    """Return as soon as that is so."""
    async with asyncio.timeout(WITHIN_S):
        while not reached():
            waited = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.05, waited.set_result, None)
            await waited


def stored(state: Path) -> int:
    """Messages in the gateway's record."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'gateway.db'}?mode=ro", uri=True)) as conn:
        return int(conn.execute("SELECT count(*) FROM message").fetchone()[0])


def context(ca: Path, shown: Issued | None) -> ssl.SSLContext:
    """A client that trusts `ca` and shows a certificate, or none."""
    made = ssl.create_default_context(cafile=str(ca))
    if shown is not None:
        made.load_cert_chain(shown.certificate, shown.key)
    return made


def client(port: int, tls: ssl.SSLContext, name: str) -> aiomqtt.Client:
    """An MQTT 5 client of somebody."""
    return aiomqtt.Client(
        "127.0.0.1", port, identifier=name, protocol=aiomqtt.ProtocolVersion.V5, tls_context=tls, timeout=WITHIN_S
    )


async def paired(crew: Crew, pair: object) -> Path:
    """The folder of a device that has joined the gateway."""
    await crew.command("device", "keygen", "--state", "home")
    offer = await crew.command("gateway", "pair", "--state", "gateway", "--address", f"127.0.0.1:{pair}")
    await crew.command("device", "pair", str(offer["offer"]), "--state", "home")
    return crew.folder / "home"


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[tuple[Crew, int, int, Authority]]:
    """A broker and a gateway that uses it: (the programs, the broker's two ports, who vouches for the gateway)."""
    crew = Crew(folder=folder, env=environment(os.environ))
    await crew.command("gateway", "key", "--state", "gateway")
    operator = Authority(folder, "operator")
    shown = operator.device("gateway")
    keys = folder / "gateway" / "keys"
    config, devices, gateways = configured(folder, keys, operator)
    settings = folder / "vigil.toml"
    settings.write_text(
        f'[gateway]\nbroker_url = "mqtts://127.0.0.1:{gateways}"\nbroker_ca = "{keys / "ca.pem"}"\n'
        f'broker_certificate = "{shown.certificate}"\nbroker_key = "{shown.key}"\n'
        f'mqtt_address = "127.0.0.1:{devices}"\n'
    )
    async with mosquitto(config, devices):
        free_ports = [word for name in ("mqtt", "pair", "page", "metrics") for word in (f"--{name}-port", "0")]
        await crew.start(
            "gateway", "gateway", "run", "--state", "gateway", "--config", str(settings), "--demo", *free_ports
        )
        try:
            yield crew, devices, gateways, operator
        finally:
            await crew.stop_all(grace_s=LEAVE_S)


def play(folder: Path, scene: Callable[[Path], object]) -> None:
    """Run a scene once the broker is known to be here."""
    tool("mosquitto")
    asyncio.run(scene(folder))  # type: ignore[arg-type]


async def from_heart_to_receipt(folder: Path) -> None:
    async with house(folder) as (crew, _, _, _):
        ports = await crew.running["gateway"].ready()
        await paired(crew, ports["pair"])
        device = await crew.start(
            "home", "device", "run", "--state", "home", "--source", "simulated:seed=1", "--for", "4"
        )
        assert await device.ended() == 0, device.told()
        status = await crew.command("device", "status", "--state", "home")
        assert status["waiting"] == 0 and status["receipted"] == stored(folder / "gateway") > 3, status


def test_readings_come_through_the_broker_and_are_receipted(tmp_path: Path) -> None:
    play(tmp_path, from_heart_to_receipt)


async def everybody_keeps_to_their_topics(folder: Path) -> None:
    async with house(folder) as (crew, devices, gateways, operator):
        ports = await crew.running["gateway"].ready()
        home = await paired(crew, ports["pair"])
        ca = folder / "gateway" / "keys" / "ca.pem"
        name = str((await crew.command("device", "status", "--state", "home"))["device"])
        own = Issued(certificate=home / CERTIFICATE_FILE, key=home / KEY_FILE, public_key=b"")
        operator_tls = context(ca, operator.device("gateway"))
        async with (
            client(gateways, operator_tls, "onlooker") as onlooker,
            client(devices, context(ca, own), f"{name}-data") as device,
        ):
            await onlooker.subscribe("vigil/1/+/up/+", qos=1)
            await device.subscribe(topics.down_receipt(name))
            await device.subscribe(topics.down_receipt(OTHER))
            await device.publish(topics.up(OTHER, topics.DATA), b"as somebody else", qos=1)
            await device.publish(topics.up(name, topics.DATA), b"as itself", qos=1)
            assert await heard(onlooker) == (topics.up(name, topics.DATA), b"as itself")
            await onlooker.publish(topics.down_receipt(OTHER), b"for somebody else", qos=1)
            await onlooker.publish(topics.up(name, topics.DATA), b"as a device", qos=1)
            await onlooker.publish(topics.down_receipt(name), b"for it", qos=1)
            assert await heard(device) == (topics.down_receipt(name), b"for it")
        for tls in (context(ca, None), context(ca, operator.device("gateway"))):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                knock(devices, tls)


def knock(port: int, tls: ssl.SSLContext) -> None:
    """Shake hands and wait for a word: TLS 1.3 tells a client whose certificate is not taken after its own handshake."""
    with (
        socket.create_connection(("127.0.0.1", port), WITHIN_S) as plain,
        tls.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        wrapped.recv(1)


async def heard(listener: aiomqtt.Client) -> tuple[str, object]:
    """The next message of a client."""
    async with asyncio.timeout(WITHIN_S):
        async for found in listener.messages:
            return str(found.topic), found.payload
    raise AssertionError("the connection ended")


def test_a_device_reaches_its_own_topics_only_and_a_stranger_none(tmp_path: Path) -> None:
    play(tmp_path, everybody_keeps_to_their_topics)
