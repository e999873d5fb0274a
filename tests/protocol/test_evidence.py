"""The evidence bundle: what verifies, and that each numbered check can fail."""

import dataclasses
import json

import pytest

from protocol import cbor, documents, evidence, keys, merkle, notes
from protocol.errors import Malformed, Unavailable
from tests.support import chain

WRONG_KEY = keys.SigningKey.from_seed(bytes([9]) * 32)


def failed(bundle: evidence.Bundle | bytes, trust: evidence.Trust | None = None) -> int:
    """The number of the check that fails."""
    data = bundle if isinstance(bundle, bytes) else bundle.encode()
    with pytest.raises(evidence.EvidenceError) as caught:
        evidence.verify(data, trust or chain.trust())
    assert str(caught.value.check) in caught.value.detail
    return caught.value.check


@pytest.mark.parametrize("disclosed", [True, False])
@pytest.mark.parametrize("messages", [1, 2, 5, 8])
def test_a_whole_chain_verifies(disclosed: bool, messages: int) -> None:
    bundle = chain.bundle(disclosed=disclosed, messages=messages, chosen=messages - 1)
    verdict = evidence.verify(bundle.encode(), chain.trust())
    assert verdict.topic == chain.TOPIC
    assert verdict.received_ms == chain.NOW_MS + messages - 1
    assert (verdict.opened == chain.readings()) is disclosed
    described = evidence.describe(verdict)
    assert json.loads(json.dumps(described))["tree_size"] == 6
    assert ("readings" in described) is disclosed


def test_a_bundle_comes_back_from_its_bytes() -> None:
    for disclosed in (True, False):
        bundle = chain.bundle(disclosed=disclosed)
        assert evidence.Bundle.decode(bundle.encode()) == bundle


def test_any_changed_byte_fails() -> None:
    data = chain.bundle().encode()
    trust = chain.trust()
    for place in range(len(data)):
        for change in (0x01, 0x80):
            damaged = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            with pytest.raises(evidence.EvidenceError):
                evidence.verify(damaged, trust)


def test_no_prefix_and_nothing_added_verifies() -> None:
    data = chain.bundle().encode()
    for end in range(0, len(data), 7):
        assert failed(data[:end]) == 1
    assert failed(data + b"\x00") == 1
    assert failed(bytes(evidence.SIZE_MAX + 1)) == 1


def test_a_checkpoint_of_an_unknown_log_fails_the_second_check() -> None:
    bundle = chain.bundle()
    other = dataclasses.replace(
        chain.trust(),
        policy=dataclasses.replace(
            chain.trust().policy,
            logs={chain.ORIGIN: notes.NoteKey(name=chain.ORIGIN, kind=notes.SIGNATURE, key=WRONG_KEY.public)},
        ),
    )
    assert failed(bundle, other) == 2
    text = bundle.checkpoint + notes.sign("x\n", name="stranger", key=WRONG_KEY).text()
    assert failed(dataclasses.replace(bundle, checkpoint=text)) == 2


def test_a_gateway_that_the_root_did_not_admit_fails_the_third_check() -> None:
    bundle = chain.bundle()
    own = chain.admission(signer=WRONG_KEY)
    assert failed(dataclasses.replace(bundle, registry=dataclasses.replace(bundle.registry, statement=own))) == 3
    assert failed(bundle, dataclasses.replace(chain.trust(), registry_root=WRONG_KEY.public)) == 3


def test_an_anchor_that_the_log_does_not_hold_fails_the_fourth_check() -> None:
    bundle = chain.bundle()
    moved = dataclasses.replace(bundle.anchor, index=bundle.anchor.index + 1)
    assert failed(dataclasses.replace(bundle, anchor=moved)) == 4
    early = dataclasses.replace(bundle.anchor, index=bundle.registry.index)
    assert failed(dataclasses.replace(bundle, anchor=early)) == 4
    assert failed(dataclasses.replace(bundle, anchor=bundle.enrolment)) == 4


def test_another_document_than_the_signed_one_fails_the_fifth_check() -> None:
    bundle = chain.bundle()
    anchor = documents.Anchor.decode(bundle.anchor_document)
    changed = dataclasses.replace(anchor, to_ms=anchor.to_ms + 1).encode()
    assert failed(dataclasses.replace(bundle, anchor_document=changed)) == 5


def test_a_message_outside_the_batch_fails_the_sixth_check() -> None:
    bundle = chain.bundle()
    assert failed(dataclasses.replace(bundle, index=1)) == 6
    entry = documents.BatchEntry.decode(bundle.entry)
    changed = dataclasses.replace(entry, received_ms=entry.received_ms + 1).encode()
    assert failed(dataclasses.replace(bundle, entry=changed)) == 6
    assert failed(dataclasses.replace(bundle, path=(*bundle.path, bytes(32)))) == 6
    other = f"vigil/1/{'0' * 16}/up/data"
    assert failed(dataclasses.replace(bundle, topic=other)) == 6


def test_another_enrolment_fails_the_seventh_check() -> None:
    bundle = chain.bundle()
    other = chain.enrolment_document(WRONG_KEY)
    assert failed(dataclasses.replace(bundle, enrolment_document=other)) == 7
    assert failed(dataclasses.replace(bundle, enrolment=bundle.anchor)) == 7


def test_another_message_than_the_anchored_one_fails_the_eighth_check() -> None:
    assert failed(dataclasses.replace(chain.bundle(), message=chain.sealed(seq=4))) == 8


def test_a_wrong_key_does_not_open_the_message_and_fails_the_ninth_check() -> None:
    assert failed(dataclasses.replace(chain.bundle(), cek=bytes(32))) == 9


def test_a_forged_chain_by_a_stranger_with_a_log_of_its_own_fails() -> None:
    bundle = chain.bundle()
    text = notes.Checkpoint(origin=chain.ORIGIN, size=6, root=merkle.leaf_hash(b"mine")).text()
    note = notes.Note(text=text, lines=(notes.sign(text, name=chain.ORIGIN, key=WRONG_KEY),)).whole()
    assert failed(dataclasses.replace(bundle, checkpoint=note)) == 2


def test_trust_comes_back_from_its_file() -> None:
    trust = chain.trust()
    assert evidence.Trust.from_json(trust.to_json()) == trust


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"v": 1}',
        b'{"v": 1, "policy": "x", "registry_root": "00"}',
        b'{"v": 1, "policy": 3}',
    ],
)
def test_a_trust_file_that_says_nothing_checks_nothing(data: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        evidence.Trust.from_json(data)
    assert caught.value.code == "trust_bad"


def test_a_bundle_of_other_shapes_is_malformed() -> None:
    body = cbor.decode(chain.bundle().encode(), size_max=evidence.SIZE_MAX)
    assert isinstance(body, dict)
    for name in body:
        for other in (None, 7, b"x", "x", [], [b"x"], {}):
            if name == "cek" and other is None:
                continue
            if isinstance(other, type(body[name])) and not isinstance(other, list | bool) and name not in ("v", "cek"):
                continue  # a text for a text: its meaning is another check's
            with pytest.raises(Malformed):
                evidence.Bundle.decode(cbor.encode({**body, name: other}))
