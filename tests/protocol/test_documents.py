"""Documents behind statements: each comes back from its one encoding, and nothing else is read."""

import dataclasses
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, declarations, documents, merkle, statement
from protocol.documents.policy import REGISTRANTS, RULES_MAX
from protocol.errors import BadSignature, Malformed, VigilError
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey
from tests.support import damage

keys = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, documents.TIME_MAX_MS - 1)
texts = st.text(min_size=1, max_size=documents.NAME_MAX)
devices = st.text("0123456789abcdef", min_size=16, max_size=16)


P256 = P256SigningKey(bytes([7]) * 32).public


class Document(Protocol):
    """What every document can do."""

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> "Document": ...


every_document: st.SearchStrategy[Document] = st.one_of(
    st.builds(
        documents.Genesis,
        origin=texts,
        epoch=numbers,
        log_key=keys,
        registry_root=keys,
        prior=st.none() | st.text(max_size=200),
        state=st.none() | keys,
    ),
    st.builds(
        documents.LogKey,
        log=texts,
        key=st.sampled_from([P256, SigningKey.from_seed(bytes(32)).public]),
        until_ms=st.none() | numbers,
        proof=st.binary(min_size=64, max_size=64),
    ),
    st.builds(
        documents.PartyKey,
        log=texts,
        party=keys,
        key=keys,
        until_ms=numbers,
        proof=st.binary(min_size=64, max_size=64),
    ),
    st.builds(documents.Revocation, log=texts, party=keys, key=st.none() | keys, epoch=numbers, index=numbers),
    st.builds(
        documents.Policy,
        log=texts,
        n=numbers,
        rules=st.dictionaries(
            texts,
            st.builds(
                documents.Rule,
                roles=st.frozensets(st.sampled_from(sorted(REGISTRANTS))),
                readers=st.sampled_from(sorted(documents.READERS)),
            ),
            max_size=3,
        ),
    ),
    st.builds(documents.Admission, role=st.sampled_from(sorted(documents.ROLES)), key=keys, name=texts),
    st.builds(
        documents.Enrolment,
        salt=keys,
        gateway=keys,
        device=devices,
        key=keys,
        link=st.binary(min_size=4, max_size=4),
        at_ms=numbers,
    ),
    st.builds(
        documents.Anchor,
        gateway=keys,
        n=numbers.filter(bool),
        prev=keys.filter(any),
        root=keys,
        size=numbers.filter(bool),
        from_ms=st.integers(0, 1 << 52),
        to_ms=st.integers(1 << 52, documents.TIME_MAX_MS - 1),
    ),
    st.builds(documents.BatchEntry, topic=texts, received_ms=numbers, digest=keys),
)

GENESIS = documents.Genesis(
    origin="log.example", epoch=2, log_key=bytes(32), registry_root=bytes([1]) * 32, prior="old"
)
ADMISSION = documents.Admission(role="gateway", key=bytes([2]) * 32, name="Clinic")
ENROLMENT = documents.Enrolment(
    salt=bytes([3]) * 32, gateway=bytes([4]) * 32, device="0123456789abcdef", key=bytes([5]) * 32, link=b"link", at_ms=9
)
ANCHOR = documents.Anchor(
    gateway=bytes([6]) * 32, n=7, prev=bytes([9]) * 32, root=bytes([7]) * 32, size=3, from_ms=1000, to_ms=2000
)
ENTRY = documents.BatchEntry(topic="vigil/1/0123456789abcdef/up/data", received_ms=1000, digest=bytes([8]) * 32)
LOG_KEY = documents.LogKey(log="log.example", key=P256, until_ms=5, proof=bytes([1]) * 64)
PARTY_KEY = documents.PartyKey(
    log="log.example", party=bytes([2]) * 32, key=bytes([3]) * 32, until_ms=7, proof=bytes([4]) * 64
)
REVOCATION = documents.Revocation(log="log.example", party=bytes([2]) * 32, key=bytes([3]) * 32, epoch=1, index=9)
POLICY = documents.Policy(
    log="log.example",
    n=3,
    rules={"text/plain": documents.Rule(roles=frozenset({"maker", "carrier"}), readers="issuer")},
)
EXAMPLES: list[Document] = [GENESIS, ADMISSION, ENROLMENT, ANCHOR, LOG_KEY, PARTY_KEY, REVOCATION, POLICY, ENTRY]
MAPS: list[Document] = EXAMPLES[:-1]
CLASSES = [type(document) for document in EXAMPLES]
ALSO_GOOD: dict[tuple[type, str], list[object]] = {
    (documents.LogKey, "until"): [None],
    (documents.Revocation, "key"): [None],
    (documents.Policy, "rules"): [{}],
}
"""Values of other types that a field may have too."""
names = [type(document).__name__ for document in EXAMPLES]


@given(every_document)
def test_a_document_comes_back(document: Document) -> None:
    assert type(document).decode(document.encode()) == document


@pytest.mark.parametrize("document", EXAMPLES, ids=names)
def test_every_cut_is_refused_and_so_is_anything_added(document: Document) -> None:
    data = document.encode()
    assert damage.accepted(type(document).decode, damage.every_prefix(data)) == []
    with pytest.raises(Malformed):
        type(document).decode(data + b"\x00")


@pytest.mark.parametrize("document", EXAMPLES, ids=names)
def test_a_flipped_bit_is_refused_or_says_something_else(document: Document) -> None:
    """Nothing here is signed: the statement's hash or the tree's leaf covers these bytes."""
    for flipped in damage.every_bit_flip(document.encode()):
        try:
            found = type(document).decode(flipped)
        except VigilError:
            continue
        assert found != document and found.encode() == flipped


@given(st.binary(max_size=100))
def test_arbitrary_bytes_only_fail(data: bytes) -> None:
    for kind in CLASSES:
        assert damage.read_or_refuse(kind.decode, data) is None


@given(
    st.dictionaries(st.text(max_size=8) | st.integers(), st.integers() | st.binary(max_size=32) | st.text(), max_size=6)
)
def test_arbitrary_maps_only_fail(body: dict[object, object]) -> None:
    for kind in CLASSES:
        for given_body in (body, {**body, "v": 1}):
            assert damage.read_or_refuse(kind.decode, cbor.encode(given_body)) is None


@pytest.mark.parametrize("document", EXAMPLES, ids=names)
def test_no_document_is_read_as_another(document: Document) -> None:
    for kind in CLASSES:
        if kind is not type(document):
            with pytest.raises(Malformed):
                kind.decode(document.encode())


@pytest.mark.parametrize("document", MAPS, ids=names[:-1])
def test_each_field_is_there_is_the_only_one_and_is_of_its_type(document: Document) -> None:
    body = cbor.decode(document.encode(), size_max=documents.SIZE_MAX)
    assert isinstance(body, dict)
    for name, value in body.items():
        without = {key: item for key, item in body.items() if key != name}
        others: list[object] = [None, True, -1, 1 << 53, 1.5, b"", "", [], {}, "x" * 9000]
        if name == "prior":
            others = [7, b"old", []]
        good = ALSO_GOOD.get((type(document), name), [])
        others = [other for other in others if not any(type(other) is type(one) for one in good)]
        if name == "v":
            others = [0, 2, True, 1.0, "1", None]
        wrong = [
            without,
            body | {"more": 1},
            *[{**body, name: other} for other in others if other != value or name == "v"],
        ]
        for changed in wrong:
            with pytest.raises(Malformed):
                type(document).decode(cbor.encode(changed))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [1, "t", 5],
        [1, "t", 5, bytes(32), 0],
        [2, "t", 5, bytes(32)],
        [True, "t", 5, bytes(32)],
        [1.0, "t", 5, bytes(32)],
        [1, "", 5, bytes(32)],
        [1, b"t", 5, bytes(32)],
        [1, "t", -5, bytes(32)],
        [1, "t", True, bytes(32)],
        [1, "t", 5.5, bytes(32)],
        [1, "t", 1 << 53, bytes(32)],
        [1, "t", 5, bytes(31)],
        [1, "t", 5, "x" * 32],
        {"topic": "t"},
    ],
)
def test_another_batch_entry_is_malformed(parts: object) -> None:
    with pytest.raises(Malformed):
        documents.BatchEntry.decode(cbor.encode(parts))


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"n": 0, "prev": documents.FIRST_PREV}, True),
        ({"n": 0}, False),
        ({"prev": documents.FIRST_PREV}, False),
        ({"size": 0, "root": merkle.EMPTY_ROOT}, True),
        ({"size": 0}, False),
        ({"root": merkle.EMPTY_ROOT}, False),
        ({"from_ms": 2000}, True),
        ({"from_ms": 2001}, False),
    ],
)
def test_an_anchor_agrees_with_itself(change: dict[str, object], allowed: bool) -> None:
    data = dataclasses.replace(ANCHOR, **change).encode()
    assert (damage.read_or_refuse(documents.Anchor.decode, data) is not None) is allowed


@pytest.mark.parametrize("device", ["0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "0123456789abcdef\n"])
def test_a_device_is_named_by_16_hex_digits(device: str) -> None:
    body = cbor.decode(ENROLMENT.encode(), size_max=documents.SIZE_MAX)
    assert isinstance(body, dict)
    with pytest.raises(Malformed):
        documents.Enrolment.decode(cbor.encode(body | {"device": device}))


def test_only_known_roles_are_admitted() -> None:
    body = cbor.decode(ADMISSION.encode(), size_max=documents.SIZE_MAX)
    assert isinstance(body, dict)
    for role in ("device", "Gateway", "gateway ", ""):
        with pytest.raises(Malformed):
            documents.Admission.decode(cbor.encode(body | {"role": role}))


def test_the_encodings_are_fixed() -> None:
    """These bytes are hashed into logs: another release has to make the same."""
    assert ENTRY.encode().hex() == (
        "84017820766967696c2f312f303132333435363738396162636465662f75702f646174611903e85820" + "08" * 32
    )
    assert ADMISSION.encode().hex() == (
        "a4617601636b65795820" + "02" * 32 + "646e616d6566436c696e696364726f6c656767617465776179"
    )
    assert ANCHOR.encode()[:7].hex() == "a8616e07617601"


def test_subjects_tell_gateways_apart_and_nothing_of_a_device() -> None:
    thumbprint = bytes(range(32))
    assert documents.anchor_subject(thumbprint) == "vigil:anchors:" + thumbprint.hex()
    assert documents.enrolment_subject(thumbprint) == "vigil:enrolments:" + thumbprint.hex()
    assert documents.registry_subject(thumbprint) == "vigil:key:" + thumbprint.hex()


@pytest.mark.parametrize(
    "rule",
    [
        [],
        [["maker"]],
        [["maker"], "public", 1],
        ["maker", "public"],
        [["king"], "public"],
        [["maker", "carrier"], "public"],
        [["maker", "maker"], "public"],
        [[7], "public"],
        [["maker"], "everybody"],
        [["maker"], None],
        {"roles": ["maker"]},
    ],
)
def test_a_rule_names_known_roles_once_and_in_order_and_known_readers(rule: object) -> None:
    body = {"v": 1, "log": "log.example", "n": 1, "rules": {"text/plain": rule}}
    with pytest.raises(Malformed):
        documents.Policy.decode(cbor.encode(body))


def test_a_policy_has_a_bounded_number_of_rules_with_names_of_bounded_length() -> None:
    rule = [["maker"], "public"]
    fits = {f"text/{n}": rule for n in range(RULES_MAX)}
    for rules, good in [
        (fits, True),
        ({**fits, "text/more": rule}, False),
        ({"": rule}, False),
        ({"x" * 129: rule}, False),
    ]:
        data = cbor.encode({"v": 1, "log": "log.example", "n": 1, "rules": rules})
        assert (damage.read_or_refuse(documents.Policy.decode, data) is not None) is good


@pytest.mark.parametrize(
    "change",
    [
        {3: -19},
        {3: -35},
        {3: True},
        {2: bytes(32)},
        {1: True},
        {1: 1},
        {-2: bytes(31)},
        {-2: bytes(32)},
        {-3: None},
        {-3: bytes(32)},
        {9: 1},
    ],
)
def test_a_log_key_is_one_of_two_kinds_under_its_own_name(change: dict[int, object]) -> None:
    body = cbor.decode(LOG_KEY.encode(), size_max=documents.SIZE_MAX)
    assert isinstance(body, dict)
    with pytest.raises(Malformed):
        documents.LogKey.decode(cbor.encode({**body, "key": {**P256.cose_key(), **change}}))


def test_a_new_key_proves_itself_over_the_whole_document() -> None:
    first, second = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2))
    said = declarations.party_key(first, second, log="log.example", party=first.public.thumbprint, until_ms=9)
    party = documents.PartyKey.decode(statement.parse(said).payload)
    party.check_proof()
    for change in ({"log": "x"}, {"party": bytes(32)}, {"until_ms": 8}, {"key": first.public.x}, {"proof": bytes(64)}):
        with pytest.raises(BadSignature):
            dataclasses.replace(party, **change).check_proof()
    for key in (second, P256SigningKey(bytes([7]) * 32)):
        said = declarations.log_key(first, key, log="log.example", until_ms=None)
        declared = documents.LogKey.decode(statement.parse(said).payload)
        declared.check_proof()
        changes: list[dict[str, object]] = [{"log": "x"}, {"until_ms": 8}, {"key": first.public}, {"proof": bytes(64)}]
        for change in changes:
            with pytest.raises(BadSignature):
                dataclasses.replace(declared, **change).check_proof()


def test_a_proof_for_a_party_is_none_for_a_log() -> None:
    party = dataclasses.replace(PARTY_KEY, proof=b"").signed_over()
    log = dataclasses.replace(LOG_KEY, proof=b"").signed_over()
    assert party.startswith(b"vigil/1/party-key\0") and log.startswith(b"vigil/1/log-key\0")
