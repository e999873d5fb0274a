"""Bad messages over real TLS sockets: each attack costs the attacker its connection or its quota, by name, and a neighbour nothing.

In every scene an honest device sends readings and alarms meanwhile: all are receipted, each alarm is on the disk in
time, and nothing of it is refused. `Neighbour` holds the gateway to that.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from random import Random

import pytest

from gateway import intake
from gateway.admission import BAD_SIGNATURES_MAX
from protocol import topics
from tests.support.gatehouse import until
from tests.support.sealed import NOW_MS, alarm, forged, heartbeat, reading
from tests.support.street import ADA, MALLORY, Street, Town
from tests.support.wire import publish, reason_of

UP, UP_ALARM = MALLORY.up(), MALLORY.up(topics.ALARM)


async def exchanged(street: Street, *payloads: bytes, topic: str = UP, lane: str = "data") -> list[int]:
    """The answers to these messages of Mallory's, 20 in flight at most."""
    wire = await street.connect(MALLORY, lane)
    found: list[int] = []
    for at in range(0, len(payloads), 20):
        packets = [publish(n, topic, raw) for n, raw in enumerate(payloads[at : at + 20], 1)]
        found += await street.answered(wire, *packets)
    assert not wire.reader.at_eof()
    wire.writer.close()
    return found


def test_somebody_elses_topic_is_not_the_connections(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        for topic in (ADA.up(), ADA.up(topics.STATE), topics.down_command(ADA.device), "$SYS/broker", UP_ALARM):
            assert await exchanged(street, MALLORY.seal(reading()), topic=topic) == [0x87]
        await until(lambda: street.count("closed_lost") == 5)
        assert street.counted() == {"refused_topic": 5, "closed_lost": 5}

    town.play(scene, tmp_path)


def test_a_replay_gains_nothing(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        house = street.house
        await until(lambda: bool(house.record("SELECT 1 FROM message")))
        ((stolen,),) = house.record("SELECT raw FROM message WHERE lane = 1 ORDER BY id LIMIT 1")
        assert await exchanged(street, stolen, topic=ADA.up()) == [0x87]
        assert await exchanged(street, stolen) == [0x87]
        own = MALLORY.seal(reading())
        assert await exchanged(street, own, own, own) == [0, 0, 0]
        assert (street.count("refused_topic"), street.count("kid_unknown"), street.count("duplicate")) == (1, 1, 2)
        assert len(house.record("SELECT 1 FROM message WHERE raw = ?", own)) == 1

    town.play(scene, tmp_path)


def test_a_forged_position_moves_nothing(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        far = forged(MALLORY.seal(reading(), 1 << 47, boot=(1 << 32) - 1))
        assert await exchanged(street, far) == [0x99]
        assert street.count("signature_bad") == 1
        assert await exchanged(street, MALLORY.seal(reading())) == [0]
        assert street.house.gateway.directory.members[MALLORY.device].floor == 1

    town.play(scene, tmp_path)


def test_a_message_under_another_devices_kid_counts_against_neither(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        other = [MALLORY.signed(MALLORY.inner(), kid=ADA.key.public.kid, seq=n) for n in range(BAD_SIGNATURES_MAX + 8)]
        assert set(await exchanged(street, *other)) == {0x87}
        assert street.count("kid_unknown") == len(other) and street.count("device_quarantined") == 0

    town.play(scene, tmp_path)


def test_a_flood_over_quota_costs_its_quota(town: Town, tmp_path: Path) -> None:
    flood = [MALLORY.seal(reading(), n) for n in range(600)]

    async def scene(street: Street) -> None:
        answers = await exchanged(street, *flood)
        assert answers[:100] == [0] * 100 and answers.count(0x97) > 300
        assert street.count("over_quota") == answers.count(0x97)
        assert await exchanged(street, MALLORY.seal(heartbeat()), topic=MALLORY.up(topics.STATE)) == [0]
        assert await exchanged(street, MALLORY.seal(alarm()), topic=UP_ALARM, lane="alarm") == [0]

    town.play(scene, tmp_path, data_burst=100.0)


def test_a_flood_of_bad_signatures_costs_its_connection_and_its_data_lane(town: Town, tmp_path: Path) -> None:
    flood = [publish(n + 1, UP, forged(MALLORY.seal(reading(), n))) for n in range(BAD_SIGNATURES_MAX)]
    last = publish(1, UP, forged(MALLORY.seal(reading(), 99)))

    async def scene(street: Street) -> None:
        alarms = await street.connect(MALLORY, "alarm")
        wire = await street.connect(MALLORY)
        assert await street.answered(wire, *flood) == [0x99] * BAD_SIGNATURES_MAX
        wire.write(last)
        assert reason_of(await wire.end()) == 0x87
        counted = {"signature_bad": BAD_SIGNATURES_MAX + 1, "device_quarantined": 1, "closed_by_gateway": 1}
        assert street.counted() == counted
        assert await exchanged(street, MALLORY.seal(reading())) == [0x97]
        assert await street.answered(alarms, publish(1, UP_ALARM, MALLORY.seal(alarm()))) == [0], "its alarms live"

    town.play(scene, tmp_path)


def test_a_flood_of_alarms_is_coalesced_and_delays_nobodys(town: Town, tmp_path: Path) -> None:
    flood = [MALLORY.seal(alarm(n, at_ms=NOW_MS), n) for n in range(300)]

    async def scene(street: Street) -> None:
        answers = await exchanged(street, *flood, topic=UP_ALARM, lane="alarm")
        assert answers[:10] == [0] * 10 and set(answers) == {0, 0x97}
        dropped = answers.count(0x97)
        assert street.count("alarm_coalesced") == dropped > 200
        assert await exchanged(street, MALLORY.seal(alarm(999, kind="fall"), 999), topic=UP_ALARM, lane="alarm") == [0]
        gateway = street.house.gateway
        gateway.ward.tick([], now_ms=street.house.now_ms(), batch=gateway.intake.batch)
        gateway.intake.soon()
        sql = "SELECT json_extract(detail, '$.coalesced') FROM alert WHERE device = ? AND kind = 'button'"
        await until(lambda: street.house.record(sql, MALLORY.device) == [(dropped,)])

    town.play(scene, tmp_path)


def test_a_queue_that_grows_is_not_read_from_before_it_is_full(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HOLD_FROM", 30), ("HOLD_UNTIL", 5), ("QUEUE_MAX", 45)):
        monkeypatch.setattr(intake, name, value)
    burst = [publish(n + 1, UP, MALLORY.seal(reading(), n)) for n in range(32)]

    async def scene(street: Street) -> None:
        gateway = street.house.gateway
        turn = gateway.intake._verifying.turn
        gateway.intake._verifying.turn = lambda *_: iter(())  # type: ignore[method-assign,assignment]
        wire = await street.connect(MALLORY)
        wire.write(*burst)
        await asyncio.sleep(0.6)  # in which the neighbour alone would fill the queue
        assert 30 <= gateway.intake.waiting < 45
        gateway.intake._verifying.turn = turn  # type: ignore[method-assign]
        began_s = time.monotonic()
        assert await street.answered(wire, *[b""] * len(burst)) == [0] * 32
        wire.write(publish(1, UP, MALLORY.seal(reading(), 99)))
        assert await street.answered(wire, b"") == [0]
        assert street.counted() == {} and time.monotonic() - began_s < 3, "a pause that nobody ends takes 5 s"

    town.play(scene, tmp_path)


ROOM = 7_000  # bytes of a content that fill a message
BOMBS = {
    "deep arrays": b"\x81" * ROOM,
    "deep maps": b"\xa1\x00" * (ROOM // 2),
    "deep tags": b"\xc6" * ROOM,
    "an array of 2^64": b"\x9b" + b"\xff" * 8,
    "a map of 2^40": b"\xbb" + (1 << 40).to_bytes(8, "big") + b"\x00" * 90,
    "bytes of 2^63": b"\x5b\x7f" + b"\xff" * 7,
    "text of 2^32": b"\x7a\xff\xff\xff\xff",
    "an array without end": b"\x9f" + b"\x00" * ROOM,
    "bytes in pieces": b"\x5f" + b"\x41a" * (ROOM // 2) + b"\xff",
    "a number of 7,000 bytes": b"\xc2\x59" + ROOM.to_bytes(2, "big") + b"\xff" * ROOM,
    "a decimal of 10^(2^63)": b"\xc4\x82\x1b" + b"\x7f" + b"\xff" * 7 + b"\x01",
    "an array in itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a pattern": b"\xd8\x23" + b"\x6c(a+)+(b+)+$!",
    "a date": b"\xc0\x74" + b"9999-99-99T99:99:99Z",
    "one key 2,000 times": b"\xb9\x07\xd0" + b"\x00\x00" * 2000,
    "no number": b"\xf9\x7e\x00",
}


def test_bombs_of_cbor_are_refused_at_once_wherever_they_lie(town: Town, tmp_path: Path) -> None:
    inner = [MALLORY.signed(MALLORY.inner(plaintext=bomb), seq=0) for bomb in BOMBS.values()]
    payload = [MALLORY.signed(bomb, seq=1) for bomb in BOMBS.values()]
    protected = [MALLORY.signed(b"", protected=bomb) for bomb in BOMBS.values()]

    async def scene(street: Street) -> None:
        began_s = time.monotonic()
        answers = await exchanged(street, *inner, *payload, *protected, *BOMBS.values())
        assert set(answers) == {0x99} and len(answers) == 4 * len(BOMBS)
        assert time.monotonic() - began_s < 5
        await until(lambda: street.count("closed_lost") == 1)
        counted = street.counted()
        names = {"cbor_invalid", "content_bad", "inner_shape", "message_shape", "message_header"}
        assert counted.keys() <= {*names, "closed_lost", "message_not_deterministic"}
        assert sum(counted.values()) == 4 * len(BOMBS) + 1
        assert counted["inner_shape"] == counted["message_header"] == len(BOMBS)

    town.play(scene, tmp_path)


# -- all at once -----------------------------------------------------------------------------------------------------------


async def _storm(street: Street, rng: Random, ends_s: float) -> None:
    """One attacker after another on one socket at a time, as fast as the gateway lets it."""
    seq = rng.randrange(1 << 40)
    while time.monotonic() < ends_s:
        with contextlib.suppress(OSError, AssertionError, TimeoutError, IndexError):
            kind = rng.randrange(4)
            wire = await street.dial(MALLORY, source=f"127.0.0.{rng.randrange(2, 9)}")
            if kind == 0:
                wire.write(rng.randbytes(rng.randrange(1, 4_000)))
                await wire.end()
                continue
            lane = rng.choice(("alarm", "data"))
            await wire.connect(f"{MALLORY.device}-{lane}")
            topic = UP_ALARM if lane == "alarm" else UP
            for at in range(40):
                seq += 2
                raw = MALLORY.seal(alarm(seq) if lane == "alarm" else reading(), seq)
                raw = (raw, forged(raw), rng.randbytes(400), raw[: rng.randrange(len(raw))])[rng.randrange(kind + 1)]
                wire.write(publish(at % 20 + 1, topic, raw))
                if at % 20 == 19:
                    for _ in range(20):
                        await wire.packet()
            if kind == 1:
                wire.write(rng.randbytes(100))
            wire.writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 2])
def test_ten_seconds_of_everything_at_once_delay_no_alarm(town: Town, tmp_path: Path, processes: int) -> None:
    async def scene(street: Street) -> None:
        ends_s = time.monotonic() + 10
        await asyncio.gather(*(_storm(street, Random(seed), ends_s) for seed in range(6)))
        counted = street.counted()
        assert {"signature_bad", "device_quarantined", "closed_not_mqtt", "alarm_coalesced"} <= counted.keys()
        assert street.house.gateway.metrics.registry.get_sample_value("vigil_refusals_total", {"code": "other"}) == 0

    town.play(scene, tmp_path, verify_processes=processes)
