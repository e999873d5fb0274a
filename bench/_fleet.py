"""Devices that a benchmark's gateway knows, and the messages that they would send, sealed beforehand."""

import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway import keyring
from gateway.store import devices
from gateway.store import keys as secrets
from gateway.store.writer import KEYS_FILE, Writer
from protocol import content, message, topics
from protocol.keys import SigningKey, device_id
from protocol.senml import Vital

LINK_ID = b"link"
VITALS = (
    ("MDC_ECG_HEART_RATE", 68),
    ("MDC_PULS_OXIM_SAT_O2", 97),
    ("MDC_RESP_RATE", 14.5),
    ("MDC_TEMP_BODY", 36.7),
)
CAPTURED_MS = 1_000  # between two rounds of all vitals


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One enrolled device. certificate: PEM, for TLS; seed: of its Ed25519 key."""

    name: str
    key: SigningKey = field(repr=False)
    lk: bytes = field(repr=False)
    certificate: str
    key_pem: str = field(repr=False)


def enrol(state: Path, count: int) -> list[Device]:
    """`count` devices in the stores of a gateway that does not run yet, as pairing leaves them behind."""
    ring = keyring.opened(state, names=(), now=datetime.datetime.now(datetime.UTC))
    found = []
    writer = Writer(state)
    try:
        for number in range(count):
            key = SigningKey.from_seed(hashlib.sha256(b"bench device %d" % number).digest())
            name = device_id(key.public)
            device = Device(
                name=name,
                key=key,
                lk=hashlib.sha256(b"bench link %d" % number).digest(),
                certificate=ring.device_certificate(name, key.public.x),
                key_pem=key.pem(),
            )
            found.append(device)
            _keep(writer, device)
    finally:
        writer.close()
    return found


def _keep(writer: Writer, device: Device) -> None:
    row = devices.DeviceRow(
        row_id=0,
        device=device.name,
        key=device.key.public.x,
        link=LINK_ID,
        state="active",
        name=device.name,
        paired_ms=0,
        changed_ms=0,
        document=b"",
        statement=b"",
        certificate=device.certificate,
    )
    writer.submit(lambda conn: devices.insert(conn, row)).result()
    writer.submit(lambda conn: secrets.put(conn, device.name, device.lk, now_ms=0), file=KEYS_FILE).result()


def readings(device: Device, *, messages: int, rounds: int, until_ms: int) -> Iterator[bytes]:
    """Messages of four vitals each times `rounds`, one signature a message, a second a round, ending at `until_ms`."""
    topic = topics.up(device.name, topics.DATA)
    at_ms = until_ms - messages * rounds * CAPTURED_MS
    for seq in range(messages):
        vitals = tuple(
            Vital(name=name, value=value, at_ms=at_ms + number * CAPTURED_MS)
            for number in range(rounds)
            for name, value in VITALS
        )
        at_ms += rounds * CAPTURED_MS
        data = content.Data(clock=_clock(at_ms), simulated=False, vitals=vitals)
        yield sealed(device, topic, message.Position(lane=topics.DATA, boot=1, seq=seq), content.encode(data))


def call(device: Device, *, at_ms: int, seq: int = 0) -> bytes:
    """The message of a pressed button."""
    alarm = content.Alarm(
        id=hashlib.sha256(f"{device.name} {seq}".encode()).digest()[: content.ALARM_ID_SIZE],
        kind="button",
        at_ms=at_ms,
        clock=_clock(at_ms),
        simulated=False,
    )
    place = message.Position(lane=topics.ALARM, boot=1, seq=seq)
    return sealed(device, topics.up(device.name, topics.ALARM), place, content.encode(alarm))


def sealed(device: Device, topic: str, place: message.Position, body: bytes) -> bytes:
    """One signed message; its IV is made from its position, which is enough for a benchmark."""
    return message.seal(
        key=device.key,
        lk=device.lk,
        link_id=LINK_ID,
        topic=topic,
        position=place,
        content=body,
        iv=place.seq.to_bytes(12, "big"),
        content_type=content.CONTENT_TYPES[place.lane],
    )


def _clock(at_ms: int) -> content.Clock:
    return content.Clock(up_ms=60_000, wall_ms=at_ms, synced=True)
