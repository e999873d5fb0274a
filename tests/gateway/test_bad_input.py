"""Bad input over real TLS sockets: each attack costs the attacker its connection or its quota, by name, and a neighbour nothing.

In every scene an honest device sends readings and three alarms meanwhile: all are receipted, each alarm is on the disk within a
second, and nothing of it is refused. `Neighbour` holds the gateway to that.
"""

import asyncio
import contextlib
import shutil
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import intake
from gateway.admission import BAD_SIGNATURES_MAX
from gateway.ingress.limits import EndpointLimits
from gateway.ingress.session import Closed, Opened, Published, Refused, Send, Session
from protocol import topics
from tests.support.certificates import Authority
from tests.support.gatehouse import enrol, until
from tests.support.sealed import NOW_MS, Sender, alarm, forged, heartbeat, reading
from tests.support.street import TICK_S, Neighbour, Street, certify, open_street
from tests.support.wire import Wire, publish, subscribe

ADA, MALLORY = Sender("Ada"), Sender("Mallory")
UP, UP_ALARM = MALLORY.up(), MALLORY.up(topics.ALARM)
Scene = Callable[[Street], Awaitable[None]]


class Town:
    """A gateway's folder with both devices paired, made once, copied for each scene."""

    def __init__(self, folder: Path) -> None:
        self.state, self.certificates = folder / "state", folder / "certificates"
        self.state.mkdir()
        self.certificates.mkdir()
        certify(self.state, self.certificates, (ADA, MALLORY))
        enrol(self.state, ADA, MALLORY)

    def play(self, scene: Scene, folder: Path, *, limits: EndpointLimits | None = None, **values: object) -> Street:
        """A scene with the neighbour at home."""
        shutil.copytree(self.state, folder / "state")

        async def play() -> Street:
            async with open_street(folder / "state", self.certificates, limits=limits, **values) as street:
                async with Neighbour(ADA, street).living():
                    await scene(street)
                return street

        return asyncio.run(play())


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A paired neighbourhood."""
    return Town(tmp_path_factory.mktemp("town"))


def reason_of(packets: list[mqtt5.Packet]) -> int | None:
    """What the server said when it closed."""
    said = packets[-1] if packets else None
    if isinstance(said, mqtt5.DisconnectPacket | mqtt5.ConnAckPacket):
        return int(said.reason_code)
    return None


# -- connections that are not opened ---------------------------------------------------------------------------------------


def test_garbage_without_tls_costs_its_socket(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), Random(1).randbytes(5000), b"\x16\x03\x01\xff\xff"):
            wire = await Wire.dial(street.port)
            wire.write(garbage)
            wire.writer.write_eof()
            await wire.end()
        await until(lambda: street.counted() == {"refused_tls": 4})

    town.play(scene, tmp_path)


@pytest.mark.parametrize(
    ("who", "code"),
    [("nobody", "refused_tls"), ("foreign", "refused_tls"), ("stranger", "refused_certificate")],
)
def test_a_certificate_that_is_not_a_paired_devices_costs_its_connection(
    town: Town, tmp_path: Path, who: str, code: str
) -> None:
    async def scene(street: Street) -> None:
        if who == "stranger":
            stranger = Sender("Stranger")
            certify(street.house.state, tmp_path, (stranger,))
            street.certificates = tmp_path
            context = street.context(stranger)
        else:
            context = street.context(None)
        if who == "foreign":
            foreign = Authority(tmp_path, "foreign").device(MALLORY.device)
            context.load_cert_chain(foreign.certificate, foreign.key)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            wire = await Wire.dial(street.port, context)
            wire.write(mqtt5.ConnectPacket(f"{MALLORY.device}-data", clean_start=True).write())
            assert await wire.end() == []
        await until(lambda: street.counted() == {code: 1})

    town.play(scene, tmp_path)


@pytest.mark.parametrize("lane", ["alarm", "data"])
def test_another_devices_certificate_costs_its_connection_and_takes_nobodys_over(
    town: Town, tmp_path: Path, lane: str
) -> None:
    async def scene(street: Street) -> None:
        wire = await street.dial(MALLORY)
        wire.write(mqtt5.ConnectPacket(f"{ADA.device}-{lane}", clean_start=True).write())
        assert reason_of(await wire.end()) == 0x87
        assert street.counted() == {"closed_not_yours": 1}

    town.play(scene, tmp_path)


UNOPENED = {
    "not mqtt": (b"\x00garbage", "closed_not_mqtt", None),
    "a publish": (publish(1, UP, b""), "closed_not_mqtt", None),
    "mqtt 3.1.1": (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a", "closed_version", None),
    "a long connect": (
        mqtt5.ConnectPacket("a", clean_start=True, username="u" * 1000).write(), "closed_too_large", 0x95,
    ),
    "a length without end": (b"\x10\xff\xff\xff\xff\x01", "closed_mqtt_length", 0x81),
    "a broken connect": (b"\x10\x05\x00\x04MQT", "closed_mqtt_short", 0x81),
    "another name": (mqtt5.ConnectPacket("mallory", clean_start=True).write(), "closed_client_id", 0x85),
}  # fmt: skip


@pytest.mark.parametrize("name", UNOPENED)
def test_a_first_packet_that_is_no_connect_of_ours_costs_its_connection(town: Town, tmp_path: Path, name: str) -> None:
    sent, code, reason = UNOPENED[name]

    async def scene(street: Street) -> None:
        wire = await street.dial(MALLORY)
        wire.write(sent)
        if name == "mqtt 3.1.1":
            assert await asyncio.wait_for(wire.reader.read(), 5) == b"\x20\x02\x00\x01"
        else:
            assert reason_of(await wire.end()) == reason
        assert street.counted() == {code: 1}

    town.play(scene, tmp_path)


def test_idle_sockets_up_to_the_cap_shut_out_their_own_address_only_and_for_5_s(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        idle = [await street.dial(MALLORY, source="127.0.0.2") for _ in range(8)]
        with contextlib.suppress(OSError):
            await (await street.dial(MALLORY, source="127.0.0.2")).end()
        assert street.counted() == {"refused_sockets_address": 1}
        other = await (await street.dial(MALLORY, source="127.0.0.3")).connect(f"{MALLORY.device}-alarm")
        assert await street.answered(other, publish(1, UP_ALARM, MALLORY.seal(alarm()))) == [0]
        await street.clock.forward(5)
        for wire in idle:
            assert await wire.end() == []
        assert street.count("closed_no_connect") == 8
        await (await street.dial(MALLORY, source="127.0.0.2")).connect(f"{MALLORY.device}-data")

    town.play(scene, tmp_path, limits=EndpointLimits(sockets_per_address=8, tick_s=TICK_S))


# -- open connections ------------------------------------------------------------------------------------------------------

OPENED = {
    "garbage": (b"\xff" * 40, "closed_mqtt_length", 0x81),
    "an answer to nothing": (b"\x20\x02\x00\x00", "closed_protocol_error", 0x82),
    "a broken length": (b"\x32\xff\xff\xff\xff\x01", "closed_mqtt_length", 0x81),
    "text that is none": (b"\x32\x05\x00\x01\xff\x00\x01", "closed_mqtt_text", 0x81),
    "an oversize packet": (publish(1, UP, bytes(9_000)), "closed_too_large", 0x95),
    "qos 2": (
        mqtt5.PublishPacket(UP, b"", qos=mqtt5.QoS.EXACTLY_ONCE, packet_id=1).write(), "closed_qos_2", 0x9B,
    ),
    "retain": (mqtt5.PublishPacket(UP, b"", retain=True).write(), "closed_retain", 0x9A),
    "a topic alias": (mqtt5.PublishPacket(UP, b"", topic_alias=1).write(), "closed_topic_alias", 0x94),
    "33 in flight": (
        b"".join(publish(n, UP, MALLORY.seal(reading(), n)) for n in range(1, 34)), "closed_receive_maximum", 0x93,
    ),
    "a second connect": (
        mqtt5.ConnectPacket(f"{MALLORY.device}-data", clean_start=True).write(), "closed_protocol_error", 0x82,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_a_packet_beyond_the_profile_costs_its_connection(town: Town, tmp_path: Path, name: str) -> None:
    sent, code, reason = OPENED[name]

    async def scene(street: Street) -> None:
        wire = await street.connect(MALLORY)
        wire.write(sent)
        assert reason_of(await wire.end()) == reason
        assert street.counted() == {code: 1}
        await street.connect(MALLORY)

    town.play(scene, tmp_path)


def test_an_alarm_connection_takes_no_more_than_1000_bytes(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        wire = await street.connect(MALLORY, "alarm")
        wire.write(publish(1, UP_ALARM, bytes(1_000)))
        assert reason_of(await wire.end()) == 0x95
        assert street.counted() == {"closed_too_large": 1}

    town.play(scene, tmp_path)


@pytest.mark.parametrize("opened", [True, False])
def test_half_a_packet_costs_its_connection(town: Town, tmp_path: Path, opened: bool) -> None:
    async def scene(street: Street) -> None:
        if opened:
            wire = await street.connect(MALLORY)
            wire.write(publish(1, UP, MALLORY.seal(reading()))[:-1])
        else:
            wire = await street.dial(MALLORY)
            wire.write(mqtt5.ConnectPacket(f"{MALLORY.device}-data", clean_start=True).write()[:-1])
        await street.clock.forward(10)
        assert reason_of(await wire.end()) == (0x8D if opened else None)
        assert street.counted() == {"closed_trickle" if opened else "closed_no_connect": 1}

    town.play(scene, tmp_path)


@pytest.mark.parametrize("opened", [True, False])
def test_one_byte_a_minute_costs_its_connection_before_the_second_byte(
    town: Town, tmp_path: Path, opened: bool
) -> None:
    async def scene(street: Street) -> None:
        wire = await street.connect(MALLORY) if opened else await street.dial(MALLORY)
        wire.write(b"\x32" if opened else b"\x10")
        await street.clock.forward(60)
        with contextlib.suppress(ConnectionError):
            wire.write(b"\xff")
            await wire.end()
        assert street.counted() == {"closed_trickle" if opened else "closed_no_connect": 1}

    town.play(scene, tmp_path)


def test_a_connection_that_falls_silent_is_closed(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        wire = await street.connect(MALLORY)
        await street.clock.forward(23)
        assert reason_of(await wire.end()) == 0x8D and street.counted() == {"closed_silent": 1}

    town.play(scene, tmp_path)


def test_other_subscriptions_are_refused_and_a_bomb_of_them_too(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        wire = await street.connect(MALLORY)
        foreign = ("#", "vigil/1/+/down/receipt", f"$share/a/{topics.down_receipt(ADA.device)}", "$SYS/#")
        wire.write(subscribe(*foreign, topics.down_receipt(ADA.device), topics.down_receipt(MALLORY.device)))
        answer = await wire.packet()
        assert isinstance(answer, mqtt5.SubAckPacket)
        assert [int(code) for code in answer.reason_codes] == [0xA2, 0xA2, 0x9E, 0xA2, 0x87, 0]
        bomb = subscribe(*(f"{n}/#" for n in range(1000)))
        for _ in range(20):
            wire.write(bomb)
            answer = await wire.packet()
            assert isinstance(answer, mqtt5.SubAckPacket) and {int(code) for code in answer.reason_codes} == {0xA2}
        assert street.counted() == {"refused_subscription": 5 + 20_000}
        wire.write(publish(1, UP, MALLORY.seal(reading())))
        kinds = [type(await wire.packet()) for _ in range(2)]
        assert set(kinds) == {mqtt5.PubAckPacket, mqtt5.PublishPacket}, "it hears its own receipt, and no other's"

    town.play(scene, tmp_path)


def test_connections_that_take_each_other_over_hurt_their_own_device_only(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        wires = [await street.connect(MALLORY) for _ in range(20)]
        assert [reason_of(await wire.end()) for wire in wires[:-1]] == [0x8E] * 19
        assert street.counted() == {"closed_taken_over": 19}
        assert await street.answered(wires[-1], publish(1, UP, MALLORY.seal(reading()))) == [0]

    town.play(scene, tmp_path)


# -- messages --------------------------------------------------------------------------------------------------------------


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
def test_ten_seconds_of_everything_at_once_delay_no_alarm(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        ends_s = time.monotonic() + 10
        await asyncio.gather(*(_storm(street, Random(seed), ends_s) for seed in range(6)))
        counted = street.counted()
        assert {"signature_bad", "device_quarantined", "closed_not_mqtt", "alarm_coalesced"} <= counted.keys()
        assert street.house.gateway.metrics.registry.get_sample_value("vigil_refusals_total", {"code": "other"}) == 0

    town.play(scene, tmp_path)


# -- the session alone -----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from([b"", UP.encode(), UP_ALARM.encode(), ADA.up().encode(), b"#", b"\xff", b"a\x00b"])
FIELDS = st.one_of(
    NAMES.map(lambda name: len(name).to_bytes(2, "big") + name),
    st.binary(max_size=12),
    st.sampled_from(
        [b"\x00", b"\x05\x26\x00\x01a\x00", b"\x02\x0b\x01", b"\xff\xff\xff\xff\x7f", b"\x00\x04MQTT\x05\x02"]
    ),
)
FRAMES = st.builds(
    lambda head, fields, lie: bytes([head]) + _length(len(b"".join(fields)) + lie) + b"".join(fields),
    st.sampled_from([0x10, 0x32, 0x32, 0x3A, 0x30, 0x82, 0xA2, 0xC0, 0xE0]) | st.integers(0, 255),
    st.lists(FIELDS, max_size=6),
    st.sampled_from([0, 0, 0, 1, -1, 5000]),
)
PUBLISHES = st.builds(
    lambda topic, rest: b"\x32" + _length(2 + len(topic) + len(rest)) + len(topic).to_bytes(2, "big") + topic + rest,
    st.sampled_from([UP.encode(), UP_ALARM.encode()]),
    st.binary(max_size=5),
)
STEPS = st.lists(st.tuples(st.one_of(st.binary(max_size=60), FRAMES, PUBLISHES), st.floats(0, 30)), max_size=25)


def _length(length: int) -> bytes:
    length = max(0, length)
    return bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])


@settings(max_examples=500, deadline=None)
@given(STEPS, st.sampled_from(["", "data", "alarm"]), st.randoms(use_true_random=False))
def test_whatever_comes_in_whatever_cuts_a_session_only_ever_gives_named_actions(
    steps: list[tuple[bytes, float]], lane: str, rng: Random
) -> None:
    session = Session(may_connect=lambda name: name == MALLORY.device, now_s=0.0)
    if lane:
        session.feed(mqtt5.ConnectPacket(f"{MALLORY.device}-{lane}", clean_start=True).write(), 0.0)
    now_s, closes = 0.0, 0
    for data, wait_s in steps:
        for action in [*session.tick(now_s), *session.feed(data, now_s)]:
            assert isinstance(action, Send | Opened | Published | Refused | Closed)
            if isinstance(action, Published):
                assert action.topic in (UP, UP_ALARM, MALLORY.up(topics.STATE))
                if action.packet_id and rng.random() < 0.5:
                    assert session.answer(action.packet_id, action.token, 0x99) or session.closed
            if isinstance(action, Closed | Refused):
                assert action.name.startswith(("closed_", "refused_"))
            closes += isinstance(action, Closed)
        assert session.in_flight <= 32 and closes <= 1 and session.closed is (closes == 1)
        now_s += wait_s
