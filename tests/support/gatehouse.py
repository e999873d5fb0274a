"""A real gateway in this process, without its listeners: its stores in a folder, messages handed to its intake, all it says kept."""

import asyncio
import contextlib
import datetime
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from device_sim.sources import Sample
from gateway import keyring, service
from gateway.ingress.arrival import Arrival
from gateway.ingress.session import Lane
from gateway.service import Gateway
from gateway.settings import Settings
from gateway.store import devices, keys, schema
from gateway.store.devices import DeviceRow
from gateway.store.writer import KEYS_FILE, RECORD_FILE, Writer
from protocol import content, delivery, topics
from tests.support.sealed import LINK_ID, Sender, clock

WITHIN_S = 10.0  # that anything takes which a test waits for
PAIRED_MS = 1_700_000_000_000


class Listener:
    """Stands where the MQTT endpoint stands: takes what is sent down."""

    open_connections = 0

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bytes]] = []

    def publish(self, device: str, topic: str, payload: bytes) -> bool:
        """Everybody listens."""
        self.told.append((device, topic, payload))
        return True

    def disconnect(self, device: str, reason: int, lane: Lane | None = None) -> None:
        """There is no connection."""

    def pause(self) -> None:
        """There is no connection."""

    def resume(self) -> None:
        """There is no connection."""


class House:
    """One run of a gateway on a folder. now_ms: its clock, this machine's if None; settings: of the gateway."""

    def __init__(self, state: Path, *, now_ms: Callable[[], int] | None = None, **settings: Any) -> None:
        self.state = state
        ring = keyring.opened(state, names=(), now=datetime.datetime.now(datetime.UTC))
        with mock.patch.object(service, "now_ms", now_ms or service.now_ms):
            self.gateway = Gateway(
                Settings(state=state, **{"verify_processes": 0, **settings}), ring, trust=None, admission=None
            )
            self.now_ms = service.now_ms
            self.gateway.warm()
        self.listener = Listener()
        self.gateway.endpoints.append(self.listener)  # type: ignore[arg-type]

    def send(
        self, sender: Sender, raw: bytes, *, lane: int = topics.DATA, answer: Callable[[int], None] | None = None
    ) -> list[int]:
        """One message comes in; the answers that it gets, now or later. answer: hears of them too, as the connection would."""
        answers: list[int] = []

        def answered(reason: int) -> None:
            answers.append(reason)
            if answer is not None:
                answer(reason)

        self.gateway.intake.arrived(
            Arrival(
                device=sender.device,
                lane_connection="alarm" if lane == topics.ALARM else "data",
                topic=sender.up(lane),
                payload=raw,
                received_ms=self.now_ms(),
                answer=answered,
            )
        )
        return answers

    async def sent(self, sender: Sender, raw: bytes, *, lane: int = topics.DATA) -> int:
        """The answer to one message, when it comes."""
        answers = self.send(sender, raw, lane=lane)
        await until(lambda: bool(answers))
        return answers[0]

    def receipts(self, sender: Sender, lane: int = topics.DATA) -> list[delivery.Receipt]:
        """What a device was told of a lane."""
        topic, key = topics.down_receipt(sender.device), self.gateway.keyring.key.public
        found = [delivery.read(raw, topic, key) for _, told, raw in self.listener.told if told == topic]
        return [receipt for receipt in found if receipt.lane == lane]

    def record(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of gateway.db as another program reads them."""
        return rows(self.state / RECORD_FILE, sql, *values)


def rows(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a database as another program reads them."""
    connection = schema.reader(path)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def enrol(state: Path, *senders: Sender) -> None:
    """Pair devices, as far as the stores are concerned."""
    writer = Writer(state)
    for sender in senders:
        row = DeviceRow(
            row_id=0,
            device=sender.device,
            key=sender.key.public.x,
            link=LINK_ID,
            state="active",
            name=f"Home of {sender.name}",
            paired_ms=PAIRED_MS,
            changed_ms=PAIRED_MS,
            document=b"",
            statement=b"",
            certificate="",
        )
        writer.submit(lambda conn, row=row: devices.insert(conn, row)).result()
        writer.submit(
            lambda conn, sender=sender: keys.put(conn, sender.device, sender.lk, now_ms=PAIRED_MS), file=KEYS_FILE
        ).result()
    writer.close()


@contextlib.asynccontextmanager
async def open_house(state: Path, *, duties: bool = False, **settings: Any) -> AsyncIterator[House]:
    """A gateway while the block runs; with what it does by the clock, or without."""
    house = House(state, **settings)
    try:
        await house.gateway.verifiers.start()
        async with contextlib.AsyncExitStack() as stack:
            if duties:
                await stack.enter_async_context(house.gateway.duties.running())
            yield house
    finally:
        await house.gateway.close()


async def until(true: Callable[[], bool], *, within_s: float = WITHIN_S) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what it waits for is seen from outside, in a file or a list
            await asyncio.sleep(0.002)


def said_of(sample: Sample, *, at_ms: int, marked: bool = False) -> content.Data:
    """What a device says of a second of its sensors. marked: that it is simulated."""
    return content.Data(clock=clock(at_ms), simulated=marked, vitals=sample.vitals, waves=sample.waves)


@contextlib.contextmanager
def broken(writer: Writer, file: str = RECORD_FILE) -> Iterator[Callable[[], None]]:
    """The writer cannot write a file until the block ends or what it gives is called: as on a disk that the kernel made
    read-only after a fault."""

    def switch(word: str) -> None:
        def job(connections: dict[str, sqlite3.Connection]) -> None:
            connections[file].execute(f"PRAGMA query_only = {word}")

        writer._thread.submit(job, writer._connections).result()

    def heal() -> None:
        switch("OFF")

    switch("ON")
    try:
        yield heal
    finally:
        heal()
