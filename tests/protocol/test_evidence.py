"""The evidence bundle: what verifies, and that each numbered check can fail."""

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, content, documents, evidence, keys, merkle, notes, policy, topics
from protocol.errors import Malformed, Unavailable
from tests.support import chain, damage

WRONG_KEY = keys.SigningKey.from_seed(bytes([9]) * 32)


def failed(bundle: evidence.Bundle | bytes, trust: evidence.Trust | None = None) -> int:
    """The number of the check that fails."""
    return chain.failed(bundle, trust)[0]


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


@pytest.mark.parametrize("disclosed", [True, False])
def test_every_changed_byte_fails(disclosed: bool) -> None:
    data, trust = chain.bundle(disclosed=disclosed).encode(), chain.trust()
    flips = itertools.islice(damage.every_bit_flip(data), 0, None, 9)  # eight of nine bytes, each bit in turn
    assert damage.accepted(lambda raw: evidence.verify(raw, trust), flips) == []


@pytest.mark.slow
@pytest.mark.parametrize("disclosed", [True, False])
def test_every_flipped_bit_fails(disclosed: bool) -> None:
    data, trust = chain.bundle(disclosed=disclosed).encode(), chain.trust()
    assert damage.accepted(lambda raw: evidence.verify(raw, trust), damage.every_bit_flip(data)) == []


def test_every_cut_and_anything_added_fails() -> None:
    data = chain.bundle().encode()
    for cut in damage.every_prefix(data):
        assert failed(cut) == 1
    assert failed(data + b"\x00") == 1
    assert failed(bytes(evidence.SIZE_MAX + 1)) == 1


@pytest.mark.parametrize("mask", range(8))
def test_a_quorum_of_groups_in_groups_is_met_or_the_second_check_fails(mask: int) -> None:
    """Two near ones and one far one: the verifier's own policy decides, whoever else has signed."""
    text = chain.trust().policy_text.split("group ")[0]
    text += "group near all w0 w1\ngroup both 2 near w2\nquorum both\n"
    trust = dataclasses.replace(chain.trust(), policy_text=text, policy=policy.parse(text))
    bundle = chain.bundle(witnesses=tuple(place for place in range(3) if mask >> place & 1))
    if mask == 7:
        assert len(evidence.verify(bundle.encode(), trust).cosigned) == 3
    else:
        assert chain.failed(bundle, trust) == (2, "quorum_missed")


def test_a_checkpoint_of_an_unknown_log_fails_the_second_check() -> None:
    bundle = chain.bundle()
    other = dataclasses.replace(
        chain.trust(),
        policy=dataclasses.replace(
            chain.trust().policy,
            logs={chain.ORIGIN: (notes.NoteKey(name=chain.ORIGIN, kind=notes.SIGNATURE, key=WRONG_KEY.public),)},
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


@pytest.mark.parametrize(
    ("at_ms", "said"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "253402300800000 ms after 1970"),
        (content.TIME_MAX_MS, f"{content.TIME_MAX_MS} ms after 1970"),
    ],
)
def test_a_device_may_say_any_time_and_the_verdict_repeats_it(at_ms: int, said: str) -> None:
    raw = chain.sealed(lane=topics.ALARM, said=chain.calling(at_ms))
    verdict = evidence.verify(chain.bundle(raws=[raw], chosen=0).encode(), chain.trust())
    assert evidence.describe(verdict)["at"] == said


def test_the_verdict_says_as_of_when_it_holds() -> None:
    described = evidence.describe(evidence.verify(chain.bundle(witnesses=(0, 2)).encode(), chain.trust()))
    assert described["cosigned"] == {"w0": "2023-11-14T22:14:20.000Z", "w2": "2023-11-14T22:14:22.000Z"}
    assert described["as_of"] == (
        "tree size 6, no later than 2023-11-14T22:14:22.000Z; what was revoked later is not visible"
    )
    verdict = evidence.verify(chain.bundle(witnesses=()).encode(), chain.trust("none"))
    assert str(evidence.describe(verdict)["as_of"]).startswith("tree size 6, at no witnessed time")


def test_trust_comes_back_from_its_file() -> None:
    trust = chain.trust()
    assert evidence.Trust.from_json(trust.to_json()) == trust


def said(**changed: object) -> bytes:
    trust = chain.trust()
    return json.dumps(
        {"v": 1, "policy": trust.policy_text, "registry_root": trust.registry_root.x.hex()} | changed
    ).encode()


TRUST = {
    "nothing": b"",
    "a list": b"[]",
    "an empty map": b"{}",
    "no text": b"\xff",
    "a version alone": b'{"v": 1}',
    "numbers": b'{"v": 1, "policy": 3, "registry_root": 4}',
    "no policy": said(policy="x\n"),
    "an empty policy": said(policy=""),
    "a policy that is a number": said(policy=3),
    "a policy in lines": said(policy=["quorum none"]),
    "a name too many": said(witnesses=[]),
    "another version": said(v=2),
    "a version that is a truth": said(v=True),
    "a version with a point": said(v=1.0),
    "a version as a text": said(v="1"),
    "no root": said(registry_root=None),
    "a short root": said(registry_root="00"),
    "a long root": said(registry_root="00" * 33),
    "a root in capitals": said(registry_root="AB" * 32),
    "a root with spaces": said(registry_root="ab " * 32),
    "a name twice": said()[:-1] + b', "registry_root": "' + b"00" * 32 + b'"}',
    "another encoding": said().decode().encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf" + said(),
    "two values": said() + said(),
    "deep": b"[" * 100_000,
    "a long number": b'{"v": ' + b"1" * 10_000 + b"}",
    "too long": said() + b" " * evidence.TRUST_SIZE_MAX,
}


@pytest.mark.parametrize("data", TRUST.values(), ids=TRUST.keys())
def test_a_trust_file_of_another_shape_checks_nothing(data: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        evidence.Trust.from_json(data)
    assert caught.value.code == "trust_bad"


def test_a_damaged_trust_file_checks_nothing_or_trusts_somebody_else() -> None:
    data = said()
    trust = evidence.Trust.from_json(data)
    assert damage.accepted(evidence.Trust.from_json, damage.every_prefix(data)) == []
    for damaged in damage.every_bit_flip(data):
        assert damage.read_or_refuse(evidence.Trust.from_json, damaged) != trust, damaged


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_only_fail_as_trust_and_as_evidence(data: bytes) -> None:
    with pytest.raises(Unavailable):
        evidence.Trust.from_json(data)
    assert failed(data) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.sampled_from(sorted(cbor.decode(chain.bundle().encode(), size_max=evidence.SIZE_MAX))))  # type: ignore[type-var]
def test_any_value_in_any_place_of_a_bundle_only_fails(value: object, name: str) -> None:
    body = cbor.decode(chain.bundle().encode(), size_max=evidence.SIZE_MAX)
    assert isinstance(body, dict)
    if value == body[name] or (name == "cek" and value is None):
        return
    failed(cbor.encode({**body, name: value}))


def test_a_bundle_of_other_shapes_is_malformed() -> None:
    body = cbor.decode(chain.bundle().encode(), size_max=evidence.SIZE_MAX)
    assert isinstance(body, dict)
    for version in (0, 2, True, 1.0, "1", None):
        with pytest.raises(Malformed):
            evidence.Bundle.decode(cbor.encode({**body, "v": version}))
    for other in ("x", None, 7):
        with pytest.raises(Malformed):
            evidence.Bundle.decode(cbor.encode({**body, "anchor": [other, *body["anchor"][1:]]}))
    nodes = [bytes(32)] * (evidence.PATH_MAX + 1)
    proof = body["registry"]
    for other in (
        [*proof[:2], nodes],
        [*proof[:2], [bytes(31)]],
        [*proof[:2], ["x" * 32]],
        [proof[0], 1 << 63, proof[2]],
        [proof[0], -1, proof[2]],
        [proof[0], True, proof[2]],
        [proof[0].hex(), *proof[1:]],
        [*proof, 0],
    ):
        for name, value in (("registry", other), ("anchor", [body["anchor"][0], *other]), ("entry", other)):
            with pytest.raises(Malformed):
                evidence.Bundle.decode(cbor.encode({**body, name: value}))
    assert (
        evidence.Bundle.decode(cbor.encode({**body, "registry": [*proof[:2], nodes[:-1]]})).registry.index == proof[1]
    )
    for name in body:
        for other in (None, 7, b"x", "x", [], [b"x"], {}):
            if name == "cek" and other is None:
                continue
            if isinstance(other, type(body[name])) and not isinstance(other, list | bool) and name not in ("v", "cek"):
                continue  # a text for a text: its meaning is another check's
            with pytest.raises(Malformed):
                evidence.Bundle.decode(cbor.encode({**body, name: other}))
