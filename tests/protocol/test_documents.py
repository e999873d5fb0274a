"""Documents: each comes back from its bytes, and nothing else is read."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, documents, keys
from protocol.errors import Malformed
from tests.support import damage

hashes = st.binary(min_size=32, max_size=32)
names = st.text(min_size=1, max_size=documents.NAME_MAX)
counts = st.integers(0, documents.TIME_MAX_MS - 1)
devices = st.binary(min_size=8, max_size=8).map(bytes.hex)

KINDS = [
    st.builds(
        documents.Genesis,
        origin=names,
        epoch=counts,
        log_key=hashes,
        registry_root=hashes,
        prior=st.none() | st.text(max_size=200),
    ),
    st.builds(documents.Admission, role=st.sampled_from(sorted(documents.ROLES)), key=hashes, name=names),
    st.builds(
        documents.Enrolment,
        salt=hashes,
        gateway=hashes,
        device=devices,
        key=hashes,
        link=st.binary(min_size=4, max_size=4),
        at_ms=counts,
    ),
    st.builds(
        documents.Anchor,
        gateway=hashes,
        n=counts,
        prev=hashes,
        root=hashes,
        size=counts,
        from_ms=counts,
        to_ms=counts,
    ),
    st.builds(documents.BatchEntry, topic=st.text(min_size=1, max_size=50), received_ms=counts, digest=hashes),
]
GOOD = [
    documents.Genesis(origin="log.example", epoch=0, log_key=bytes(32), registry_root=bytes(32), prior="note"),
    documents.Admission(role="gateway", key=bytes(32), name="clinic"),
    documents.Enrolment(
        salt=bytes(32), gateway=bytes(32), device="0123456789abcdef", key=bytes(32), link=b"link", at_ms=7
    ),
    documents.Anchor(gateway=bytes(32), n=3, prev=bytes(32), root=bytes(32), size=9, from_ms=1, to_ms=2),
    documents.BatchEntry(topic="vigil/1/0123456789abcdef/up/data", received_ms=7, digest=bytes(32)),
]
IDS = [type(document).__name__ for document in GOOD]


@given(st.one_of(KINDS))
def test_a_document_comes_back_from_its_bytes(document: documents.Anchor) -> None:
    raw = document.encode()
    assert type(document).decode(raw) == document
    assert cbor.encode(cbor.decode(raw, size_max=len(raw))) == raw


@pytest.mark.parametrize("document", GOOD, ids=IDS)
def test_every_cut_is_refused_and_a_flipped_bit_says_something_else(document: documents.Anchor) -> None:
    read, raw = type(document).decode, document.encode()
    assert damage.accepted(read, damage.every_prefix(raw)) == []
    assert damage.read_or_refuse(read, raw + b"\x00") is None
    for flipped in damage.every_bit_flip(raw):
        found = damage.read_or_refuse(read, flipped)
        if found is not None:
            assert isinstance(found, type(document)) and found != document and found.encode() == flipped


@given(st.binary(max_size=60))
def test_any_bytes_are_malformed(data: bytes) -> None:
    for document in GOOD:
        with pytest.raises(Malformed):
            type(document).decode(data)


@pytest.mark.parametrize("document", GOOD, ids=IDS)
def test_one_document_is_not_taken_for_another(document: documents.Anchor) -> None:
    for other in GOOD:
        if type(other) is not type(document):
            with pytest.raises(Malformed):
                type(document).decode(other.encode())


values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 1 << 60)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=33)
    | st.just([])
)


@given(values)
def test_any_value_in_any_place_is_refused_or_comes_back(value: object) -> None:
    for document in GOOD[:4]:
        body = cbor.decode(document.encode(), size_max=4096)
        assert isinstance(body, dict)
        for name in body:
            raw = cbor.encode(body | {name: value})
            found = damage.read_or_refuse(type(document).decode, raw)
            assert found is None or found.encode() == raw


@pytest.mark.parametrize("document", GOOD[:4], ids=IDS[:4])
def test_no_part_may_be_missing_or_added(document: documents.Anchor) -> None:
    body = cbor.decode(document.encode(), size_max=4096)
    assert isinstance(body, dict)
    for name in body:
        with pytest.raises(Malformed):
            type(document).decode(cbor.encode({key: value for key, value in body.items() if key != name}))
    for change in ({"more": 1}, {"v": 2}, {"v": True}, {"v": 1.0}):
        with pytest.raises(Malformed):
            type(document).decode(cbor.encode(body | change))


@pytest.mark.parametrize(
    "change",
    [
        {"device": "0123456789ABCDEF"},
        {"device": "0123456789abcde"},
        {"device": "0123456789abcdef\n"},
        {"link": b"links"},
        {"at_ms": documents.TIME_MAX_MS},
        {"at_ms": -1},
        {"salt": bytes(31)},
    ],
)
def test_another_enrolment_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        documents.Enrolment.decode(dataclasses.replace(GOOD[2], **change).encode())


@pytest.mark.parametrize("change", [{"role": "doctor"}, {"role": ""}, {"name": ""}, {"name": "x" * 129}, {"key": b""}])
def test_another_admission_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        documents.Admission.decode(dataclasses.replace(GOOD[1], **change).encode())


@pytest.mark.parametrize(
    "parts", [[], [1, "t", 7], [2, "t", 7, bytes(32)], [True, "t", 7, bytes(32)], [1.0, "t", 7, bytes(32)], {1: 2}]
)
def test_another_batch_entry_is_malformed(parts: object) -> None:
    with pytest.raises(Malformed):
        documents.BatchEntry.decode(cbor.encode(parts))


def test_a_batch_entry_is_what_the_wire_says() -> None:
    assert GOOD[4].encode() == cbor.encode([1, "vigil/1/0123456789abcdef/up/data", 7, bytes(32)])
    with pytest.raises(Malformed, match="cbor_size"):
        documents.BatchEntry.decode(bytes(documents.ENTRY_SIZE_MAX + 1))


def test_size_is_bounded() -> None:
    room = documents.SIZE_MAX - len(dataclasses.replace(GOOD[0], prior="x" * 7000).encode()) + 7000
    largest = dataclasses.replace(GOOD[0], prior="x" * room)
    assert len(largest.encode()) == documents.SIZE_MAX and documents.Genesis.decode(largest.encode()) == largest
    with pytest.raises(Malformed, match="cbor_size"):
        documents.Genesis.decode(dataclasses.replace(GOOD[0], prior="x" * (room + 1)).encode())


def test_subjects_name_a_key_and_no_device() -> None:
    thumbprint = keys.SigningKey.from_seed(bytes(32)).public.thumbprint
    made = [documents.anchor_subject, documents.enrolment_subject, documents.registry_subject]
    found = [subject(thumbprint) for subject in made]
    assert len(set(found)) == 3 and all(subject.endswith(thumbprint.hex()) for subject in found)
