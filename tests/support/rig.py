"""Ledger, gateway and devices as processes of their own, on loopback with TLS: each is started, killed and started again alone.

It builds the house as `vigil demo` does. What was kept is read from the programs' own databases, never through a program.
"""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.demo import records, stage
from deploy.demo.picture import HomePicture, Picture
from deploy.demo.supervise import COMMAND_S, Crew, Line, Program, environment
from protocol import content, message, topics
from protocol.keys import PublicKey

LEAVE_S = 20.0  # a program has this long to end when it is asked to
DRAIN_S = 60.0  # a device that is to end has this long to send what waits in its spool
LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A message in the gateway's record, its signature checked and its content opened. row: its id, which grows."""

    row: int
    lane: int
    boot: int
    seq: int
    received_ms: int
    raw: bytes
    content: content.Content


@dataclass(slots=True)
class Rig:
    """house: where ledger and gateway serve; devices: id of each device by its folder's name; heard: their lines."""

    crew: Crew
    house: stage.House
    anchor_every_s: float
    mqtt_port: int
    devices: dict[str, str] = field(default_factory=dict)
    heard: dict[str, list[Line]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where every program has its folder."""
        return self.crew.folder

    @property
    def gateway(self) -> Path:
        """The gateway's folder."""
        return self.folder / "gateway"

    async def pair(self, *names: str) -> None:
        """Enrol one device for each name."""
        gate = asyncio.Semaphore(stage.PAIRED_AT_ONCE)
        homes = [HomePicture(name=name, shown="") for name in names]
        await asyncio.gather(*(stage.pair(self.crew, self.house, home, gate) for home in homes))
        self.devices |= {home.name: home.device for home in homes}

    async def start_ledger(self) -> None:
        """Start it where it was."""
        port = urlsplit(self.house.ledger).port
        await (await self.crew.start("ledger", *stage.ledger_words(port=port or 0))).ready()

    async def start_gateway(self) -> None:
        """Start it where devices expect it."""
        words = stage.gateway_words(self.house.ledger, anchor_every_s=self.anchor_every_s, mqtt_port=self.mqtt_port)
        await (await self.crew.start("gateway", *words)).ready()

    async def start_device(self, name: str, *arguments: str) -> Program:
        """Start a device's run."""
        lines = self.heard.setdefault(name, [])
        program = await self.crew.start(name, "device", "run", "--state", name, *arguments, heard=lines.append)
        await program.ready()
        return program

    async def kill(self, *names: str, moment: Callable[[], object] = lambda: None) -> None:
        """SIGKILL to these programs, as soon as `moment` returns (it is called in a thread); returns when they are gone."""
        programs = [self.crew.running.pop(name) for name in names]

        def strike() -> None:
            moment()
            for program in programs:
                os.kill(program.process.pid, signal.SIGKILL)

        await asyncio.to_thread(strike)
        for program in programs:
            await program.ended()
            await program.stop(grace_s=LEAVE_S)

    async def ended(self, *names: str) -> None:
        """Wait until these devices have ended by themselves, and well."""
        for name in names:
            program = self.crew.running.pop(name)
            code = await program.ended()
            await program.stop(grace_s=LEAVE_S)
            assert code == 0, f"{name} ended with {code}: {program.told()}"

    async def anchored(self) -> None:
        """Wait until every stored message is in an anchor that the ledger has receipted."""
        while True:
            found = await asyncio.to_thread(records.glance, self.gateway)
            if found.anchored == sum(found.stored.values()):
                return
            await asyncio.sleep(LOOK_S)

    async def evidence(self, name: str, one: "Stored") -> bytes:
        """The evidence of a stored message of the device `name`, its content disclosed."""
        place = f"{self.devices[name]}/{topics.LANE_NAMES[one.lane]}/{one.boot}/{one.seq}"
        await self.crew.command(
            "gateway", "evidence", "--state", "gateway", "--message", place, "--disclose",
            "--out", "one.evidence", "--ledger-url", self.house.ledger, "--trust", "trust.json",
        )  # fmt: skip
        return (self.folder / "one.evidence").read_bytes()


@contextlib.asynccontextmanager
async def house(folder: Path, *, anchor_every_s: float = 1.0, **settings: object) -> AsyncIterator[Rig]:
    """A ledger and a gateway with these settings while the block runs; whatever still runs after it is ended in order."""
    chosen = {f"VIGIL_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    chosen["VIGIL_DEVICE_DRAIN_S"] = str(DRAIN_S)
    crew = Crew(folder=folder, env=environment(os.environ) | chosen)
    try:
        built = await stage.build(crew, Picture(homes={}), anchor_every_s=anchor_every_s)
        ports = await crew.running["gateway"].ready()
        yield Rig(crew=crew, house=built, anchor_every_s=anchor_every_s, mqtt_port=int(str(ports["mqtt"])))
    finally:
        for names in ([n for n in crew.running if n not in ("gateway", "ledger")], ["gateway"], ["ledger"]):
            await asyncio.gather(*(crew.stop(name, grace_s=LEAVE_S) for name in names))


def verified(bundle: bytes, *, trust: bytes, alone: Path) -> tuple[int, Line]:
    """(exit code, answer) of a `vigil verify` process that has nothing but the two files, in the new folder `alone`."""
    alone.mkdir()
    (alone / "bundle").write_bytes(bundle)
    (alone / "trust.json").write_bytes(trust)
    ran = subprocess.run(
        [sys.executable, "-m", "vigil", "verify", "bundle", "--trust", "trust.json", "--json"],
        cwd=alone, env=environment(os.environ), capture_output=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return ran.returncode, json.loads(ran.stdout)


def stored(gateway: Path, device: str) -> list[Stored]:
    """Every message of a device in the gateway's record, in the order of its rows. Raises ProtocolError when one is not
    what the device signed and sealed."""
    with opened(gateway / "keys.db") as secrets:
        (lk,) = secrets.execute("SELECT lk FROM enrolment WHERE device = ?", (device,)).fetchone()
    with opened(gateway / "gateway.db") as record:
        row, key, link = record.execute("SELECT id, key, link FROM device WHERE device = ?", (device,)).fetchone()
        rows = record.execute(
            "SELECT id, lane, boot, seq, received_ms, raw FROM message WHERE device = ? ORDER BY id", (row,)
        ).fetchall()
    return [_read(found, device=device, key=PublicKey(key), lk=lk, link_id=link) for found in rows]


def _read(row: Sequence[Any], *, device: str, key: PublicKey, lk: bytes, link_id: bytes) -> Stored:
    number, lane, boot, seq, received_ms, raw = row
    seen = message.parse(raw, topic=topics.up(device, lane), size_max=message.SIZE_MAX[lane])
    message.verify(seen, key)
    assert (seen.position.lane, seen.position.boot, seen.position.seq) == (lane, boot, seq)
    inside = message.open_content(seen, lk=lk, link_id=link_id)
    return Stored(
        row=number, lane=lane, boot=boot, seq=seq, received_ms=received_ms, raw=raw,
        content=content.decode(inside.content, content_type=inside.content_type),
    )  # fmt: skip


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A program's database, read only: also of one that was killed a moment ago."""
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        yield connection
