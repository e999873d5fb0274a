"""One MQTT 5 connection in virtual time: the profile, the hostile, and any bytes in any chunks."""

import itertools
from random import Random

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ingress import session as s
from gateway.ingress.session import Action, Closed, Opened, Published, Refused, Send, Session
from protocol import topics

DEVICE = "0123456789abcdef"
OTHER = "fedcba9876543210"
UP_DATA = topics.up(DEVICE, topics.DATA)
UP_ALARM = topics.up(DEVICE, topics.ALARM)
RECEIPTS = topics.down_receipt(DEVICE)
QOS1 = mqtt5.QoS.AT_LEAST_ONCE


def connect(client_id: str = f"{DEVICE}-data", **fields: object) -> bytes:
    return mqtt5.ConnectPacket(client_id, clean_start=True, **fields).write()  # type: ignore[arg-type]


def publish(topic: str = UP_DATA, payload: bytes = b"reading", packet_id: int = 1, **fields: object) -> bytes:
    return mqtt5.PublishPacket(topic, payload, qos=QOS1, packet_id=packet_id, **fields).write()  # type: ignore[arg-type]


def subscribe(*patterns: str, subscription_id: int | None = None) -> bytes:
    filters = [mqtt5.TopicFilter(pattern) for pattern in patterns]
    return mqtt5.SubscribePacket(7, filters, subscription_id=subscription_id).write()


def fresh(device: str = DEVICE) -> Session:
    return Session(may_connect=lambda name: name == device, now_s=0.0)


def opened(lane: str = "data") -> Session:
    session = fresh()
    actions = session.feed(connect(f"{DEVICE}-{lane}"), 0.0)
    assert isinstance(actions[0], Opened) and isinstance(actions[1], Send)
    return session


def sent(actions: list[Action]) -> list[mqtt5.Packet]:
    return [mqtt5.read(memoryview(action.data))[0] for action in actions if isinstance(action, Send)]


def end(actions: list[Action]) -> Closed:
    """The close that ends `actions`; over MQTT the DISCONNECT before it has the same reason."""
    closed = actions[-1]
    assert isinstance(closed, Closed)
    for packet in sent(actions):
        if isinstance(packet, mqtt5.DisconnectPacket):
            assert packet.reason_code == closed.reason
    return closed


def test_a_connect_is_answered_with_the_profile() -> None:
    session = fresh()
    actions = session.feed(connect(session_expiry_interval=3600, keep_alive=600), 1.0)
    assert actions[0] == Opened(client_id=f"{DEVICE}-data", device=DEVICE, lane="data")
    (answer,) = sent(actions)
    assert isinstance(answer, mqtt5.ConnAckPacket)
    assert answer.reason_code == 0 and answer.session_present is False and answer.session_expiry_interval == 0
    assert answer.server_keep_alive == 15 and answer.receive_max == 32 and answer.topic_alias_max == 0
    assert answer.max_qos == 1 and answer.max_packet_size == 8300 and not answer.retain_available
    assert not answer.wildcard_subscription_available and not answer.shared_subscription_available


def test_a_message_is_delivered_and_acknowledged_once() -> None:
    session = opened()
    (message,) = session.feed(publish(packet_id=300), 1.0)
    assert message == Published(UP_DATA, b"reading", 300, 1)
    assert session.answer(300, 1, 0) == mqtt5.PubAckPacket(300).write()
    assert session.answer(300, 1, 0) == b""
    session.feed(publish(packet_id=300), 1.0)
    assert session.answer(300, 1, 0) == b"", "a late second answer must not acknowledge the next message"
    assert session.in_flight == 1


@pytest.mark.parametrize("reason", [0x87, 0x97, 0x99])
def test_a_refusal_is_a_puback_with_its_reason(reason: int) -> None:
    session = opened()
    session.feed(publish(packet_id=9), 1.0)
    packet, _ = mqtt5.read(memoryview(session.answer(9, 1, reason)))
    assert isinstance(packet, mqtt5.PubAckPacket) and packet.packet_id == 9 and packet.reason_code == reason


def test_properties_and_qos_0_take_the_codecs_way_to_the_same_message() -> None:
    session = opened()
    plain = mqtt5.PublishPacket(UP_DATA, b"reading").write()
    rich = publish(content_type="application/cose", user_properties=[("a", "b")], correlation_data=b"\xff")
    assert session.feed(plain + rich, 1.0) == [
        Published(UP_DATA, b"reading", 0, 0),
        Published(UP_DATA, b"reading", 1, 1),
    ]
    assert session.answer(0, 0, 0) == b""


def test_a_data_connection_carries_state_and_an_alarm_connection_only_alarms() -> None:
    state, alarm = publish(topics.up(DEVICE, topics.STATE)), publish(UP_ALARM)
    assert isinstance(opened("data").feed(state, 1.0)[0], Published)
    assert isinstance(opened("alarm").feed(alarm, 1.0)[0], Published)
    assert opened("alarm").feed(state, 1.0)[0] == Refused("refused_topic")
    assert opened("data").feed(alarm, 1.0)[0] == Refused("refused_topic")


@pytest.mark.parametrize("topic", [topics.up(OTHER, topics.DATA), RECEIPTS, "$SYS/x"])
def test_another_topic_is_refused_and_counted_and_the_connection_lives(topic: str) -> None:
    session = opened()
    actions = session.feed(publish(topic), 1.0)
    assert actions[0] == Refused("refused_topic")
    (answer,) = sent(actions)
    assert isinstance(answer, mqtt5.PubAckPacket) and answer.reason_code == 0x87
    assert session.in_flight == 0 and not session.closed
    assert session.feed(mqtt5.PublishPacket(topic, b"").write(), 1.0) == [Refused("refused_topic")]
    wildcard = publish("vigil/1/a/up/data").replace(b"/a/", b"/+/")
    assert session.feed(wildcard, 1.0)[0] == Refused("refused_topic")


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        (RECEIPTS, 0),
        (topics.down_command(DEVICE), 0),
        (topics.down_receipt(OTHER), 0x87),
        (UP_DATA, 0x87),
        ("#", 0xA2),
        (f"vigil/1/{DEVICE}/down/+", 0xA2),
        (f"$share/g/{RECEIPTS}", 0x9E),
    ],
)
def test_a_device_subscribes_to_its_own_down_topics_and_no_other(pattern: str, code: int) -> None:
    session = opened()
    (answer,) = sent(session.feed(subscribe(pattern), 1.0))
    assert isinstance(answer, mqtt5.SubAckPacket) and answer.packet_id == 7 and list(answer.reason_codes) == [code]
    assert (session.down(pattern, b"x") is not None) is (code == 0)


def test_a_down_message_is_qos_0_and_stops_after_unsubscribe() -> None:
    session = opened()
    assert session.down(RECEIPTS, b"receipt") is None
    session.feed(subscribe(RECEIPTS), 1.0)
    packet = session.down(RECEIPTS, b"receipt")
    assert packet == mqtt5.PublishPacket(RECEIPTS, b"receipt").write()
    (answer,) = sent(session.feed(mqtt5.UnsubscribePacket(8, [RECEIPTS, "x"]).write(), 1.0))
    assert isinstance(answer, mqtt5.UnsubAckPacket) and list(answer.reason_codes) == [0, 0x11]
    assert session.down(RECEIPTS, b"receipt") is None


def test_a_down_message_over_the_peers_size_is_not_sent() -> None:
    session = fresh()
    session.feed(connect(max_packet_size=100) + subscribe(RECEIPTS), 0.0)
    assert session.down(RECEIPTS, b"x" * 10) is not None
    assert session.down(RECEIPTS, b"x" * 100) is None


def test_a_second_connect_and_answers_to_what_we_never_send_are_protocol_errors() -> None:
    auth = b"\xf0\x00"
    for packet in (connect(), mqtt5.PubAckPacket(1).write(), mqtt5.PubRelPacket(1).write(), auth, b"\x20\x00"):
        assert end(opened().feed(packet, 1.0)).reason == 0x82


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (mqtt5.PublishPacket(UP_DATA, b"", qos=mqtt5.QoS.EXACTLY_ONCE, packet_id=1).write(), 0x9B),
        (publish(retain=True), 0x9A),
        (publish(topic_alias=1), 0x94),
        (publish(subscription_ids=[1]), 0x82),
        (subscribe(RECEIPTS, subscription_id=3), 0xA1),
        (b"\x32\x05\x00\x01\xff\x00\x01", 0x81),  # a topic that is not UTF-8: the codec would panic
        (b"\x32\xff\xff\xff\xff\x01", 0x81),
        (b"\xc0\x80\x00", 0x81),
        (b"\x36\x00", 0x81),
        (b"\xc1\x00", 0x81),
    ],
)
def test_what_the_profile_does_not_offer_ends_the_connection_with_its_reason(packet: bytes, reason: int) -> None:
    session = opened()
    assert end(session.feed(packet, 1.0)).reason == reason
    assert session.closed and session.feed(publish(), 1.0) == [] and session.answer(1, 1, 0) == b""


def test_the_33rd_message_in_flight_ends_the_connection() -> None:
    session = opened()
    delivered = session.feed(b"".join(publish(packet_id=at) for at in range(1, 33)), 1.0)
    assert len(delivered) == 32 and session.in_flight == 32
    assert end(session.feed(publish(packet_id=33), 1.0)).reason == 0x93


def test_a_packet_identifier_in_use_or_zero_is_a_protocol_error() -> None:
    assert end(opened().feed(publish() + publish(), 1.0)).reason == 0x82
    zero = publish().replace(b"\x00\x01\x00reading", b"\x00\x00\x00reading")
    assert end(opened().feed(zero, 1.0)).name == "closed_packet_id"


@pytest.mark.parametrize(("lane", "limit"), [("alarm", 1000), ("data", 8300)])
def test_an_oversize_packet_is_refused_by_its_header_alone(lane: str, limit: int) -> None:
    topic = UP_ALARM if lane == "alarm" else UP_DATA
    around = len(publish(topic, b"x" * 500)) - 500
    fitting = publish(topic, b"x" * (limit - around))
    assert len(fitting) == limit
    assert isinstance(opened(lane).feed(fitting, 1.0)[0], Published)
    assert end(opened(lane).feed(publish(topic, b"x" * (limit - around + 1))[:3], 1.0)).reason == 0x95


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [
        (f"{OTHER}-data", 0x87),
        (f"{OTHER}-alarm", 0x87),
        (DEVICE, 0x85),
        (f"{DEVICE}-other", 0x85),
        (f"{DEVICE.upper()}-data", 0x85),
        (f"{DEVICE}\n-data", 0x85),
        ("", 0x85),
    ],
)
def test_a_client_id_that_is_not_the_peers_own_is_refused(client_id: str, reason: int) -> None:
    actions = fresh().feed(connect(client_id), 0.0)
    (answer,) = sent(actions)
    assert isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code == reason and end(actions).reason == reason


def test_older_and_unknown_versions_are_refused_in_words_they_know() -> None:
    older = (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a", b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x0a\x00\x01a")
    for packet in older:
        actions = fresh().feed(packet, 0.0)
        assert actions[0] == Send(b"\x20\x02\x00\x01") and actions[1:] == [Closed(reason=0x84, name="closed_version")]
    actions = fresh().feed(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x0a\x00\x01a", 0.0)
    (answer,) = sent(actions)
    assert isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code == 0x84


def test_a_will_is_ignored_and_an_authentication_method_refused() -> None:
    will = mqtt5.Will("anything", payload=b"\xff", retain=True)
    assert isinstance(fresh().feed(connect(will=will, username="u", password=b"\xff"), 0.0)[0], Opened)
    assert end(fresh().feed(connect(authentication_method="SCRAM"), 0.0)).reason == 0x8C


def test_a_first_packet_that_is_no_connect_is_told_nothing() -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", publish(), b"\x00", b"\x16\x03\x01"):
        assert fresh().feed(garbage, 0.0) == [Closed(reason=0x82, name="closed_not_mqtt")]


def test_a_connect_over_1000_bytes_is_refused() -> None:
    actions = fresh().feed(connect(username="u" * 1000)[:10], 0.0)
    (answer,) = sent(actions)
    assert isinstance(answer, mqtt5.ConnAckPacket) and answer.reason_code == 0x95


def test_a_ping_is_answered_and_a_disconnect_is_obeyed_in_silence() -> None:
    session = opened()
    assert session.feed(b"\xc0\x00", 1.0) == [Send(b"\xd0\x00")]
    assert session.feed(b"\xe0\x00", 1.0) == [Closed(reason=0, name="closed_by_device")]


CHATTER = {
    "pings": b"\xc0\x00",
    "subscriptions": subscribe("#"),
    "unsubscriptions": mqtt5.UnsubscribePacket(8, ["a"]).write(),
    "other topics": mqtt5.PublishPacket("a", b"").write(),
}


@pytest.mark.parametrize("name", CHATTER)
def test_a_peer_that_only_talks_is_cut_off(name: str) -> None:
    session = opened()
    for now_s in (0.0, s.CHATTER_S, 2 * s.CHATTER_S):
        session.feed(CHATTER[name] * s.CHATTER_MAX, now_s)
        assert not session.closed
    closed = end(session.feed(CHATTER[name] * 8_000, 2 * s.CHATTER_S + 1))
    assert (closed.reason, closed.name) == (0x96, "closed_chatter")


def test_messages_are_no_chatter_however_many() -> None:
    session = opened()
    for number in range(10 * s.CHATTER_MAX):
        (message,) = session.feed(publish(packet_id=number + 1, content_type="a"), 0.0)
        assert isinstance(message, Published) and session.answer(message.packet_id, message.token, 0)
        assert session.feed(mqtt5.PublishPacket(UP_DATA, b"").write(), 0.0)
    assert not session.closed


def test_a_peer_without_a_connect_dies_after_5_s() -> None:
    session = fresh()
    session.feed(connect()[:-1], 0.0)
    assert session.tick(4.9) == []
    assert session.tick(5.0) == [Closed(reason=0xA0, name="closed_no_connect")]


def test_a_silent_peer_dies_after_one_and_a_half_keep_alives() -> None:
    session = opened()
    session.feed(b"\xc0\x00", 10.0)
    assert session.tick(32.4) == []
    assert end(session.tick(32.5)).reason == 0x8D


def test_one_byte_a_minute_does_not_keep_a_connection_alive() -> None:
    session = opened()
    packet = publish()
    session.feed(packet[:1], 0.0)
    assert session.tick(9.9) == []
    session.feed(packet[1:2], 9.9)
    assert end(session.tick(10.0)).name == "closed_trickle"


def test_a_new_partial_packet_starts_its_own_deadline() -> None:
    session = opened()
    packet = publish()
    session.feed(packet[:5], 0.0)
    session.feed(packet[5:] + b"\xc0", 9.0)
    assert session.tick(18.9) == []
    assert end(session.tick(19.0)).name == "closed_trickle"


def test_time_in_which_we_did_not_read_does_not_count_against_the_peer() -> None:
    session = opened()
    session.feed(publish()[:5], 0.0)
    session.excuse(5.0)
    assert session.tick(14.9) == []
    assert session.tick(15.0)


def test_a_connection_taken_over_is_told_so() -> None:
    session = opened()
    assert end(session.close(s.TAKEN_OVER, "closed_taken_over")).reason == 0x8E
    assert session.close(s.TAKEN_OVER, "closed_taken_over") == []


SAMPLES = {
    "connect": connect(user_properties=[("a", "é")]),
    "will": connect(will=mqtt5.Will("a", payload=b"x", content_type="t"), username="u", password=b"p"),
    "publish": publish(),
    "rich": publish(content_type="application/cose"),
    "subscribe": subscribe(RECEIPTS, "a/b"),
    "unsubscribe": mqtt5.UnsubscribePacket(8, [RECEIPTS]).write(),
    "ping": b"\xc0\x00",
}


def start_for(name: str) -> Session:
    return fresh() if name in ("connect", "will") else opened()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_prefix_waits_and_then_closes(name: str) -> None:
    for length in range(len(SAMPLES[name])):
        session = start_for(name)
        assert session.feed(SAMPLES[name][:length], 0.0) == []
        assert bool(session.tick(10.0)) is (length > 0 or session.lane is None)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_bit_flip_is_answered_or_closed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    packet = SAMPLES[name]
    for bit in range(len(packet) * 8):
        flipped = bytearray(packet)
        flipped[bit // 8] ^= 1 << bit % 8
        session = start_for(name)
        session.feed(bytes(flipped) + SAMPLES["ping"], 0.0)
        assert session.closed or session.in_flight <= 1
    assert capfd.readouterr().err == "", "the codec panicked"


def run(stream: bytes, cuts: list[int], lane: str) -> list[Action]:
    session = fresh() if lane == "none" else opened(lane)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [action for at, to in itertools.pairwise(edges) for action in session.feed(stream[at:to], 0.0)]


PIECES = st.one_of(st.sampled_from([*SAMPLES.values(), publish(packet_id=2), publish("x")]), st.binary(max_size=40))


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(PIECES, max_size=6),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    lane=st.sampled_from(["none", "data", "alarm"]),
)
def test_any_chunking_of_any_bytes_gives_the_same_actions(pieces: list[bytes], cuts: list[int], lane: str) -> None:
    stream = b"".join(pieces)
    whole = run(stream, [], lane)
    assert run(stream, cuts, lane) == whole
    assert run(stream, list(range(len(stream))), lane) == whole


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from([0x10, 0x32, 0x3A, 0x82, 0xA2, 0xC0, 0xE0, 0xF0]), body=st.binary(max_size=100))
def test_any_body_behind_a_true_header_never_raises(kind: int, body: bytes) -> None:
    start_for("connect" if kind == 0x10 else "publish").feed(bytes([kind, len(body)]) + body, 0.0)


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=900), packet_id=st.integers(1, 65535), again=st.booleans())
def test_the_fast_way_reads_what_the_codec_reads(payload: bytes, packet_id: int, again: bool) -> None:
    packet = publish(payload=payload, packet_id=packet_id, duplicate=again)
    decoded, _ = mqtt5.read(memoryview(packet))
    assert isinstance(decoded, mqtt5.PublishPacket)
    assert opened().feed(packet, 0.0) == [Published(decoded.topic, decoded.payload, packet_id, 1)]


NAMES = st.sampled_from(
    [b"", UP_DATA.encode(), UP_ALARM.encode(), topics.up(OTHER, topics.DATA).encode(), b"#", b"\xff", b"a\x00b"]
)
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
    st.sampled_from([UP_DATA.encode(), UP_ALARM.encode()]),
    st.binary(max_size=5),
)
STEPS = st.lists(st.tuples(st.one_of(st.binary(max_size=60), FRAMES, PUBLISHES), st.floats(0, 30)), max_size=25)


def _length(length: int) -> bytes:
    length = max(0, length)
    return bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])


@settings(max_examples=250, deadline=None)
@given(STEPS, st.sampled_from(["", "data", "alarm"]), st.randoms(use_true_random=False))
def test_whatever_comes_in_whatever_cuts_a_session_only_ever_gives_named_actions(
    steps: list[tuple[bytes, float]], lane: str, rng: Random
) -> None:
    session = opened(lane) if lane else fresh()
    now_s, closes = 0.0, 0
    for data, wait_s in steps:
        for action in [*session.tick(now_s), *session.feed(data, now_s)]:
            assert isinstance(action, Send | Opened | Published | Refused | Closed)
            if isinstance(action, Published):
                assert action.topic in (UP_DATA, UP_ALARM, topics.up(DEVICE, topics.STATE))
                if action.packet_id and rng.random() < 0.5:
                    assert session.answer(action.packet_id, action.token, 0x99) or session.closed
            if isinstance(action, Closed | Refused):
                assert action.name.startswith(("closed_", "refused_"))
            closes += isinstance(action, Closed)
        assert session.in_flight <= 32 and closes <= 1 and session.closed is (closes == 1)
        now_s += wait_s
