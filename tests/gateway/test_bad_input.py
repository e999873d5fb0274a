"""Bad connections over real TLS sockets: each attack costs the attacker its connection or its quota, by name, and a neighbour nothing.

In every scene an honest device sends readings and alarms meanwhile: all are receipted, each alarm is on the disk in
time, and nothing of it is refused. `Neighbour` holds the gateway to that.
"""

import asyncio
import contextlib
import ssl
import sys
from pathlib import Path
from random import Random

import mqtt5
import pytest

from gateway.ingress.limits import EndpointLimits
from protocol import topics
from tests.support.certificates import Authority
from tests.support.gatehouse import until
from tests.support.sealed import Sender, alarm, reading
from tests.support.street import ADA, MALLORY, TICK_S, Street, Town, certify
from tests.support.tools import REPOSITORY
from tests.support.wire import Wire, publish, reason_of, subscribe

UP, UP_ALARM = MALLORY.up(), MALLORY.up(topics.ALARM)


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


@pytest.mark.slow
def test_a_flood_of_handshakes_without_a_certificate_delays_no_alarm(town: Town, tmp_path: Path) -> None:
    async def scene(street: Street) -> None:
        command = (sys.executable, "-m", "tests.support.handshakes", str(street.port), "5")
        flood = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE)
        told, _ = await flood.communicate()
        assert flood.returncode == 0 and int(told) > 50
        assert street.count("refused_tls") >= int(told)

    town.play(scene, tmp_path)


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
    "pings without end": (b"\xc0\x00" * 20_000, "closed_chatter", 0x96),
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
