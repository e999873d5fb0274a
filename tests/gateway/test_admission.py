"""Who gets in: every refusal with its code, its PUBACK reason and its counter, in the order of wire.md, "Admission order"."""

import itertools
import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import admission, intake
from gateway.admission import (
    BAD_SIGNATURES_MAX,
    CLOCK_OFF_MS,
    QUARANTINE_MS,
    REFUSALS,
    STATES_BURST,
    Bucket,
    answer_for,
    clock_flag,
    counted,
)
from gateway.positions import DEVICE_INTERVALS_MAX, INTERVALS_MAX, Intervals
from protocol import cbor, content, keys, message, topics
from tests.support.hub import Hub
from tests.support.sealed import NOW_MS, Sender, alarm, clock, forged, heartbeat, reading

ADA, BO = Sender("Ada"), Sender("Bo")
OTHER_LK = b"o" * 32


def in_state(state: str) -> Callable[[Hub], int]:
    """A good message of a device in a state."""

    def play(hub: Hub) -> int:
        hub.member(ADA).state = state
        return hub.settled(ADA, ADA.seal(reading()))

    return play


def sealed(**said: object) -> Callable[[Hub], int]:
    """A message whose inside is otherwise than it should be."""
    return lambda hub: hub.settled(ADA, ADA.signed(ADA.inner(**said)))


def inside(raw: bytes) -> Callable[[Hub], int]:
    """A signed message around these bytes."""
    return lambda hub: hub.settled(ADA, ADA.signed(raw))


def outside(change: Callable[[bytes], bytes]) -> Callable[[Hub], int]:
    """A good message with its outside changed."""
    return lambda hub: hub.settled(ADA, change(ADA.seal(reading())))


def gone(hub: Hub) -> int:
    """A device that was forgotten while it was connected."""
    del hub.directory.members[ADA.device]
    return hub.settled(ADA, ADA.seal(reading()))


def quarantined(hub: Hub) -> int:
    """One message after too many forgeries."""
    for seq in range(BAD_SIGNATURES_MAX + 1):
        assert hub.settled(ADA, forged(ADA.seal(reading(), seq))) == 0x99
    hub.counts.clear()
    return hub.settled(ADA, ADA.seal(reading()))


def too_many(hub: Hub) -> int:
    """The 501st of a burst of 500."""
    hub.member(ADA).data = Bucket(rate_per_s=1, burst=3)
    for seq in range(3):
        assert hub.send(ADA, ADA.seal(reading(), seq)) == []
    (answer,) = hub.send(ADA, ADA.seal(reading(), 3))
    return answer


def many_alarms(hub: Hub) -> int:
    """The 11th press of a button within a second."""
    for seq in range(10):
        hub.settled(ADA, ADA.seal(alarm(seq), seq), lane=topics.ALARM)
    hub.member(ADA).alarms = Bucket(rate_per_s=0, burst=0)
    return hub.settled(ADA, ADA.seal(alarm(10), 10), lane=topics.ALARM)


def behind(hub: Hub) -> int:
    """A message when as many wait as may."""
    wait = hub.intake._inbox
    (first,) = [ADA.seal(reading())]
    assert hub.send(ADA, first) == []
    wait.extend(wait[0] for _ in range(intake.QUEUE_MAX - 1))
    (answer,) = hub.send(ADA, ADA.seal(reading(), 1))
    wait.clear()
    return answer


def state_again(hub: Hub) -> int:
    """The same heartbeat a second time."""
    assert hub.settled(ADA, ADA.seal(heartbeat(), 5), lane=topics.STATE) == 0
    return hub.settled(ADA, ADA.seal(heartbeat(), 5), lane=topics.STATE)


def scattered(hub: Hub) -> int:
    """One more hole than a device may leave."""
    hub.member(ADA).covered[topics.DATA, 1] = Intervals((2 * n, 2 * n) for n in range(INTERVALS_MAX))
    return hub.settled(ADA, ADA.seal(reading(), 1 << 40))


def twice(hub: Hub) -> int:
    """Another message under a position that is taken."""
    assert hub.settled(ADA, ADA.seal(reading(1))) == 0
    return hub.settled(ADA, ADA.seal(reading(2)))


def untagged(raw: bytes) -> bytes:
    """An inside with one bit of its authentication tag changed."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


UNSORTED = bytes.fromhex("a2") + cbor.encode_text("simulated") + b"\xf4" + cbor.encode_text("clock") + b"\x00"
WRONG_UNITS = cbor.encode_text(
    {
        "clock": {"up_ms": 1, "wall_ms": 1, "synced": True},
        "simulated": False,
        "vitals": [{"n": "blood pressure", "v": 1}],
    }
)
CASES: list[tuple[str, int, Callable[[Hub], int]]] = [
    ("message_size", 0x99, lambda hub: hub.settled(ADA, bytes(message.SIZE_MAX[topics.DATA] + 1))),
    ("message_size", 0x99, lambda hub: hub.settled(ADA, bytes(message.SIZE_MAX[topics.ALARM] + 1), lane=topics.ALARM)),
    ("topic_not_yours", 0x87, lambda hub: hub.settled(ADA, BO.seal(reading()), BO.up())),
    ("topic_not_yours", 0x87, lambda hub: hub.settled(ADA, ADA.seal(reading()), "vigil/1/x/up/data")),
    ("device_unknown", 0x87, gone),
    ("device_suspended", 0x87, in_state("suspended")),
    ("device_revoked", 0x87, in_state("revoked")),
    ("device_erasing", 0x87, in_state("erasing")),
    ("device_erased", 0x87, in_state("erased")),
    ("device_quarantined", 0x97, quarantined),
    ("over_quota", 0x97, too_many),
    ("alarm_coalesced", 0x97, many_alarms),
    ("queue_full", 0x97, behind),
    ("message_shape", 0x99, outside(lambda raw: b"\xd1" + raw[1:])),
    ("message_shape", 0x99, outside(lambda raw: raw.replace(b"\xa0", b"\xa1\x01\x02", 1))),
    ("message_shape", 0x99, lambda hub: hub.settled(ADA, b"garbage")),
    ("message_shape", 0x99, outside(lambda raw: raw[:-1])),
    ("message_shape", 0x99, outside(lambda raw: raw + b"\x00")),
    ("message_shape", 0x99, outside(lambda raw: b"\xd2\x9f" + raw[2:] + b"\xff")),
    ("message_header", 0x99, lambda hub: hub.settled(ADA, ADA.signed(b"", protected=b"\x80"))),
    ("message_header", 0x99, lambda hub: hub.settled(ADA, ADA.signed(b"", protected=cbor.encode({1: -7})))),
    ("message_not_deterministic", 0x99, outside(lambda raw: b"\xd2\x84\x59\x00" + raw[3:])),
    ("kid_unknown", 0x87, lambda hub: hub.settled(ADA, ADA.signed(ADA.inner(), kid=BO.key.public.kid))),
    ("lane_mismatch", 0x99, lambda hub: hub.settled(ADA, ADA.signed(ADA.inner(), lane=topics.ALARM))),
    ("state_replayed", 0x99, state_again),
    ("positions_scattered", 0x99, scattered),
    ("signature_bad", 0x99, outside(forged)),
    ("conflict", 0x99, twice),
    ("commitment_bad", 0x99, lambda hub: hub.settled(ADA, ADA.signed(ADA.inner(), commitment=bytes(32)))),
    ("link_unknown", 0x99, sealed(link_id=b"knil")),
    ("tag_bad", 0x99, inside(untagged(ADA.inner()))),
    ("tag_bad", 0x99, sealed(lk=OTHER_LK)),
    ("inner_shape", 0x99, inside(b"")),
    ("inner_header", 0x99, sealed(content_type="x" * 65)),
    ("inner_not_deterministic", 0x99, inside(b"\xd0\x83\x59\x00" + ADA.inner()[3:])),
    ("content_bad", 0x99, sealed(content_type=content.CONTENT_TYPES[topics.ALARM])),
    ("cbor_invalid", 0x99, sealed(plaintext=b"\xff")),
    ("content_bad", 0x99, sealed(plaintext=UNSORTED)),
    ("content_bad", 0x99, sealed(plaintext=WRONG_UNITS)),
]


@pytest.mark.parametrize(("code", "reason", "play"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_a_refusal_has_its_code_its_reason_and_its_counter(code: str, reason: int, play: Callable[[Hub], int]) -> None:
    hub = Hub(ADA, BO)
    assert play(hub) == reason
    assert hub.counts == {code: 1}
    assert answer_for(code) == reason and counted(code) == code


def test_every_refusal_that_can_be_counted_is_shown_here() -> None:
    assert {code for code, _, _ in CASES} == REFUSALS
    assert counted("senml_unit") == "content_bad" and answer_for("senml_unit") == 0x99


# -- the order -----------------------------------------------------------------------------------------------------------

ORDER = {
    "size": "message_size",
    "topic": "topic_not_yours",
    "state": "device_suspended",
    "quarantine": "device_quarantined",
    "bucket": "over_quota",
    "shape": "message_shape",
    "kid": "kid_unknown",
    "position": "positions_scattered",
    "signature": "signature_bad",
    "commitment": "commitment_bad",
    "content": "content_bad",
}
"""Each check of wire.md with the code of a message that fails there."""


def wrong(*faults: str) -> tuple[int, Hub]:
    """The answer to a message with these faults, and the hub that gave it."""
    hub = Hub(ADA, BO)
    member = hub.member(ADA)
    plaintext = WRONG_UNITS if "content" in faults else content.encode(reading())
    kid = BO.key.public.kid if "kid" in faults else ADA.key.public.kid
    other = {"commitment": bytes(32)} if "commitment" in faults else {}
    raw = ADA.signed(ADA.inner(plaintext=plaintext), kid=kid, **other)
    if "signature" in faults:
        raw = forged(raw)
    if "position" in faults:
        member.covered[topics.DATA, 1] = Intervals((2 * n + 10, 2 * n + 10) for n in range(INTERVALS_MAX))
    if "shape" in faults:
        raw = raw + b"\x00"
    if "bucket" in faults:
        member.data = Bucket(rate_per_s=0, burst=0)
    if "quarantine" in faults:
        member.quarantined_until_ms = NOW_MS + 1
    if "state" in faults:
        member.state = "suspended"
    if "size" in faults:
        raw = raw.ljust(message.SIZE_MAX[topics.DATA] + 1, b"\x00")
    answer = hub.settled(ADA, raw, BO.up() if "topic" in faults else None)
    return answer, hub


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ORDER, 2)))
def test_a_message_with_two_faults_is_refused_for_the_one_that_is_checked_first(first: str, second: str) -> None:
    answer, hub = wrong(second, first)
    assert hub.counts == {ORDER[first]: 1} and answer == answer_for(ORDER[first])


def test_a_message_without_faults_is_taken() -> None:
    answer, hub = wrong()
    assert answer == 0 and hub.counts == {} and hub.stored(ADA) == [0]


def test_a_message_that_is_refused_before_its_shape_is_read_costs_no_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(admission.message, "parse", lambda raw, **_: parsed.append(raw))
    for fault in ("size", "topic", "state", "quarantine", "bucket"):
        wrong(fault)
    assert parsed == []


def test_a_duplicate_is_known_before_its_signature_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, raw = Hub(ADA), ADA.seal(reading())
    assert hub.settled(ADA, raw) == 0
    monkeypatch.setattr("gateway.verifying.holds", lambda _: pytest.fail("a signature was checked"))
    assert hub.settled(ADA, raw) == 0
    assert hub.counts == {"duplicate": 1} and hub.stored(ADA) == [0]


# -- state moves only after the commit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", [topics.DATA, topics.STATE])
def test_a_forged_position_of_2_to_the_47_moves_nothing(lane: int) -> None:
    hub = Hub(ADA)
    said = reading() if lane == topics.DATA else heartbeat()
    assert hub.settled(ADA, forged(ADA.seal(said, 1 << 47, boot=(1 << 32) - 1)), lane=lane) == 0x99
    member = hub.member(ADA)
    assert hub.counts == {"signature_bad": 1}
    assert (member.covered, member.pending, member.floor, member.last_state) == ({}, {}, 0, (-1, -1))
    assert hub.table.rows == [] and hub.receipts == []
    assert hub.settled(ADA, ADA.seal(said), lane=lane) == 0


def test_a_true_position_of_2_to_the_47_hurts_no_later_message() -> None:
    hub = Hub(ADA)
    for seq in (1 << 47, message.SEQ_MAX, 0, 5):
        assert hub.settled(ADA, ADA.seal(reading(), seq)) == 0
    assert sorted(hub.stored(ADA)) == [0, 5, 1 << 47, message.SEQ_MAX]


def test_positions_move_when_the_commit_is_done_and_not_before() -> None:
    hub = Hub(ADA)
    hub.committer.healthy = False
    answers = hub.send(ADA, ADA.seal(reading(), 3, boot=9))
    hub.pass_ms(5_000)
    member = hub.member(ADA)
    assert answers == [] and member.covered == {} and member.floor == 0 and list(member.pending) == [(1, 9, 3)]
    hub.committer.healthy = True
    hub.pass_ms(2_000)
    assert answers == [0] and member.covered[1, 9].ranges() == [(3, 3)] and member.floor == 9 and not member.pending


@pytest.mark.parametrize("fault", ["commitment", "content"])
def test_what_is_refused_after_its_signature_takes_no_position_but_is_refused_for_ever(fault: str) -> None:
    _, hub = wrong(fault)
    assert hub.member(ADA).covered == {} and hub.table.rows == []
    ((_, receipt),) = hub.receipts
    assert receipt.ranges == () and receipt.refused == ((0, ORDER[fault]),)


def test_what_is_refused_before_its_signature_is_named_in_no_receipt() -> None:
    for fault in list(ORDER)[: list(ORDER).index("commitment")]:
        assert wrong(fault)[1].receipts == [], fault


# -- welcome -------------------------------------------------------------------------------------------------------------


def test_a_spool_of_a_week_is_welcome_after_newer_messages_and_in_any_order() -> None:
    hub = Hub(ADA, burst=5_000)
    week_ms = 7 * 86_400_000
    assert hub.settled(ADA, ADA.seal(reading(), 100_000, boot=7)) == 0
    for seq in (*range(50, 100), *range(50)):
        hub.send(ADA, ADA.seal(reading(seq, at_ms=NOW_MS - week_ms), seq, boot=3))
    hub.pass_ms()
    assert hub.member(ADA).covered[topics.DATA, 3].ranges() == [(0, 99)]
    assert hub.counts == {} and hub.flags == {}


def test_a_device_that_starts_anew_without_end_fills_no_memory() -> None:
    hub = Hub(ADA, burst=1e9)
    member = hub.member(ADA)
    for boot in range(1, 4):
        for seq in (0, 2, 3, 1, 9):
            assert hub.settled(ADA, ADA.seal(reading(), seq, boot=boot)) == 0
    assert member.intervals == sum(map(len, member.covered.values())) == 6
    member.intervals = DEVICE_INTERVALS_MAX
    assert hub.settled(ADA, ADA.seal(reading(), boot=4)) == 0x99
    assert hub.settled(ADA, ADA.seal(reading(), 5, boot=1)) == 0x99
    assert hub.counts == {"positions_scattered": 2}
    assert hub.settled(ADA, ADA.seal(reading(), 4, boot=1)) == 0, "it goes on where it was"
    assert hub.settled(ADA, ADA.seal(alarm(), boot=4), lane=topics.ALARM) == 0


def test_a_button_that_bounces_for_hours_shuts_out_no_later_alarm() -> None:
    hub = Hub(ADA)
    member = hub.member(ADA)
    member.covered[topics.ALARM, 1] = Intervals(
        (2 * n, 2 * n) for n in range(INTERVALS_MAX)
    )  # every second was coalesced
    member.intervals = DEVICE_INTERVALS_MAX
    assert hub.settled(ADA, ADA.seal(alarm(kind="fall"), 1 << 40), lane=topics.ALARM) == 0


def test_alg_minus_19_is_accepted_as_minus_8_is() -> None:
    hub = Hub(ADA)
    assert hub.settled(ADA, ADA.signed(ADA.inner(), alg=keys.ED25519)) == 0
    assert hub.settled(ADA, forged(ADA.signed(ADA.inner(), alg=keys.ED25519, seq=1))) == 0x99


def test_a_device_that_is_being_erased_can_still_answer_and_nothing_else() -> None:
    hub = Hub(ADA)
    hub.member(ADA).state = "erasing"
    assert hub.settled(ADA, ADA.seal(heartbeat(kind="answer")), lane=topics.STATE) == 0
    assert hub.settled(ADA, ADA.seal(alarm()), lane=topics.ALARM) == 0x87


@pytest.mark.parametrize("off_ms", [-20_000 * 86_400_000 + 1, -86_400_000, 0, 86_400_000, 365 * 86_400_000])
@pytest.mark.parametrize("synced", [True, False])
@pytest.mark.parametrize("lane", [topics.ALARM, topics.DATA, topics.STATE])
def test_a_clock_is_flagged_and_never_refused(lane: int, synced: bool, off_ms: int) -> None:
    hub = Hub(ADA)
    when = clock(max(0, NOW_MS + off_ms), synced=synced)
    said = (alarm(when=when), reading(when=when), heartbeat(when=when))[lane]
    assert hub.settled(ADA, ADA.seal(said), lane=lane) == 0
    assert hub.counts == {}
    expected = "" if synced else "unsynced"
    if synced and off_ms > 0:
        expected = "ahead"
    elif synced and off_ms < 0 and lane == topics.STATE:
        expected = "behind"
    assert hub.flags == ({expected: 1} if expected else {})


def test_a_clock_is_off_from_a_minute_on() -> None:
    for sign, flag in ((1, "ahead"), (-1, "behind")):
        right, off = clock(NOW_MS + sign * CLOCK_OFF_MS), clock(NOW_MS + sign * (CLOCK_OFF_MS + 1))
        assert clock_flag(right, received_ms=NOW_MS, live=True) == ""
        assert clock_flag(off, received_ms=NOW_MS, live=True) == flag


# -- buckets and quarantine ----------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate_per_s=2, burst=3)
    assert [bucket.take(NOW_MS) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(NOW_MS + 499), bucket.take(NOW_MS + 500), bucket.take(NOW_MS + 500)] == [False, True, False]
    assert [bucket.take(NOW_MS + 60_000) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.integers(-5_000, 5_000), max_size=60))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate_allow(steps_ms: list[int]) -> None:
    bucket = Bucket(rate_per_s=1, burst=5)
    times = list(itertools.accumulate(steps_ms, operator.add, initial=NOW_MS))
    forward_ms = sum(step for step in steps_ms if step > 0)
    assert sum(bucket.take(now_ms) for now_ms in times) <= 5 + forward_ms / 1000


def test_a_clock_that_is_set_back_takes_no_tokens_away() -> None:
    bucket = Bucket(rate_per_s=50, burst=500)
    assert bucket.take(NOW_MS)
    assert all(bucket.take(NOW_MS - 3_600_000) for _ in range(499))
    assert not bucket.take(NOW_MS - 3_600_000)


def test_a_bucket_belongs_to_one_device_and_lane() -> None:
    hub = Hub(ADA, BO, burst=5)
    for seq in range(50):
        hub.send(ADA, ADA.seal(reading(), seq))
    assert hub.counts["over_quota"] == 45
    assert hub.settled(BO, BO.seal(reading())) == 0
    assert hub.settled(ADA, ADA.seal(alarm()), lane=topics.ALARM) == 0
    assert hub.settled(ADA, ADA.seal(heartbeat()), lane=topics.STATE) == 0


def test_states_have_a_quota_too() -> None:
    hub = Hub(ADA)
    for seq in range(int(STATES_BURST) + 3):
        hub.send(ADA, ADA.seal(heartbeat(), seq), lane=topics.STATE)
    assert hub.counts == {"over_quota": 3}
    assert hub.settled(ADA, ADA.seal(reading())) == 0


def test_forgeries_quarantine_the_data_lane_for_a_minute_and_end_its_connection() -> None:
    hub = Hub(ADA, BO)
    for seq in range(BAD_SIGNATURES_MAX):
        hub.settled(ADA, forged(ADA.seal(reading(), seq)))
    assert hub.dropped == [] and hub.settled(ADA, ADA.seal(reading())) == 0
    hub.settled(ADA, forged(ADA.seal(reading(), 999)))
    assert hub.dropped == [(ADA.device, "data")] and hub.counts["device_quarantined"] == 1
    assert hub.settled(ADA, ADA.seal(reading(), 1)) == 0x97
    assert hub.settled(ADA, ADA.seal(alarm()), lane=topics.ALARM) == 0
    assert hub.settled(ADA, ADA.seal(heartbeat()), lane=topics.STATE) == 0
    assert hub.settled(BO, BO.seal(reading())) == 0
    hub.pass_ms(QUARANTINE_MS)
    assert hub.settled(ADA, ADA.seal(reading(), 1)) == 0


def test_forgeries_of_alarms_end_the_alarm_connection_and_stop_no_alarm() -> None:
    hub = Hub(ADA)
    for seq in range(BAD_SIGNATURES_MAX + 1):
        hub.send(ADA, forged(ADA.seal(alarm(seq), seq)), lane=topics.ALARM)
    assert hub.dropped == [(ADA.device, "alarm")]
    assert hub.settled(ADA, ADA.seal(alarm()), lane=topics.ALARM) == 0


def test_a_few_forgeries_a_minute_are_forgotten() -> None:
    hub = Hub(ADA)
    for seq in range(3 * BAD_SIGNATURES_MAX):
        hub.settled(ADA, forged(ADA.seal(reading(), seq)))
        hub.pass_ms(2_000)
    assert hub.dropped == [] and hub.settled(ADA, ADA.seal(reading())) == 0


def test_bad_signatures_are_counted_against_the_connection_that_brought_them() -> None:
    hub = Hub(ADA, BO)
    for seq in range(BAD_SIGNATURES_MAX + 1):
        hub.send(BO, forged(ADA.seal(reading(), seq)))  # on its own topic, under another's kid
        hub.send(BO, forged(ADA.seal(reading(), seq)), ADA.up())  # on another's topic
    hub.pass_ms()
    assert hub.counts == {"kid_unknown": BAD_SIGNATURES_MAX + 1, "topic_not_yours": BAD_SIGNATURES_MAX + 1}
    assert hub.member(ADA).bad_signatures == hub.member(BO).bad_signatures == 0
    assert hub.settled(ADA, ADA.seal(reading())) == 0
