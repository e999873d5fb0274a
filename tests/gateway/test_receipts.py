"""What devices are told after a commit: what it covers, cut to size, and nothing that it does not cover."""

import hashlib
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission import Bucket, Member
from gateway.receipts import CONFLICT, Receipts
from protocol import delivery, topics
from protocol.content import RANGES_MAX
from protocol.delivery import REFUSED_MAX, SIZE_MAX, Receipt
from tests.support.hub import GATEWAY
from tests.support.sealed import LINK_ID, NOW_MS, Sender

ADA, BO = Sender("Ada"), Sender("Bo")
BOOT = 4


def member(sender: Sender, *, floor: int = BOOT) -> Member:
    """What the gateway knows of a device."""
    return Member(
        row=1,
        device=sender.device,
        key=sender.key.public,
        kid=sender.key.public.kid,
        state="active",
        link_id=LINK_ID,
        lk=sender.lk,
        data=Bucket(rate_per_s=1, burst=1),
        alarms=Bucket(rate_per_s=1, burst=1),
        floor=floor,
    )


def hashed(seq: int) -> bytes:
    """The hash of the message at a position."""
    return hashlib.sha256(b"message %d" % seq).digest()


def told(receipts: Receipts) -> Iterator[tuple[str, Receipt]]:
    """(device, receipt) of each that is signed, read as the device reads it."""
    for whose, topic, raw in receipts.signed(GATEWAY, now_ms=NOW_MS):
        assert topic == topics.down_receipt(whose.device) and len(raw) <= SIZE_MAX
        yield whose.device, delivery.read(raw, topic, GATEWAY.public)


def test_a_receipt_says_what_is_durable_and_digests_it_in_the_order_of_positions() -> None:
    receipts, ada = Receipts(), member(ADA, floor=9)
    assert not receipts
    for seq in (7, 3, 4):
        receipts.kept(ada, topics.DATA, BOOT, seq, hashed(seq))
    assert receipts
    ((device, receipt),) = told(receipts)
    digest = hashlib.sha256(hashed(3) + hashed(4) + hashed(7)).digest()
    assert device == ADA.device
    assert receipt == Receipt(
        lane=topics.DATA, boot=BOOT, ranges=((3, 4), (7, 7)), digest=digest, refused=(), floor=9, at_ms=NOW_MS
    )


def test_every_device_lane_and_boot_has_a_receipt_of_its_own() -> None:
    receipts, ada, bo = Receipts(), member(ADA), member(BO)
    places = [(ada, 0, 1), (ada, 1, 1), (ada, 1, 2), (bo, 1, 1)]
    for whose, lane, boot in places:
        receipts.kept(whose, lane, boot, 5, hashed(5))
    assert [(device, r.lane, r.boot) for device, r in told(receipts)] == [(m.device, lane, b) for m, lane, b in places]


def test_a_message_that_came_twice_is_receipted_once() -> None:
    receipts, ada = Receipts(), member(ADA)
    for _ in range(3):
        receipts.kept(ada, topics.DATA, BOOT, 5, hashed(5))
    ((_, receipt),) = told(receipts)
    assert receipt.ranges == ((5, 5),) and receipt.digest == hashlib.sha256(hashed(5)).digest()


def test_the_33rd_range_and_the_65th_refusal_go_into_another_receipt() -> None:
    receipts, ada = Receipts(), member(ADA)
    for n in range(RANGES_MAX + 1):
        receipts.kept(ada, topics.DATA, BOOT, 2 * n, hashed(2 * n))
    for n in range(REFUSED_MAX + 1):
        receipts.refused(ada, topics.DATA, BOOT, 1_000 + n, "inner_not_deterministic")
    first, second = [receipt for _, receipt in told(receipts)]
    assert (len(first.ranges), len(first.refused)) == (RANGES_MAX, REFUSED_MAX)
    assert second.ranges == ((2 * RANGES_MAX, 2 * RANGES_MAX),)
    assert second.refused == ((1_000 + REFUSED_MAX, "inner_not_deterministic"),)
    assert second.digest == hashlib.sha256(hashed(2 * RANGES_MAX)).digest()


def test_a_refusal_alone_covers_nothing() -> None:
    receipts, ada = Receipts(), member(ADA)
    receipts.refused(ada, topics.ALARM, BOOT, 2, "alarm_coalesced")
    ((_, receipt),) = told(receipts)
    assert receipt.ranges == () and receipt.digest == hashlib.sha256().digest()
    assert receipt.refused == ((2, "alarm_coalesced"),)


def test_a_conflict_is_told_beside_the_digest_of_the_message_that_holds_the_position() -> None:
    receipts, ada = Receipts(), member(ADA, floor=8)
    receipts.kept(ada, topics.DATA, BOOT, 1, hashed(1))
    receipts.conflict(ada, topics.DATA, BOOT, 2, hashed(2))
    first, second = [receipt for _, receipt in told(receipts)]
    assert first.ranges == ((1, 1),) and first.refused == ()
    assert second.ranges == ((2, 2),) and second.refused == ((2, CONFLICT),) and second.floor == 8
    assert second.digest == hashlib.sha256(hashed(2)).digest()


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 300)), st.sets(st.integers(301, 500)))
def test_receipts_together_cover_what_was_kept_and_refused_and_nothing_else(kept: set[int], refused: set[int]) -> None:
    receipts, ada = Receipts(), member(ADA)
    for seq in kept:
        receipts.kept(ada, topics.DATA, BOOT, seq, hashed(seq))
    for seq in refused:
        receipts.refused(ada, topics.DATA, BOOT, seq, "tag_bad")
    covered: list[int] = []
    said: list[int] = []
    for _, receipt in told(receipts):
        seqs = [seq for first, last in receipt.ranges for seq in range(first, last + 1)]
        assert receipt.digest == delivery.digest(map(hashed, seqs))
        covered += seqs
        said += [seq for seq, _ in receipt.refused]
    assert covered == sorted(kept) and said == sorted(refused)
