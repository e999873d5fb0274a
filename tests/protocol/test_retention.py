"""Redactions, minimum indexes and signed snapshots: each comes back, and nothing damaged is read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, cose, retention
from protocol.errors import BadSignature, Malformed
from protocol.keys import SigningKey
from protocol.retention import NUMBER_MAX, REASONS, Redaction, Retention, Snapshot
from tests.support import damage

LOG = SigningKey.from_seed(bytes([1]) * 32)
OTHER = SigningKey.from_seed(bytes([2]) * 32)
KEYS = {LOG.public.thumbprint: LOG.public}
HASH = st.binary(min_size=32, max_size=32)
NUMBER = st.integers(0, NUMBER_MAX - 1)
REDACTED = Redaction(epoch=2, index=7, reason="court-order", snapshot=bytes(32))
RETAINED = Retention(minimum=300, keep_days=90, snapshot=bytes(32))
SNAPSHOT = Snapshot(
    origin="log.example/1",
    epoch=1,
    size=9,
    root=bytes([1]) * 32,
    chain=bytes([2]) * 32,
    at_ms=5,
    state=bytes([3]) * 32,
)


def verified(raw: bytes) -> Snapshot:
    return Snapshot.verified(raw, KEYS)


@given(NUMBER, NUMBER, st.sampled_from(sorted(REASONS)), HASH)
def test_a_redaction_comes_back(epoch: int, index: int, reason: str, snapshot: bytes) -> None:
    document = Redaction(epoch=epoch, index=index, reason=reason, snapshot=snapshot)
    assert Redaction.decode(document.encode()) == document


@given(NUMBER, st.none() | st.integers(1, retention.DAYS_MAX), HASH)
def test_a_minimum_index_comes_back(minimum: int, keep_days: int | None, snapshot: bytes) -> None:
    document = Retention(minimum=minimum, keep_days=keep_days, snapshot=snapshot)
    assert Retention.decode(document.encode()) == document


@given(st.text(min_size=1, max_size=retention.ORIGIN_MAX), NUMBER, NUMBER, HASH, HASH, HASH)
def test_a_snapshot_comes_back(origin: str, size: int, at_ms: int, root: bytes, chain: bytes, state: bytes) -> None:
    found = Snapshot(origin=origin, epoch=1, size=size, root=root, chain=chain, at_ms=at_ms, state=state)
    raw = found.sign(LOG)
    assert verified(raw) == found and len(raw) <= retention.SIZE_MAX


@pytest.mark.parametrize("document", [REDACTED, RETAINED], ids=["redaction", "retention"])
def test_every_cut_of_a_document_is_refused_and_no_other_bytes_are_the_same_document(
    document: Redaction | Retention,
) -> None:
    read, raw = type(document).decode, document.encode()
    assert damage.accepted(read, damage.every_prefix(raw)) == []
    for flipped in damage.every_bit_flip(raw):
        assert damage.read_or_refuse(read, flipped) != document


def test_every_cut_and_every_flipped_bit_of_a_snapshot_is_refused() -> None:
    raw = SNAPSHOT.sign(LOG)
    assert damage.accepted(verified, damage.every_prefix(raw)) == []
    assert damage.accepted(verified, damage.every_bit_flip(raw)) == []


@given(st.binary(max_size=120))
def test_arbitrary_bytes_only_fail(data: bytes) -> None:
    signed = cose.sign1(LOG, protected={1: -8, 3: retention.SNAPSHOT, 4: LOG.public.thumbprint}, payload=data)
    for raw in (data, signed):
        assert damage.read_or_refuse(verified, raw) is None
    assert damage.read_or_refuse(Redaction.decode, data) is None
    assert damage.read_or_refuse(Retention.decode, data) is None


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (Redaction.decode, replace(REDACTED, reason="because").encode()),
        (Redaction.decode, replace(REDACTED, index=-1).encode()),
        (Redaction.decode, replace(REDACTED, snapshot=bytes(31)).encode()),
        (Retention.decode, replace(RETAINED, keep_days=0).encode()),
        (Retention.decode, replace(RETAINED, keep_days=retention.DAYS_MAX + 1).encode()),
        (Retention.decode, cbor.encode({"v": 2, "minimum": 1, "keep_days": None, "snapshot": bytes(32)})),
    ],
)
def test_what_no_document_says_is_refused(read: object, raw: bytes) -> None:
    assert callable(read)
    with pytest.raises(Malformed) as refused:
        read(raw)
    assert refused.value.code == "document_bad"


def test_a_snapshot_by_another_key_is_refused() -> None:
    with pytest.raises(BadSignature) as refused:
        verified(SNAPSHOT.sign(OTHER))
    assert refused.value.code == "snapshot_key_unknown"
    with pytest.raises(BadSignature):
        Snapshot.verified(SNAPSHOT.sign(LOG), {LOG.public.thumbprint: OTHER.public})


def test_a_statement_of_another_type_is_no_snapshot() -> None:
    payload = cose.parse_sign1(SNAPSHOT.sign(LOG), size_max=1024).payload or b""
    for protected in ({1: -8, 3: "text/plain", 4: LOG.public.thumbprint}, {1: -8, 4: LOG.public.thumbprint}):
        with pytest.raises(Malformed):
            verified(cose.sign1(LOG, protected=protected, payload=payload))
