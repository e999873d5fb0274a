"""A whole chain from a device's message to a log's checkpoint, made in memory: for tests of whoever checks one."""

import hashlib
from dataclasses import dataclass

from protocol import content, documents, keys, merkle, message, notes, policy, statement, topics
from protocol.evidence import Bundle, Proof, Trust

ORIGIN = "log.example/test"
LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
ROOT = keys.SigningKey.from_seed(bytes([2]) * 32)
GATEWAY = keys.SigningKey.from_seed(bytes([3]) * 32)
DEVICE = keys.SigningKey.from_seed(bytes([4]) * 32)
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
        waves=(),
        gaps=(),
    )


def sealed(seq: int = 0, *, topic: str = TOPIC, lane: int = topics.DATA, key: keys.SigningKey = DEVICE) -> bytes:
    """A signed message with `readings`."""
    return message.seal(
        key=key,
        lk=LK,
        link_id=LINK_ID,
        topic=topic,
        position=message.Position(lane=lane, boot=1, seq=seq),
        content=content.encode(readings()),
        iv=bytes(12),
        content_type=content.CONTENT_TYPES[topics.DATA],
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


def log(*statements: bytes) -> Log:
    """A log of `statements`."""
    tree = merkle.Tree([merkle.leaf_hash(statement.entry(raw)) for raw in statements])
    text = notes.Checkpoint(origin=ORIGIN, size=tree.size, root=tree.root()).text()
    note = notes.Note(text=text, lines=(notes.sign(text, name=ORIGIN, key=LOG),))
    return Log(statements=statements, tree=tree, checkpoint=note.whole())


def trust() -> Trust:
    """The keys of the log and the registry root, no witness."""
    vkey = notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=LOG.public).vkey()
    text = f"log {vkey}\nquorum none\n"
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


def enrolment_document(device: keys.SigningKey = DEVICE) -> bytes:
    """The gateway's document about a device."""
    return documents.Enrolment(
        salt=hashlib.sha256(device.public.x).digest(),
        gateway=GATEWAY.public.thumbprint,
        device=keys.device_id(device.public),
        key=device.public.x,
        link=LINK_ID,
        at_ms=NOW_MS,
    ).encode()


def enveloped(preimage: bytes, content_type: str, subject: str, signer: keys.SigningKey = GATEWAY) -> bytes:
    """A hash envelope over `preimage`."""
    return statement.sign_hash_envelope(
        signer, iss=signer.public.urn, sub=subject, preimage=preimage, preimage_content_type=content_type
    )


def bundle(*, disclosed: bool = True, messages: int = 5, chosen: int = 2) -> Bundle:
    """Evidence for one of several messages in a batch, in a log with other statements around."""
    raws = [sealed(seq) for seq in range(messages)]
    entries = [
        documents.BatchEntry(topic=TOPIC, received_ms=NOW_MS + seq, digest=message.message_hash(raw)).encode()
        for seq, raw in enumerate(raws)
    ]
    batch = merkle.Tree([merkle.leaf_hash(entry) for entry in entries])
    anchor_document = documents.Anchor(
        gateway=GATEWAY.public.thumbprint,
        n=0,
        prev=documents.FIRST_PREV,
        root=batch.root(),
        size=batch.size,
        from_ms=NOW_MS,
        to_ms=NOW_MS + 1000,
    ).encode()
    thumbprint = GATEWAY.public.thumbprint
    enrolled = enveloped(enrolment_document(), documents.ENROLMENT, documents.enrolment_subject(thumbprint))
    anchored = enveloped(anchor_document, documents.ANCHOR, documents.anchor_subject(thumbprint))
    admitted = admission()
    whole = log(b"genesis", admitted, enrolled, b"another", anchored, b"later")
    return Bundle(
        topic=TOPIC,
        message=raws[chosen],
        cek=keys.content_key(LK, topics.DATA, 1, chosen) if disclosed else None,
        entry=entries[chosen],
        index=chosen,
        path=tuple(batch.path(chosen)),
        anchor_document=anchor_document,
        anchor=whole.proof(anchored),
        enrolment_document=enrolment_document(),
        enrolment=whole.proof(enrolled),
        registry=whole.proof(admitted),
        checkpoint=whole.checkpoint,
    )
