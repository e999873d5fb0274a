"""A whole chain from a device's message to a log's checkpoint, made in memory: for tests of whoever checks one."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from protocol import content, documents, keys, merkle, message, notes, policy, statement, topics
from protocol.evidence import Bundle, EvidenceError, Proof, Trust, verify

ORIGIN = "log.example/test"
LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
ROOT = keys.SigningKey.from_seed(bytes([2]) * 32)
GATEWAY = keys.SigningKey.from_seed(bytes([3]) * 32)
DEVICE = keys.SigningKey.from_seed(bytes([4]) * 32)
WITNESSES = [
    keys.SigningKey.from_seed(bytes([20 + place]) * 32) for place in range(4)
]  # the fourth is trusted by nobody
LK = bytes([5]) * 32
LINK_ID = b"link"
NOW_MS = 1_700_000_000_000
NAME = keys.device_id(DEVICE.public)
TOPIC = topics.up(NAME, topics.DATA)


def readings(value: float = 72) -> content.Data:
    """One heart rate."""
    return content.Data(
        clock=content.Clock(up_ms=5, wall_ms=NOW_MS, synced=True),
        simulated=True,
        vitals=(content.Vital(name="MDC_ECG_HEART_RATE", value=value, at_ms=NOW_MS),),
    )


def calling(at_ms: int = NOW_MS) -> content.Alarm:
    """A call for help."""
    clock = content.Clock(up_ms=5, wall_ms=NOW_MS, synced=True)
    return content.Alarm(id=bytes(16), kind="button", at_ms=at_ms, clock=clock, simulated=True)


def sealed(
    seq: int = 0,
    *,
    lane: int = topics.DATA,
    key: keys.SigningKey = DEVICE,
    topic: str | None = None,
    link: bytes = LINK_ID,
    said: content.Content | None = None,
    kind: str = "",
) -> bytes:
    """A signed message of the device with `key`. topic: its own by default; said: `readings` by default."""
    return message.seal(
        key=key,
        lk=LK,
        link_id=link,
        topic=topic or topics.up(keys.device_id(key.public), lane),
        position=message.Position(lane=lane, boot=1, seq=seq),
        content=content.encode(said or readings()),
        iv=bytes(12),
        content_type=kind or content.CONTENT_TYPES[lane],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Statements in a tree with one checkpoint over all."""

    statements: tuple[bytes, ...]
    tree: merkle.Tree
    checkpoint: str

    def proof(self, raw: bytes) -> Proof:
        """Where `raw` stands."""
        index = self.statements.index(raw)
        return Proof(statement=raw, index=index, path=tuple(self.tree.path(index)))


def cosigned(text: str, witnesses: Sequence[int], *, log: keys.SigningKey = LOG, origin: str = ORIGIN) -> str:
    """A checkpoint's text as a note, signed by the log and by some of WITNESSES."""
    lines = [notes.sign(text, name=origin, key=log)]
    lines += [
        notes.cosign(text, name=f"w{place}.example", key=WITNESSES[place], at_s=NOW_MS // 1000 + 60 + place)
        for place in witnesses
    ]
    return notes.Note(text=text, lines=tuple(lines)).whole()


def log(*statements: bytes, key: keys.SigningKey = LOG, origin: str = ORIGIN, witnesses: Sequence[int] = (0, 1)) -> Log:
    """A log of `statements`."""
    tree = merkle.Tree([merkle.leaf_hash(statement.entry(raw)) for raw in statements])
    text = notes.Checkpoint(origin=origin, size=tree.size, root=tree.root()).text()
    return Log(statements=statements, tree=tree, checkpoint=cosigned(text, witnesses, log=key, origin=origin))


def trust(quorum: str = "two") -> Trust:
    """The keys of the log, of three witnesses of whom two have to sign, and of the registry root."""
    lines = [f"log {notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=LOG.public).vkey()}"]
    for place, key in enumerate(WITNESSES[:3]):
        vkey = notes.NoteKey(name=f"w{place}.example", kind=notes.COSIGNATURE, key=key.public).vkey()
        lines.append(f"witness w{place} {vkey}")
    text = "\n".join([*lines, "group two 2 w0 w1 w2", f"quorum {quorum}", ""])
    return Trust(policy_text=text, policy=policy.parse(text), registry_root=ROOT.public)


def admission(key: keys.SigningKey = GATEWAY, signer: keys.SigningKey = ROOT) -> bytes:
    """The registry root's statement that `key` is a gateway's."""
    return statement.sign(
        signer,
        iss=signer.public.urn,
        sub=documents.registry_subject(key.public.thumbprint),
        payload=documents.Admission(role="gateway", key=key.public.x, name="clinic").encode(),
        content_type=documents.REGISTRY,
    )


def enrolment_document(
    device: keys.SigningKey = DEVICE, *, gateway: keys.SigningKey = GATEWAY, link: bytes = LINK_ID
) -> bytes:
    """The gateway's document about a device."""
    return documents.Enrolment(
        salt=hashlib.sha256(device.public.x + link).digest(),
        gateway=gateway.public.thumbprint,
        device=keys.device_id(device.public),
        key=device.public.x,
        link=link,
        at_ms=NOW_MS,
    ).encode()


def enveloped(preimage: bytes, content_type: str, subject: str, signer: keys.SigningKey = GATEWAY) -> bytes:
    """A hash envelope over `preimage`."""
    return statement.sign_hash_envelope(
        signer, iss=signer.public.urn, sub=subject, preimage=preimage, preimage_content_type=content_type
    )


def enrolled(document: bytes, gateway: keys.SigningKey = GATEWAY) -> bytes:
    """The gateway's statement over an enrolment."""
    return enveloped(
        document, documents.ENROLMENT, documents.enrolment_subject(gateway.public.thumbprint), signer=gateway
    )


def anchored(document: bytes, gateway: keys.SigningKey = GATEWAY) -> bytes:
    """The gateway's statement over an anchor."""
    return enveloped(document, documents.ANCHOR, documents.anchor_subject(gateway.public.thumbprint), signer=gateway)


def anchor_document(entries: Sequence[bytes], *, gateway: keys.SigningKey = GATEWAY, n: int = 0) -> bytes:
    """The gateway's document about a batch."""
    return documents.Anchor(
        gateway=gateway.public.thumbprint,
        n=n,
        prev=hashlib.sha256(b"%d" % n).digest() if n else documents.FIRST_PREV,
        root=merkle.tree_root([merkle.leaf_hash(entry) for entry in entries]),
        size=len(entries),
        from_ms=NOW_MS,
        to_ms=NOW_MS + 1000,
    ).encode()


def bundle(
    *,
    disclosed: bool = True,
    messages: int = 5,
    chosen: int = 2,
    device: keys.SigningKey = DEVICE,
    gateway: keys.SigningKey = GATEWAY,
    root: keys.SigningKey = ROOT,
    raws: Sequence[bytes] = (),
    n: int = 0,
    key: keys.SigningKey = LOG,
    origin: str = ORIGIN,
    witnesses: Sequence[int] = (0, 1),
) -> Bundle:
    """Evidence for one of several messages in a batch, in a log with other statements around. raws: the messages."""
    raws = raws or [sealed(seq, key=device) for seq in range(messages)]
    lane = message.parse(raws[chosen], topic="", size_max=8192).position.lane
    topic = topics.up(keys.device_id(device.public), lane)
    entries = [
        documents.BatchEntry(topic=topic, received_ms=NOW_MS + seq, digest=message.message_hash(raw)).encode()
        for seq, raw in enumerate(raws)
    ]
    batch, enrolment = anchor_document(entries, gateway=gateway, n=n), enrolment_document(device, gateway=gateway)
    statements = admission(gateway, root), enrolled(enrolment, gateway), anchored(batch, gateway)
    whole = log(
        b"genesis", *statements[:2], b"another", statements[2], b"later", key=key, origin=origin, witnesses=witnesses
    )
    return Bundle(
        topic=topic,
        message=raws[chosen],
        cek=keys.content_key(LK, lane, 1, chosen) if disclosed else None,
        entry=entries[chosen],
        index=chosen,
        path=tuple(merkle.Tree([merkle.leaf_hash(entry) for entry in entries]).path(chosen)),
        anchor_document=batch,
        anchor=whole.proof(statements[2]),
        enrolment_document=enrolment,
        enrolment=whole.proof(statements[1]),
        registry=whole.proof(statements[0]),
        checkpoint=whole.checkpoint,
    )


def relogged(
    found: Bundle, *, order: Sequence[str] = ("registry", "enrolment", "anchor"), **statements: bytes
) -> Bundle:
    """`found` in a new log of its statements in this order, of which some may be others: registry, enrolment, anchor."""
    raws = {name: getattr(found, name).statement for name in order} | statements
    whole = log(b"genesis", *(raws[name] for name in order), b"later")
    proofs = {name: whole.proof(raws[name]) for name in order}
    return dataclasses.replace(found, checkpoint=whole.checkpoint, **proofs)


def failed(found: Bundle | bytes, trusted: Trust | None = None) -> tuple[int, str]:
    """The number of the check that fails, and its code without what all of them begin with."""
    data = found if isinstance(found, bytes) else found.encode()
    with pytest.raises(EvidenceError) as caught:
        verify(data, trusted or trust())
    assert f"check {caught.value.check} failed" in caught.value.detail
    assert caught.value.code.startswith("evidence_")
    return caught.value.check, caught.value.code.removeprefix("evidence_")
