"""Forged evidence: each made of parts that hold by themselves, each refused by the check that is there for it."""

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from protocol import content, documents, evidence, keys, merkle, message, notes, policy, statement, topics
from protocol.documents import Anchor, BatchEntry
from protocol.evidence import Bundle
from tests.support import chain

OTHER_DEVICE = keys.SigningKey.from_seed(bytes([14]) * 32)
OTHER_GATEWAY = keys.SigningKey.from_seed(bytes([13]) * 32)
OTHER_ROOT = keys.SigningKey.from_seed(bytes([12]) * 32)
OTHER_LOG = keys.SigningKey.from_seed(bytes([11]) * 32)
GOOD = chain.bundle()
THUMBPRINT = chain.GATEWAY.public.thumbprint
HEAD = GOOD.checkpoint.split("\n\n")[0] + "\n"  # the text that is signed


def changed(**parts: object) -> Bundle:
    return dataclasses.replace(GOOD, **parts)


def proof(name: str, **parts: object) -> Bundle:
    return changed(**{name: dataclasses.replace(getattr(GOOD, name), **parts)})


def anchor(**parts: object) -> Bundle:
    """Another anchor document, signed by the gateway and logged."""
    document = dataclasses.replace(Anchor.decode(GOOD.anchor_document), **parts).encode()
    return dataclasses.replace(chain.relogged(GOOD, anchor=chain.anchored(document)), anchor_document=document)


def enrolment(document: bytes, gateway: keys.SigningKey = chain.GATEWAY) -> Bundle:
    """Another enrolment document, signed by a gateway and logged."""
    found = chain.relogged(GOOD, enrolment=chain.enrolled(document, gateway))
    return dataclasses.replace(found, enrolment_document=document)


def saying(raw: bytes, **parts: object) -> Bundle:
    """A batch of one message on the device's topic, all else in order."""
    values: dict[str, object] = {"topic": chain.TOPIC, "received_ms": chain.NOW_MS, "digest": message.message_hash(raw)}
    entry = BatchEntry(**{**values, **parts}).encode()  # type: ignore[arg-type]
    document = chain.anchor_document([entry])
    found = chain.relogged(GOOD, anchor=chain.anchored(document))
    return dataclasses.replace(
        found,
        topic=str(parts.get("topic", chain.TOPIC)),
        message=raw,
        entry=entry,
        index=0,
        path=(),
        anchor_document=document,
        cek=keys.content_key(chain.LK, topics.DATA, 1, 0),
    )


def admission(**parts: object) -> bytes:
    values: dict[str, object] = {
        "iss": chain.ROOT.public.urn,
        "sub": documents.registry_subject(THUMBPRINT),
        "payload": documents.Admission(role="gateway", key=chain.GATEWAY.public.x, name="clinic").encode(),
        "content_type": documents.REGISTRY,
    }
    return statement.sign(chain.ROOT, **{**values, **parts})  # type: ignore[arg-type]


def signed_anchor(**parts: object) -> bytes:
    """The anchor's document under a statement with other claims."""
    values: dict[str, object] = {
        "iss": chain.GATEWAY.public.urn,
        "sub": documents.anchor_subject(THUMBPRINT),
        "preimage": GOOD.anchor_document,
        "preimage_content_type": documents.ANCHOR,
    }
    return statement.sign_hash_envelope(chain.GATEWAY, **{**values, **parts})  # type: ignore[arg-type]


def cosigned(*lines: notes.Line, witnesses: tuple[int, ...] = (0, 1), text: str = HEAD) -> Bundle:
    """The checkpoint with other lines after those of the log and some witnesses."""
    note = notes.parse(chain.cosigned(text, witnesses))
    return changed(checkpoint=notes.Note(text=note.text, lines=(*note.lines, *lines)).whole())


def small() -> Bundle:
    """A log of nothing but the gateway's admission."""
    whole = chain.log(GOOD.registry.statement)
    return changed(checkpoint=whole.checkpoint, registry=whole.proof(GOOD.registry.statement))


def grown() -> str:
    """A later checkpoint of a log that goes on."""
    return chain.log(
        b"genesis", *(GOOD.registry.statement, GOOD.enrolment.statement, GOOD.anchor.statement), b"later", b"more"
    ).checkpoint


FORGERIES: dict[str, tuple[Callable[[], Bundle], tuple[int, str]]] = {
    "too few witnesses": (lambda: cosigned(witnesses=(0,)), (2, "quorum_missed")),
    "no witness": (lambda: cosigned(witnesses=()), (2, "quorum_missed")),
    "a witness nobody trusts makes up the number": (lambda: cosigned(witnesses=(0, 3)), (2, "quorum_missed")),
    "a witness nobody trusts beside enough": (lambda: cosigned(witnesses=(0, 1, 3)), (2, "line_unknown")),
    "one witness twice": (
        lambda: cosigned(notes.parse(GOOD.checkpoint).lines[1], witnesses=(0,)),
        (2, "quorum_missed"),
    ),
    "a witness's signature of another tree": (
        lambda: cosigned(
            notes.cosign("x\n", name="w1.example", key=chain.WITNESSES[1], at_s=1_700_000_061), witnesses=(0,)
        ),
        (2, "note_signature"),
    ),
    "a witness's name with another key": (
        lambda: cosigned(notes.cosign(HEAD, name="w1.example", key=OTHER_LOG, at_s=1), witnesses=(0,)),
        (2, "quorum_missed"),
    ),
    "a witness that signs as a log": (
        lambda: cosigned(notes.sign(HEAD, name="w1.example", key=chain.WITNESSES[1]), witnesses=(0,)),
        (2, "quorum_missed"),
    ),
    "a time that no cosignature has": (
        lambda: cosigned(notes.cosign(HEAD, name="w1.example", key=chain.WITNESSES[1], at_s=1 << 63), witnesses=(0,)),
        (2, "note_signature"),
    ),
    "a log with the name and another key": (lambda: chain.bundle(key=OTHER_LOG), (2, "log_unsigned")),
    "a log of another name": (lambda: chain.bundle(origin="log.example/else"), (2, "log_unknown")),
    "another tree of the same size": (
        lambda: changed(checkpoint=chain.log(*(b"%d" % n for n in range(6))).checkpoint),
        (3, "inclusion_bad"),
    ),
    "a later checkpoint than the proofs'": (lambda: changed(checkpoint=grown()), (3, "inclusion_bad")),
    "a tree of one entry": (small, (3, "path_empty")),
    "an admission without a path": (lambda: proof("registry", path=()), (3, "path_empty")),
    "an anchor without a path": (lambda: proof("anchor", path=()), (4, "path_empty")),
    "an enrolment without a path": (lambda: proof("enrolment", path=()), (7, "path_empty")),
    "a message without a path": (lambda: changed(path=()), (6, "inclusion_bad")),
    "an admission elsewhere": (lambda: proof("registry", index=0), (3, "inclusion_bad")),
    "an enrolment elsewhere": (lambda: proof("enrolment", index=3), (7, "inclusion_bad")),
    "a root of its own": (lambda: chain.bundle(root=OTHER_ROOT), (3, "kid_mismatch")),
    "a gateway that admits itself": (
        lambda: chain.relogged(GOOD, registry=chain.admission(signer=chain.GATEWAY)),
        (3, "kid_mismatch"),
    ),
    "an admission with another gateway as subject": (
        lambda: chain.relogged(GOOD, registry=admission(sub=documents.registry_subject(bytes(32)))),
        (3, "subject_other"),
    ),
    "an admission under another issuer": (
        lambda: chain.relogged(GOOD, registry=admission(iss=OTHER_ROOT.public.urn)),
        (3, "statement_other"),
    ),
    "the root's word of another type": (
        lambda: chain.relogged(GOOD, registry=admission(content_type=documents.GENESIS)),
        (3, "statement_other"),
    ),
    "the root's word about no gateway": (
        lambda: chain.relogged(GOOD, registry=admission(payload=b"\xa0")),
        (3, "document_bad"),
    ),
    "another gateway's admission": (
        lambda: chain.relogged(GOOD, registry=chain.admission(OTHER_GATEWAY)),
        (4, "kid_mismatch"),
    ),
    "an anchor by a gateway that nobody admitted": (
        lambda: chain.relogged(GOOD, anchor=chain.anchored(GOOD.anchor_document, OTHER_GATEWAY)),
        (4, "kid_mismatch"),
    ),
    "an anchor under another issuer": (
        lambda: chain.relogged(GOOD, anchor=signed_anchor(iss=OTHER_GATEWAY.public.urn)),
        (4, "statement_other"),
    ),
    "an anchor that calls itself an enrolment": (
        lambda: chain.relogged(GOOD, anchor=signed_anchor(preimage_content_type=documents.ENROLMENT)),
        (4, "statement_other"),
    ),
    "an anchor in full": (
        lambda: chain.relogged(
            GOOD,
            anchor=statement.sign(
                chain.GATEWAY,
                iss=chain.GATEWAY.public.urn,
                sub=documents.anchor_subject(THUMBPRINT),
                payload=GOOD.anchor_document,
                content_type=documents.ANCHOR,
            ),
        ),
        (4, "statement_other"),
    ),
    "an enrolment in the anchor's place": (lambda: changed(anchor=GOOD.enrolment), (4, "statement_other")),
    "an anchor logged before the admission": (
        lambda: chain.relogged(GOOD, order=("anchor", "registry", "enrolment")),
        (4, "order"),
    ),
    "an enrolment logged before the admission": (
        lambda: chain.relogged(GOOD, order=("enrolment", "registry", "anchor")),
        (7, "order"),
    ),
    "an anchor under another subject": (
        lambda: chain.relogged(GOOD, anchor=signed_anchor(sub=documents.anchor_subject(bytes(32)))),
        (5, "gateway_other"),
    ),
    "an anchor of another gateway's batch": (lambda: anchor(gateway=bytes(32)), (5, "gateway_other")),
    "an anchor's document that was not signed": (
        lambda: changed(anchor_document=anchor(n=1, prev=bytes([1]) * 32).anchor_document),
        (5, "preimage_mismatch"),
    ),
    "an anchor of another batch": (lambda: anchor(root=bytes(32)), (6, "inclusion_bad")),
    "an anchor of fewer messages": (lambda: anchor(size=2), (6, "inclusion_bad")),
    "an anchor of nothing": (lambda: anchor(size=0, root=merkle.EMPTY_ROOT), (6, "inclusion_bad")),
    "an anchor of an hour before": (
        lambda: anchor(from_ms=chain.NOW_MS - 3_600_000, to_ms=chain.NOW_MS - 1),
        (6, "time_other"),
    ),
    "another topic": (lambda: changed(topic=topics.up(chain.NAME, topics.ALARM)), (6, "topic_other")),
    "another device's enrolment": (
        lambda: enrolment(chain.enrolment_document(OTHER_DEVICE)),
        (7, "device_other"),
    ),
    "an enrolment by another gateway": (
        lambda: enrolment(chain.enrolment_document(), OTHER_GATEWAY),
        (7, "kid_mismatch"),
    ),
    "an enrolment at another gateway": (
        lambda: enrolment(chain.enrolment_document(gateway=OTHER_GATEWAY)),
        (7, "gateway_other"),
    ),
    "an enrolment under another subject": (
        lambda: chain.relogged(
            GOOD,
            enrolment=chain.enveloped(
                GOOD.enrolment_document, documents.ENROLMENT, documents.enrolment_subject(bytes(32))
            ),
        ),
        (7, "gateway_other"),
    ),
    "an enrolment's document that was not signed": (
        lambda: changed(enrolment_document=chain.enrolment_document(link=b"else")),
        (7, "preimage_mismatch"),
    ),
    "the device's enrolment for somebody else": (
        lambda: enrolment(chain.enrolment_document(link=b"else")),
        (8, "link_other"),
    ),
    "the device's name with another key": (
        lambda: enrolment(
            dataclasses.replace(documents.Enrolment.decode(GOOD.enrolment_document), key=OTHER_DEVICE.public.x).encode()
        ),
        (8, "kid_mismatch"),
    ),
    "a message that another device signed": (
        lambda: saying(chain.sealed(key=OTHER_DEVICE, topic=chain.TOPIC)),
        (8, "kid_mismatch"),
    ),
    "a message whose signature was changed before it was anchored": (
        lambda: saying(chain.sealed()[:-1] + bytes([chain.sealed()[-1] ^ 1])),
        (8, "signature_bad"),
    ),
    "a message for another topic": (
        lambda: saying(chain.sealed(topic=topics.up(chain.NAME, topics.ALARM))),
        (8, "signature_bad"),
    ),
    "a message of another lane": (
        lambda: saying(chain.sealed(lane=topics.ALARM, topic=chain.TOPIC)),
        (8, "lane_other"),
    ),
    "a message on a topic that is none": (
        lambda: saying(chain.sealed(), topic="vigil/1/x/up/data"),
        (7, "topic_unknown"),
    ),
    "a message from another enrolment of the device": (lambda: saying(chain.sealed(link=b"else")), (8, "link_other")),
    "an alarm among the readings": (
        lambda: saying(chain.sealed(said=chain.calling(), kind=content.CONTENT_TYPES[topics.ALARM])),
        (9, "content_type_other"),
    ),
    "content that calls itself something else": (
        lambda: saying(chain.sealed(kind="text/plain")),
        (9, "content_type_other"),
    ),
    "readings that are no readings": (lambda: saying(chain.sealed(said=chain.calling())), (9, "content_shape")),
    "another message's key": (
        lambda: changed(cek=keys.content_key(chain.LK, topics.DATA, 1, 3)),
        (9, "commitment_bad"),
    ),
}


@pytest.mark.parametrize(("forged", "expected"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_fails_the_check_that_is_there_for_it(
    forged: Callable[[], Bundle], expected: tuple[int, str]
) -> None:
    assert chain.failed(forged()) == expected


def test_what_these_forgeries_are_made_from_holds() -> None:
    for found in (GOOD, chain.relogged(GOOD), cosigned(), cosigned(witnesses=(0, 1, 2)), saying(chain.sealed())):
        assert evidence.verify(found.encode(), chain.trust()).topic == chain.TOPIC
    for found in (anchor(), enrolment(GOOD.enrolment_document), chain.relogged(GOOD, registry=admission())):
        assert evidence.verify(found.encode(), chain.trust()).topic == chain.TOPIC


def test_every_check_but_the_first_has_a_forgery() -> None:
    assert {number for _, (number, _) in FORGERIES.values()} == set(range(2, len(evidence.CHECKS) + 1))


def test_without_the_content_key_everything_but_the_content_is_verified() -> None:
    verdict = evidence.verify(changed(cek=None).encode(), chain.trust())
    assert verdict.opened is None
    said = evidence.describe(verdict)
    assert not said.keys() & {"readings", "waves", "alarm", "simulated"}
    assert chain.failed(dataclasses.replace(saying(chain.sealed(link=b"else")), cek=None)) == (8, "link_other")


PARTS = {
    "topic": ("topic",),
    "message": ("message",),
    "cek": ("cek",),
    "entry": ("entry", "index", "path"),
    "anchor": ("anchor", "anchor_document"),
    "enrolment": ("enrolment", "enrolment_document"),
}


def pair() -> tuple[Bundle, Bundle]:
    """Two bundles from one gateway, one log and one checkpoint: of another device, batch and place."""
    one, two = GOOD, chain.bundle(device=OTHER_DEVICE, messages=4, chosen=1, n=1)
    whole = chain.log(
        b"genesis",
        one.registry.statement,
        one.enrolment.statement,
        two.enrolment.statement,
        one.anchor.statement,
        two.anchor.statement,
    )

    def placed(found: Bundle) -> Bundle:
        proofs = {name: whole.proof(getattr(found, name).statement) for name in ("registry", "enrolment", "anchor")}
        return dataclasses.replace(found, checkpoint=whole.checkpoint, **proofs)

    return placed(one), placed(two)


def test_no_mixture_of_two_good_bundles_holds() -> None:
    one, two = pair()
    trust = chain.trust()
    for count in range(len(PARTS) + 1):
        for chosen in itertools.combinations(PARTS, count):
            taken = {name: getattr(two, name) for part in chosen for name in PARTS[part]}
            mixed = dataclasses.replace(one, **taken).encode()
            if count in (0, len(PARTS)):
                evidence.verify(mixed, trust)
            else:
                number, _ = chain.failed(mixed, trust)
                assert number >= 5, chosen  # statements, log and registry are all in order


def test_no_mixture_of_two_messages_of_one_batch_holds() -> None:
    one, two = GOOD, chain.bundle(chosen=3)
    assert (one.anchor, one.enrolment, one.checkpoint) == (two.anchor, two.enrolment, two.checkpoint)
    expected = {("message",): 8, ("cek",): 9, ("entry",): 8, ("message", "cek"): 8, ("message", "entry"): 9}
    for chosen, number in (expected | {("cek", "entry"): 8}).items():
        taken = {name: getattr(two, name) for part in chosen for name in PARTS[part]}
        assert chain.failed(dataclasses.replace(one, **taken))[0] == number, chosen


def test_a_line_of_another_trusted_log_is_not_passed_unread() -> None:
    """A bundle says nothing that was not checked, so a second log's line, which `check` leaves alone, may not be there."""
    other = notes.NoteKey(name="log.example/else", kind=notes.SIGNATURE, key=OTHER_LOG.public)
    text = f"log {other.vkey()}\n{chain.trust().policy_text}"
    trust = evidence.Trust(policy_text=text, policy=policy.parse(text), registry_root=chain.ROOT.public)
    evidence.verify(GOOD.encode(), trust)
    for line in (
        notes.sign(HEAD, name="log.example/else", key=OTHER_LOG),
        notes.Line(name="log.example/else", key_id=other.key_id, blob=bytes(64)),
    ):
        assert chain.failed(cosigned(line), trust) == (2, "line_unknown")
    assert chain.failed(chain.bundle(key=OTHER_LOG, origin="log.example/else"), chain.trust()) == (2, "log_unknown")


def test_a_checkpoint_of_another_trusted_log_does_not_hold_this_ones_entries() -> None:
    other = notes.NoteKey(name="log.example/else", kind=notes.SIGNATURE, key=OTHER_LOG.public)
    text = f"log {other.vkey()}\n{chain.trust().policy_text}"
    trust = evidence.Trust(policy_text=text, policy=policy.parse(text), registry_root=chain.ROOT.public)
    elsewhere = chain.log(*(b"%d" % n for n in range(6)), key=OTHER_LOG, origin="log.example/else")
    assert chain.failed(changed(checkpoint=elsewhere.checkpoint), trust) == (3, "inclusion_bad")
