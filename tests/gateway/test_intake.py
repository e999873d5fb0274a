"""From an arrival to its commit, on virtual time: order, duplicates, conflicts, bounds, and nothing acknowledged too early."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import intake
from gateway.admission import Bucket
from gateway.alerts.book import Book
from gateway.alerts.escalation import Policy
from gateway.batch import Batch
from gateway.detect.settings import DetectSettings
from gateway.intake import COALESCE_MS, COMMIT_ROWS, CONFLICT_KEPT_MAX, HOLD_FROM, HOLD_UNTIL, QUEUE_MAX
from gateway.receipts import CONFLICT
from gateway.ward import Ward
from protocol import content, delivery, message, topics
from protocol.signatures import Claim, all_hold
from tests.support.hub import COMMIT_S, Hub
from tests.support.sealed import NOW_MS, Sender, alarm, forged, heartbeat, reading

ADA, BO = Sender("Ada"), Sender("Bo")
COMMIT_MS = COMMIT_S * 1000


class SlowPool:
    """A pool whose jobs are done when the test says so, in whatever order it says."""

    def __init__(self) -> None:
        self.ready = True
        self.waiting: list[tuple[Future[list[bool]], Sequence[Claim]]] = []

    def submit(self, claims: Sequence[Claim]) -> "Future[list[bool]]":
        """Keep the job."""
        future: Future[list[bool]] = Future()
        self.waiting.append((future, claims))
        return future

    def finish(self, number: int) -> None:
        """Do one of the waiting jobs."""
        future, claims = self.waiting.pop(number)
        future.set_result(all_hold(claims))


# -- commits -------------------------------------------------------------------------------------------------------------


def test_nothing_is_acknowledged_receipted_or_shown_before_its_commit() -> None:
    hub = Hub(ADA)
    answers = hub.send(ADA, ADA.seal(reading()))
    hub.pass_ms(20 + COMMIT_MS - 1)
    assert hub.commits == [20] and answers == hub.receipts == hub.committer.shown == hub.table.rows == []
    hub.pass_ms(1)
    assert answers == [0] and hub.stored(ADA) == [0]
    ((device, receipt),) = hub.receipts
    assert device == ADA.device and receipt.ranges == ((0, 0),)
    assert receipt.digest == delivery.digest([hashlib.sha256(ADA.seal(reading())).digest()])
    assert [shown[0] for shown in hub.committer.shown] == [ADA.device]


def test_a_commit_waits_20_ms_for_more() -> None:
    hub = Hub(ADA, BO)
    for seq in range(4):
        hub.send((ADA, BO)[seq % 2], (ADA, BO)[seq % 2].seal(reading(), seq))
        hub.pass_ms(4)
    hub.pass_ms()
    assert hub.commits == [20] and len(hub.table.rows) == 4 and len(hub.receipts) == 2


def test_500_messages_are_committed_at_once() -> None:
    hub = Hub(ADA, burst=2_000)
    for seq in range(COMMIT_ROWS):
        hub.send(ADA, ADA.seal(reading(), seq))
    hub.pass_ms(0)
    assert hub.commits == [0]
    hub.pass_ms()
    assert hub.stored(ADA) == list(range(COMMIT_ROWS)) and hub.commits == [0]


def test_an_alarm_is_committed_at_once_and_takes_along_what_waits() -> None:
    hub = Hub(ADA)
    data = hub.send(ADA, ADA.seal(reading()))
    hub.pass_ms(3)
    pressed = hub.send(ADA, ADA.seal(alarm()), lane=topics.ALARM)
    assert hub.commits == [3] and pressed == []
    hub.pass_ms(COMMIT_MS)
    assert pressed == data == [0] and len(hub.table.rows) == 2


def test_an_alarm_during_a_commit_is_committed_right_after_it() -> None:
    hub = Hub(ADA)
    hub.send(ADA, ADA.seal(reading()))
    hub.pass_ms(20)
    pressed = hub.send(ADA, ADA.seal(alarm()), lane=topics.ALARM)
    hub.send(ADA, ADA.seal(reading(), 1))
    hub.pass_ms(2 * COMMIT_MS)
    assert hub.commits == [20, 20 + COMMIT_MS] and pressed == [0]


def test_an_alarm_overtakes_every_reading_that_waits() -> None:
    hub = Hub(ADA, BO, burst=5_000)
    for seq in range(1_000):
        hub.send(ADA, ADA.seal(reading(), seq))
    hub.send(BO, BO.seal(alarm()), lane=topics.ALARM)
    assert hub.commits == [0]
    hub.pass_ms(COMMIT_MS)
    assert hub.table.rows[0][:2] == (BO.device, topics.ALARM)


def test_while_storage_fails_nothing_is_acknowledged_and_nothing_is_dropped() -> None:
    hub = Hub(ADA)
    hub.committer.healthy = False
    answers = [hub.send(ADA, ADA.seal(reading(), seq)) for seq in range(20)]
    hub.pass_ms(60_000)
    again = hub.send(ADA, ADA.seal(reading(), 0))
    hub.pass_ms(60_000)
    assert answers == [[]] * 20 and again == [0x97] and hub.receipts == [] and hub.counts == {"duplicate": 1}
    hub.committer.healthy = True
    hub.pass_ms(3_000)
    assert answers == [[0]] * 20 and again == [0x97] and hub.stored(ADA) == list(range(20))


def test_a_state_is_answered_at_once_and_neither_stored_nor_receipted() -> None:
    hub = Hub(ADA)
    hub.member(ADA).state = "enrolled"
    assert hub.send(ADA, ADA.seal(heartbeat(kind="birth")), lane=topics.STATE) == []
    hub.pass_ms(0)
    assert hub.member(ADA).state == "active" and [said.kind for _, said in hub.ward.seen] == ["birth"]  # type: ignore[union-attr]
    hub.pass_ms()
    assert hub.table.rows == [] and hub.receipts == []
    bad = ADA.seal(heartbeat(), 1, plaintext=b"\xff")
    assert hub.settled(ADA, bad, lane=topics.STATE) == 0x99 and hub.receipts == []
    assert hub.counts == {"cbor_invalid": 1}


def test_a_state_that_comes_twice_before_it_is_looked_at_is_heard_once() -> None:
    hub = Hub(ADA)
    first, second = (hub.send(ADA, ADA.seal(heartbeat(), 3), lane=topics.STATE) for _ in range(2))
    hub.pass_ms(0)
    assert (first, second) == ([0], [0x99]) and len(hub.ward.seen) == 1


# -- duplicates and conflicts --------------------------------------------------------------------------------------------


def test_a_stored_message_is_receipted_again_each_time_and_stored_once() -> None:
    hub, raw = Hub(ADA), ADA.seal(reading())
    for _ in range(3):
        assert hub.settled(ADA, raw) == 0
    assert hub.stored(ADA) == [0] and hub.counts == {"duplicate": 2} and len(hub.ward.seen) == 1
    first, *later = [receipt for _, receipt in hub.receipts]
    assert [(r.ranges, r.digest, r.refused) for r in later] == [(first.ranges, first.digest, ())] * 2


@pytest.mark.parametrize("wait_ms", [0, 5, 20, 22])
def test_a_message_again_before_its_commit_is_stored_once_and_acknowledged_twice_after_it(wait_ms: int) -> None:
    hub, raw = Hub(ADA), ADA.seal(reading())
    first = hub.send(ADA, raw)
    hub.pass_ms(wait_ms)
    second = hub.send(ADA, raw)
    assert first == second == []
    hub.pass_ms()
    assert first == second == [0] and hub.stored(ADA) == [0] and hub.counts == {"duplicate": 1}


def test_a_duplicate_after_a_restart_is_known_by_the_disk() -> None:
    hub, raw = Hub(ADA), ADA.seal(reading())
    hub.settled(ADA, raw)
    again = Hub(ADA)
    again.table.rows = hub.table.rows
    again.member(ADA).durable(topics.DATA, 1, 0)
    assert again.settled(ADA, raw) == 0 and again.counts == {"duplicate": 1} and again.stored(ADA) == [0]


@pytest.mark.parametrize("committed", [True, False])
def test_a_conflict_is_kept_as_evidence_and_not_receipted(committed: bool) -> None:
    hub = Hub(ADA)
    first, second = ADA.seal(reading(1), 7, boot=3), ADA.seal(reading(2), 7, boot=3)
    kept = hub.send(ADA, first)
    if committed:
        hub.pass_ms()
    refused = hub.send(ADA, second)
    assert refused == []
    hub.pass_ms()
    assert (kept, refused) == ([0], [0x99]) and hub.counts == {"conflict": 1}
    assert [row[5] for row in hub.table.rows] == [first] and hub.table.conflicts == [second]
    told = [receipt for _, receipt in hub.receipts if receipt.refused]
    assert [(r.ranges, r.refused, r.floor) for r in told] == [(((7, 7),), ((7, CONFLICT),), 3)]
    held = delivery.digest([message.message_hash(first)])
    assert {receipt.digest for _, receipt in hub.receipts} == {held}


def test_an_alarm_in_a_conflict_is_raised() -> None:
    hub = Hub(ADA)
    hub.settled(ADA, ADA.seal(alarm(1)), lane=topics.ALARM)
    assert hub.send(ADA, ADA.seal(alarm(2, kind="fall")), lane=topics.ALARM) == []
    assert [said.kind for _, said in hub.ward.seen] == ["button", "fall"]  # type: ignore[union-attr]
    assert hub.commits[-1] == hub.loop.now_ms - NOW_MS, "it commits at once"
    hub.pass_ms()
    assert len(hub.table.conflicts) == 1 and hub.stored(ADA, topics.ALARM) == [0]


def test_a_conflict_that_cannot_be_read_refuses_nothing_of_what_is_durable() -> None:
    hub, kept = Hub(ADA), ADA.seal(alarm(1))
    hub.settled(ADA, kept, lane=topics.ALARM)
    hub.receipts.clear()
    clone = Sender("Ada")
    object.__setattr__(clone, "lk", b"another link key".ljust(32))
    assert hub.settled(ADA, clone.seal(alarm(2)), lane=topics.ALARM) == 0x99
    assert hub.counts == {"conflict": 1} and len(hub.table.conflicts) == 1
    assert [(r.ranges, r.refused) for _, r in hub.receipts] == [(((0, 0),), ((0, CONFLICT),))]
    assert hub.receipts[0][1].digest == delivery.digest([message.message_hash(kept)])


def test_a_clone_fills_no_disk_with_conflicts() -> None:
    hub = Hub(ADA)
    hub.settled(ADA, ADA.seal(reading()))
    for number in range(1, CONFLICT_KEPT_MAX + 30):
        assert hub.settled(ADA, ADA.seal(reading(number))) == 0x99
    assert hub.counts == {"conflict": CONFLICT_KEPT_MAX + 29} and len(hub.table.conflicts) == CONFLICT_KEPT_MAX


# -- bounds --------------------------------------------------------------------------------------------------------------


def test_reading_stops_long_before_the_queue_is_full_and_begins_again_when_it_is_short() -> None:
    hub = Hub(ADA, burst=1e9)
    seqs = iter(range(1 << 20))
    for _ in range(HOLD_FROM - 1):
        hub.send(ADA, ADA.seal(reading(), next(seqs)))
    assert hub.held == [] and HOLD_UNTIL < HOLD_FROM < QUEUE_MAX
    hub.send(ADA, ADA.seal(reading(), next(seqs)))
    hub.send(ADA, ADA.seal(reading(), next(seqs)))
    assert hub.held == [True, True], "asked again, because a pause ends by itself"
    hub.pass_ms()
    assert hub.held == [True, True, False] and hub.counts == {} and hub.intake.waiting == 0
    hub.send(ADA, ADA.seal(reading(), next(seqs)))
    hub.pass_ms()
    assert hub.held == [True, True, False]


def test_a_full_queue_says_keep_it_and_still_takes_alarms_and_what_is_known() -> None:
    hub, known = Hub(ADA, BO, burst=1e9), ADA.seal(reading(), 1 << 20)
    hub.settled(ADA, known)
    waiting = [hub.send(ADA, ADA.seal(reading(), seq)) for seq in range(QUEUE_MAX)]
    assert hub.send(BO, BO.seal(reading())) == [0x97] and hub.counts == {"queue_full": 1}
    assert hub.send(ADA, known) == []
    pressed = hub.send(BO, BO.seal(alarm()), lane=topics.ALARM)
    hub.pass_ms(COMMIT_MS)
    assert pressed == [0]
    hub.pass_ms(1_000)
    assert waiting == [[0]] * QUEUE_MAX and hub.settled(BO, BO.seal(reading())) == 0


def test_other_sockets_have_their_turn_while_many_messages_wait() -> None:
    hub = Hub(ADA, burst=1e9)
    for seq in range(3 * intake.TURN_MESSAGES):
        hub.send(ADA, ADA.seal(reading(), seq))
    turns: list[int] = []
    hub.loop.call_soon(lambda: turns.append(hub.intake.waiting))
    hub.pass_ms(0)
    assert turns == [2 * intake.TURN_MESSAGES]


# -- coalescing ----------------------------------------------------------------------------------------------------------


def pressed(hub: Hub, sender: Sender, numbers: range, *, kind: str = "button") -> list[int]:
    """The answers to one alarm for each number, all at once."""
    answers = [hub.send(sender, sender.seal(alarm(n, kind=kind), n), lane=topics.ALARM) for n in numbers]
    hub.pass_ms()
    return [answer for (answer,) in answers]


def test_alarms_beyond_the_bucket_are_coalesced_with_a_count_and_the_first_is_never_dropped() -> None:
    hub = Hub(ADA, BO)
    assert pressed(hub, ADA, range(10)) == [0] * 10
    assert pressed(hub, ADA, range(10, 40)) == [0x97] * 30
    assert pressed(hub, ADA, range(40, 43), kind="fall") == [0, 0x97, 0x97]
    assert hub.counts == {"alarm_coalesced": 32}
    assert hub.ward.repeats == {(ADA.device, "button"): 30, (ADA.device, "fall"): 2}
    assert pressed(hub, BO, range(10)) == [0] * 10, "no device shares a bucket with another"
    assert len(hub.ward.seen) == 21 and hub.stored(ADA, topics.ALARM) == [*range(10), 40]
    refused = {seq: code for _, receipt in hub.receipts for seq, code in receipt.refused}
    assert refused == dict.fromkeys([*range(10, 40), 41, 42], "alarm_coalesced")


def test_a_kind_that_was_not_heard_for_a_minute_is_never_coalesced() -> None:
    hub = Hub(ADA)
    pressed(hub, ADA, range(1))
    hub.member(ADA).alarms = Bucket(rate_per_s=0, burst=0)
    hub.pass_ms(COALESCE_MS)
    assert pressed(hub, ADA, range(1, 3)) == [0, 0x97]


def test_an_alarm_of_a_known_id_under_a_new_position_is_coalesced_whatever_its_kind() -> None:
    hub = Hub(ADA)
    pressed(hub, ADA, range(1))
    hub.member(ADA).alarms = Bucket(rate_per_s=0, burst=0)
    hub.pass_ms(10 * COALESCE_MS)
    again = ADA.seal(alarm(0, kind="tamper"), 77)
    assert hub.settled(ADA, again, lane=topics.ALARM) == 0x97


def test_a_flood_of_forged_or_over_quota_messages_starves_no_alarm() -> None:
    hub = Hub(ADA, BO, burst=5)
    for seq in range(200):
        hub.send(ADA, forged(ADA.seal(alarm(seq), seq)), lane=topics.ALARM)
        hub.send(ADA, ADA.seal(reading(), seq))
    assert hub.settled(ADA, ADA.seal(alarm(999), 999), lane=topics.ALARM) == 0
    assert hub.settled(BO, BO.seal(alarm(999), 999), lane=topics.ALARM) == 0


@pytest.mark.parametrize(("simulated", "demo", "count"), [(False, False, 3), (True, False, None), (True, True, 3)])
def test_an_alert_says_how_many_alarms_were_coalesced_into_it(simulated: bool, demo: bool, count: int | None) -> None:
    hub = Hub(ADA)
    policy = Policy(first=(), second=(), second_after_s=60, ends_after_s=60)
    ward = Ward(book=Book(policy), settings=DetectSettings(), demo=demo)
    batch, member = Batch(), hub.member(ADA)
    call = content.Alarm(
        id=bytes(16), kind="fall", at_ms=NOW_MS, clock=alarm().clock, simulated=simulated, detail={"g": 3}
    )
    ward.look(member, call, received_ms=NOW_MS, source=(0, 1, 0), batch=batch)
    for _ in range(2):
        ward.repeated(member, call)
    ward.tick([], now_ms=NOW_MS + 500, batch=batch)
    ward.repeated(member, call)
    ward.tick([], now_ms=NOW_MS + 1_000, batch=batch)
    ward.tick([], now_ms=NOW_MS + 1_500, batch=batch)
    found = ward.book.open()
    assert [alert.detail.get("coalesced") for alert in found] == ([count] if count else [])
    assert len(batch.changes) == (3 if count else 0)
    assert all(not changes.notices and not changes.history for changes in batch.changes[1:])
    assert [alert.detail.get("g") for alert in found] == ([3] if count else [])


def test_a_simulated_alarm_is_not_counted_in_a_real_alert() -> None:
    hub = Hub(ADA)
    ward = Ward(
        book=Book(Policy(first=(), second=(), second_after_s=60, ends_after_s=60)),
        settings=DetectSettings(),
        demo=False,
    )
    batch, member, real = Batch(), hub.member(ADA), alarm()
    ward.look(member, real, received_ms=NOW_MS, source=(0, 1, 0), batch=batch)
    ward.repeated(member, replace(real, simulated=True))
    ward.tick([], now_ms=NOW_MS + 500, batch=batch)
    assert [alert.detail for alert in ward.book.open()] == [{}]


# -- the pool ------------------------------------------------------------------------------------------------------------

KINDS = ("good", "forged", "again", "conflict")


def played(kinds: list[str], hub: Hub, pool: SlowPool | None, order: list[int]) -> list[tuple[object, ...]]:
    """What became of messages of these kinds that came at once. order: in which the pool's jobs end."""
    answers = []
    for number, kind in enumerate(kinds):
        seq = number if kind in ("good", "forged") else max(0, number - 3)
        raw = ADA.seal(reading(number if kind == "conflict" else seq), seq)
        answers.append(hub.send(ADA, forged(raw) if kind == "forged" else raw))
    for turn in range(50):
        hub.loop.run_until(hub.loop.now_ms)
        if pool is None or not pool.waiting:
            break
        pool.finish(order[turn % len(order)] % len(pool.waiting))
    hub.pass_ms(500)
    return [tuple(answers), tuple(hub.table.rows), tuple(hub.table.conflicts), tuple(hub.counts.items())]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(("good", "good", "good", *KINDS)), min_size=100, max_size=300),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
def test_a_pool_gives_the_same_verdicts_in_the_same_order_as_inline_verification(
    kinds: list[str], order: list[int]
) -> None:
    pool = SlowPool()
    inline = played(kinds, Hub(ADA, burst=1e9), None, [0])
    pooled = played(kinds, Hub(ADA, burst=1e9, pool=pool), pool, order)
    assert pooled == inline


def test_a_pool_is_used_when_many_wait_and_not_for_a_few() -> None:
    pool = SlowPool()
    hub = Hub(ADA, burst=1e9, pool=pool)
    assert hub.settled(ADA, ADA.seal(reading())) == 0 and pool.waiting == []
    answers = [hub.send(ADA, ADA.seal(reading(), seq)) for seq in range(1, 101)]
    hub.pass_ms(0)
    assert len(pool.waiting) == 2 and hub.intake.waiting == 100
    pool.finish(1)
    hub.pass_ms()
    assert answers == [[]] * 100, "the first job decides first"
    pool.finish(0)
    hub.pass_ms()
    assert answers == [[0]] * 100
