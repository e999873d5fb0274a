"""Receipts to devices: what was sent is read, by the pinned key, on the right topic, and by nothing else."""

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, content, cose, delivery, keys, topics
from protocol.errors import BadSignature, Malformed
from tests.support import contents, damage

KEY = keys.SigningKey.from_seed(bytes([3]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
TOPIC = topics.down_receipt("0123456789abcdef")
RECEIPT = delivery.Receipt(
    lane=1,
    boot=2,
    ranges=((0, 4), (6, 6)),
    digest=delivery.digest([bytes(32)] * 6),
    refused=((5, "signature_bad"),),
    floor=2,
    at_ms=1_700_000_000_000,
)
BODY = {
    "lane": 1,
    "boot": 2,
    "ranges": [[0, 4], [6, 6]],
    "digest": RECEIPT.digest,
    "refused": [[5, "signature_bad"]],
    "floor": 2,
    "at": 1_700_000_000_000,
}
HEAD: dict[int, object] = {1: -8, 3: delivery.CONTENT_TYPE, 4: KEY.public.kid}

receipts = st.builds(
    delivery.Receipt,
    lane=st.sampled_from([0, 1, 2]),
    boot=st.integers(0, (1 << 32) - 1),
    ranges=contents.ranges() | st.just(()),
    digest=st.binary(min_size=32, max_size=32),
    refused=st.lists(st.tuples(st.integers(0, (1 << 48) - 1), st.text(max_size=20)), max_size=4).map(tuple),
    floor=st.integers(0, (1 << 32) - 1),
    at_ms=st.integers(0, 1 << 53),
)


def read(raw: bytes) -> delivery.Receipt:
    return delivery.read(raw, TOPIC, KEY.public)


def signed(body: object, head: dict[int, object] = HEAD, **more: dict[int, object]) -> bytes:
    return cose.sign1(KEY, protected=head, payload=cbor.encode(body), aad=TOPIC.encode(), **more)


@given(receipts)
def test_a_receipt_comes_back(receipt: delivery.Receipt) -> None:
    assert read(delivery.sign(KEY, TOPIC, receipt)) == receipt


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    raw = delivery.sign(KEY, TOPIC, RECEIPT)
    assert raw == signed(BODY)
    assert damage.accepted(read, damage.every_prefix(raw)) == []
    assert damage.accepted(read, damage.every_bit_flip(raw)) == []
    assert damage.read_or_refuse(read, raw + b"\x00") is None


@given(st.binary(max_size=80))
def test_any_bytes_and_any_signed_bytes_are_refused(data: bytes) -> None:
    assert damage.read_or_refuse(read, data) is None
    assert damage.read_or_refuse(read, cose.sign1(KEY, protected=HEAD, payload=data, aad=TOPIC.encode())) is None


def test_another_key_or_topic_is_refused() -> None:
    for raw in (
        delivery.sign(OTHER, TOPIC, RECEIPT),
        delivery.sign(KEY, topics.down_receipt("f" * 16), RECEIPT),
        delivery.sign(KEY, topics.down_command("0123456789abcdef"), RECEIPT),
    ):
        with pytest.raises(BadSignature):
            read(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"lane": 3},
        {"lane": True},
        {"lane": -1},
        {"boot": 1 << 32},
        {"boot": 0.5},
        {"floor": 1 << 32},
        {"floor": None},
        {"at": -1},
        {"at": (1 << 53) + 1},
        {"digest": bytes(31)},
        {"digest": "x" * 32},
        {"ranges": None},
        {"ranges": [[4, 0]]},
        {"ranges": [[0, 1], [2, 3]]},
        {"ranges": [[number * 2, number * 2] for number in range(content.RANGES_MAX + 1)]},
        {"refused": None},
        {"refused": [[1]]},
        {"refused": [{0: 1, 1: "code"}]},
        {"refused": [[1, 2]]},
        {"refused": [["1", "code"]]},
        {"refused": [[1 << 48, "code"]]},
        {"refused": [[1, "x" * (delivery.CODE_MAX + 1)]]},
        {"refused": [[number, "code"] for number in range(delivery.REFUSED_MAX + 1)]},
        {"more": 1},
    ],
)
def test_another_receipt_is_malformed_even_when_signed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read(signed(BODY | change))


@pytest.mark.parametrize("name", sorted(BODY))
def test_no_part_may_be_missing(name: str) -> None:
    with pytest.raises(Malformed):
        read(signed({key: value for key, value in BODY.items() if key != name}))


def test_it_is_signed_under_the_name_of_its_key() -> None:
    for kid in (OTHER.public.kid, KEY.public.thumbprint, b"", "text", 7):
        with pytest.raises(BadSignature, match="kid_mismatch"):
            read(signed(BODY, HEAD | {4: kid}))


def test_another_header_is_malformed() -> None:
    for head in (HEAD | {3: "application/vigil-command+cbor"}, HEAD | {9: 1}, {1: -8, 4: b"kid"}):
        with pytest.raises(Malformed):
            read(signed(BODY, head))
    with pytest.raises(Malformed):
        read(signed(BODY, unprotected={9: 1}))
    with pytest.raises(BadSignature):
        read(cose.sign1(KEY, protected=HEAD, payload=cbor.encode(BODY), aad=TOPIC.encode(), detached=True))


def test_a_receipt_that_is_too_large_is_not_signed() -> None:
    ranges = tuple((number * 2, number * 2) for number in range(content.RANGES_MAX + 1))
    refused = tuple((number, "code") for number in range(delivery.REFUSED_MAX + 1))
    for receipt in (dataclasses.replace(RECEIPT, ranges=ranges), dataclasses.replace(RECEIPT, refused=refused)):
        with pytest.raises(AssertionError):
            delivery.sign(KEY, TOPIC, receipt)


def test_the_largest_receipt_is_within_its_bound() -> None:
    top = (1 << 48) - 1
    ranges = tuple((top - 2 * number, top - 2 * number) for number in reversed(range(content.RANGES_MAX)))
    refused = tuple((top - number, "x" * delivery.CODE_MAX) for number in range(delivery.REFUSED_MAX))
    largest = dataclasses.replace(RECEIPT, ranges=ranges, refused=refused, boot=(1 << 32) - 1, floor=(1 << 32) - 1)
    raw = delivery.sign(KEY, TOPIC, largest)
    assert len(raw) <= delivery.SIZE_MAX and read(raw) == largest
    with pytest.raises(Malformed, match="cbor_size"):
        read(bytes((raw[0],)) + bytes(delivery.SIZE_MAX))


def test_the_digest_is_over_the_hashes_in_order() -> None:
    hashes = [bytes([number]) * 32 for number in range(3)]
    assert delivery.digest(hashes) == hashlib.sha256(b"".join(hashes)).digest()
    assert delivery.digest(reversed(hashes)) != delivery.digest(hashes)
    assert delivery.digest([]) == hashlib.sha256(b"").digest()
