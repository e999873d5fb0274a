"""One enrolled device, what its sensors gave, and the receipts a gateway would sign for it."""

from collections.abc import Sequence

from device_sim.agent import Entry, Link
from device_sim.sources import DeviceAlarm, Sample
from protocol import command, content, delivery, keys, message, topics
from protocol.senml import Vital

GATEWAY = keys.SigningKey.from_seed(b"the gateway of device tests".ljust(32, b"."))
KEY = keys.SigningKey.from_seed(b"the device of device tests".ljust(32, b"."))
DEVICE = keys.device_id(KEY.public)
LINK = Link(device=DEVICE, key=KEY, gateway_key=GATEWAY.public, lk=b"l" * 32, link_id=b"link")
START_MS = 1_700_000_000_000


def clock(at_ms: int = START_MS) -> content.Clock:
    """The device's clock at a time (Unix ms)."""
    return content.Clock(up_ms=at_ms - START_MS, wall_ms=at_ms, synced=True)


def reading(number: int = 0, *, alarm: bool = False) -> Sample:
    """A second of readings, told apart by their number; with the call button pressed, or not."""
    at_ms = START_MS + 1000 * number
    pressed = (DeviceAlarm(kind="button", at_ms=at_ms, detail={"number": number}),) if alarm else ()
    return Sample(vitals=(Vital(name="MDC_ECG_HEART_RATE", value=60, at_ms=at_ms),), alarms=pressed)


def receipt(
    entries: Sequence[Entry],
    *,
    refused: Sequence[tuple[Entry, str]] = (),
    floor: int = 0,
    digest: bytes | None = None,
    key: keys.SigningKey = GATEWAY,
) -> bytes:
    """What a gateway signs that made these entries of one lane and boot durable and refused others."""
    place = [*entries, *(entry for entry, _ in refused)][0]
    told = delivery.Receipt(
        lane=place.lane,
        boot=place.boot,
        ranges=ranges(sorted(entry.seq for entry in entries)),
        digest=delivery.digest(e.hash for e in sorted(entries, key=lambda e: e.seq)) if digest is None else digest,
        refused=tuple((entry.seq, code) for entry, code in refused),
        floor=floor,
        at_ms=START_MS,
    )
    return delivery.sign(key, topics.down_receipt(DEVICE), told)


def ranges(seqs: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ascending numbers as inclusive ranges."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return tuple(found)


def order(kind: str, n: tuple[int, int] = (1, 1), *, expires_ms: int = START_MS + 60_000) -> bytes:
    """A signed command to the device."""
    made = command.Command(n=n, expires_ms=expires_ms, kind=kind)
    return command.sign(GATEWAY, topics.down_command(DEVICE), made)


def opened(raw: bytes, lane: int, *, lk: bytes = LINK.lk) -> content.Content:
    """What a gateway reads in a message, its signature checked."""
    seen = message.parse(raw, topic=topics.up(DEVICE, lane), size_max=message.SIZE_MAX[lane])
    message.verify(seen, KEY.public)
    inside = message.open_content(seen, lk=lk, link_id=LINK.link_id)
    return content.decode(inside.content, content_type=inside.content_type)
