"""The evidence bundle: everything that links one device's message to a log's checkpoint, and its verifier.

The verifier brings a `Trust`: the log's and witnesses' keys as a policy, and the root key of the registry. A bundle
supplies no trust: change any byte of it, and one of the nine checks fails. wire.md, "From message to ledger".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar

from protocol import cbor, content, documents, merkle, message, notes, statement, topics
from protocol.documents import Admission, Anchor, BatchEntry, Enrolment
from protocol.errors import Malformed, ProtocolError, VerificationFailed
from protocol.keys import PublicKey
from protocol.trust import TRUST_SIZE_MAX as TRUST_SIZE_MAX
from protocol.trust import Trust as Trust

SIZE_MAX = 262_144  # bytes of a bundle; a larger one fails check 1 unread
PATH_MAX = 64  # nodes of one proof: enough for any tree there can be
GENESES_MAX = 64  # epochs that a bundle reaches back; evidence from before needs the ledger of then
CHECKS = (
    "the bundle is well formed",
    "the checkpoint is signed by the log, and by as many witnesses as the policy asks for",
    "the registry root admitted the gateway's key, and the log holds that",
    "the gateway signed the anchor, and the log holds it",
    "the anchor's document is the one that was signed, and is this gateway's",
    "the message is in the anchored batch",
    "the gateway enrolled the device's key, and the log holds that",
    "the device signed this message for this topic",
    "the disclosed key opens the message",
)


_T = TypeVar("_T")
_ISO_MAX_MS = 253_402_300_800_000  # the year 10,000, which ISO 8601 and our library do not write


class EvidenceError(VerificationFailed):
    """A numbered check failed. check: 1 to 9, an index into CHECKS counted from 1."""

    def __init__(self, check: int, code: str, detail: str = "") -> None:
        super().__init__(f"evidence_{code}", f"check {check} failed ({CHECKS[check - 1]}): {detail or code}")
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A statement and its place in a tree of the log. path: leaf to root; back: how many epochs before that of the bundle's
    checkpoint, whose last checkpoint is then the tree's."""

    statement: bytes
    index: int
    path: tuple[bytes, ...]
    back: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Evidence for one message. cek: the key of that one message when it is disclosed; entry: its encoded BatchEntry at
    `index` of the batch, with its `path`; checkpoint: a note; geneses: how each epoch of the log began, from the checkpoint's
    back to the one after the earliest that a proof is in: each names the last checkpoint of the epoch before."""

    topic: str
    message: bytes
    cek: bytes | None
    entry: bytes
    index: int
    path: tuple[bytes, ...]
    anchor_document: bytes
    anchor: Proof
    enrolment_document: bytes
    enrolment: Proof
    registry: Proof
    checkpoint: str
    geneses: tuple[Proof, ...] = ()

    def encode(self) -> bytes:
        """Deterministic CBOR; version 2 when it reaches back over epochs."""
        more = {"geneses": [_listed(each) for each in self.geneses]} if self.geneses else {}
        return cbor.encode(
            {
                **more,
                "v": 2 if more else 1,
                "topic": self.topic,
                "message": self.message,
                "cek": self.cek,
                "entry": [self.entry, self.index, list(self.path)],
                "anchor": [self.anchor_document, *_listed(self.anchor)],
                "enrolment": [self.enrolment_document, *_listed(self.enrolment)],
                "registry": _listed(self.registry),
                "checkpoint": self.checkpoint,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: cbor_*, bundle_shape."""
        body = cbor.decode(data, size_max=SIZE_MAX)
        names = {"v", "topic", "message", "cek", "entry", "anchor", "enrolment", "registry", "checkpoint"}
        version = 2 if isinstance(body, dict) and "geneses" in body else 1
        names |= {"geneses"} if version == 2 else set()
        if not isinstance(body, dict) or body.keys() != names or type(body["v"]) is not int or body["v"] != version:
            raise Malformed("bundle_shape", "not the fields of this version")
        topic, raw, cek, checkpoint = body["topic"], body["message"], body["cek"], body["checkpoint"]
        if not isinstance(topic, str) or not isinstance(raw, bytes) or not isinstance(checkpoint, str):
            raise Malformed("bundle_shape", "topic, message and checkpoint are texts and bytes")
        if cek is not None and (not isinstance(cek, bytes) or len(cek) != 32):
            raise Malformed("bundle_shape", "a disclosed key has 32 bytes")
        entry = _proof(body["entry"])
        anchor_document, anchor = _documented(body["anchor"])
        enrolment_document, enrolment = _documented(body["enrolment"])
        registry, geneses = _proof(body["registry"]), _geneses(body["geneses"]) if version == 2 else ()
        if max(each.back for each in (anchor, enrolment, registry)) != len(geneses) or entry.back:
            raise Malformed("bundle_shape", "a bundle reaches back to where its earliest proof is")
        return cls(
            topic=topic,
            message=raw,
            cek=cek,
            entry=entry.statement,
            index=entry.index,
            path=entry.path,
            anchor_document=anchor_document,
            anchor=anchor,
            enrolment_document=enrolment_document,
            enrolment=enrolment,
            registry=registry,
            checkpoint=checkpoint,
            geneses=geneses,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was verified. cosigned: (witness, Unix s); opened: the content when its key was disclosed."""

    topic: str
    position: message.Position
    received_ms: int
    batch: Anchor
    gateway: Admission
    checkpoint: notes.Checkpoint
    cosigned: tuple[tuple[str, int], ...]
    opened: content.Content | None


def verify(data: bytes, trust: Trust) -> Verdict:
    """All nine checks, in order. Raises EvidenceError, which names the first that failed."""
    bundle = _check(1, lambda: Bundle.decode(data))
    checkpoint, cosigned = _check(2, lambda: _checkpoint(bundle.checkpoint, trust))
    logs = _check(2, lambda: _epochs(bundle, checkpoint, trust))
    admission = _check(3, lambda: _admission(bundle.registry, logs, trust.registry_root))
    gateway = PublicKey(admission.key)
    _check(4, lambda: _logged_by(gateway, bundle.anchor, logs, documents.ANCHOR, after=bundle.registry))
    batch = _check(5, lambda: _anchor(bundle, gateway))
    entry = _check(6, lambda: _entry(bundle, batch))
    enrolment = _check(7, lambda: _enrolment(bundle, gateway, logs))
    seen = _check(8, lambda: _message(bundle, entry, enrolment))
    opened = _check(9, lambda: _opened(seen, bundle.cek))
    return Verdict(
        topic=bundle.topic,
        position=seen.position,
        received_ms=entry.received_ms,
        batch=batch,
        gateway=admission,
        checkpoint=checkpoint,
        cosigned=cosigned,
        opened=opened,
    )


def describe(verdict: Verdict) -> dict[str, object]:
    """A verdict for people and programs; with readings only when their key was disclosed."""
    device, lane = topics.parse_up(verdict.topic)
    found: dict[str, object] = {
        "device": device,
        "lane": topics.LANE_NAMES[lane],
        "boot": verdict.position.boot,
        "seq": verdict.position.seq,
        "received": _iso(verdict.received_ms),
        "gateway": verdict.gateway.name,
        "gateway_key": PublicKey(verdict.gateway.key).urn,
        "anchor": verdict.batch.n,
        "log": verdict.checkpoint.origin,
        "tree_size": verdict.checkpoint.size,
        "root": verdict.checkpoint.root.hex(),
        "cosigned": {name: _iso(at_s * 1000) for name, at_s in verdict.cosigned},
        "as_of": f"tree size {verdict.checkpoint.size}, {_no_later(verdict)}; what was revoked later is not visible",
    }
    match verdict.opened:
        case content.Alarm() as alarm:
            found |= {"alarm": alarm.kind, "at": _iso(alarm.at_ms), "simulated": alarm.simulated}
        case content.Data() as readings:
            found["readings"] = {vital.name: vital.value for vital in readings.vitals}
            found["waves"] = {wave.stream: wave.n for wave in readings.waves}
            found["simulated"] = readings.simulated
    return found


def _check(number: int, job: Callable[[], _T]) -> _T:
    try:
        return job()
    except EvidenceError:
        raise
    except (ProtocolError, VerificationFailed) as error:
        raise EvidenceError(number, error.code, error.detail) from error


def _checkpoint(note: str, trust: Trust) -> tuple[notes.Checkpoint, tuple[tuple[str, int], ...]]:
    found = trust.policy.check(note)
    if trust.policy.kept(note) != note:
        raise VerificationFailed("line_unknown", "a signature line by a key that the policy does not name")
    return found


def _epochs(bundle: Bundle, newest: notes.Checkpoint, trust: Trust) -> list[notes.Checkpoint]:
    """The last checkpoints of the epochs that the bundle reaches back to, the newest first: each is named by how the next one
    began, and is signed by its log and by as many witnesses as the policy asks for."""
    logs = [newest]
    for proof in bundle.geneses:
        if proof.index != 0 or proof.back != len(logs) - 1:
            raise VerificationFailed("genesis_other", "an epoch begins with its first entry")
        signed = statement.parse(proof.statement)
        genesis = documents.Genesis.decode(signed.payload)
        key = PublicKey(genesis.log_key)
        _logged(proof, logs, key=key, content_type=documents.GENESIS, hashed=False)
        if genesis.origin != logs[-1].origin or genesis.prior is None:
            raise VerificationFailed("genesis_other", "no epoch came before, as far as this one says")
        logs.append(trust.policy.check(genesis.prior)[0])
    return logs


def _logged(
    proof: Proof, logs: Sequence[notes.Checkpoint], *, key: PublicKey, content_type: str, hashed: bool
) -> statement.Statement:
    """The statement of `proof`, signed by `key` and in the log of its checkpoint, which has other entries too."""
    checkpoint = logs[proof.back]
    if not proof.path:
        raise VerificationFailed("path_empty", "a tree of one entry proves nothing")
    found = statement.parse(proof.statement)
    statement.verify(found, key, thumbprint=key.thumbprint)
    if found.content_type != content_type or found.hashed is not hashed or found.iss != key.urn:
        raise VerificationFailed("statement_other", f"not a statement of type {content_type} by this issuer")
    merkle.verify_inclusion(
        leaf=merkle.leaf_hash(found.entry),
        index=proof.index,
        size=checkpoint.size,
        path=proof.path,
        root=checkpoint.root,
    )
    return found


def _admission(proof: Proof, logs: Sequence[notes.Checkpoint], root: PublicKey) -> Admission:
    found = _logged(proof, logs, key=root, content_type=documents.REGISTRY, hashed=False)
    admission = Admission.decode(found.payload)
    if admission.role != "gateway":
        raise VerificationFailed("role_other", "the key was not admitted as a gateway")
    if found.sub != documents.registry_subject(PublicKey(admission.key).thumbprint):
        raise VerificationFailed("subject_other", "the subject names another key")
    return admission


def _logged_by(
    gateway: PublicKey, proof: Proof, logs: Sequence[notes.Checkpoint], content_type: str, *, after: Proof
) -> statement.Statement:
    if (-proof.back, proof.index) <= (-after.back, after.index):
        raise VerificationFailed("order", "logged before the gateway was admitted")
    return _logged(proof, logs, key=gateway, content_type=content_type, hashed=True)


def _anchor(bundle: Bundle, gateway: PublicKey) -> Anchor:
    signed = statement.parse(bundle.anchor.statement)
    statement.check_preimage(signed, bundle.anchor_document)
    anchor = Anchor.decode(bundle.anchor_document)
    if anchor.gateway != gateway.thumbprint or signed.sub != documents.anchor_subject(gateway.thumbprint):
        raise VerificationFailed("gateway_other", "the anchor is another gateway's")
    return anchor


def _entry(bundle: Bundle, batch: Anchor) -> BatchEntry:
    entry = BatchEntry.decode(bundle.entry)
    merkle.verify_inclusion(
        leaf=merkle.leaf_hash(bundle.entry), index=bundle.index, size=batch.size, path=bundle.path, root=batch.root
    )
    if not batch.from_ms <= entry.received_ms <= batch.to_ms:
        raise VerificationFailed("time_other", "received outside the time that the anchor covers")
    if entry.topic != bundle.topic:
        raise VerificationFailed("topic_other", "the batch names another topic")
    return entry


def _enrolment(bundle: Bundle, gateway: PublicKey, logs: Sequence[notes.Checkpoint]) -> Enrolment:
    found = _logged_by(gateway, bundle.enrolment, logs, documents.ENROLMENT, after=bundle.registry)
    statement.check_preimage(found, bundle.enrolment_document)
    enrolment = Enrolment.decode(bundle.enrolment_document)
    if enrolment.gateway != gateway.thumbprint or found.sub != documents.enrolment_subject(gateway.thumbprint):
        raise VerificationFailed("gateway_other", "the enrolment is another gateway's")
    if enrolment.device != topics.parse_up(bundle.topic)[0]:
        raise VerificationFailed("device_other", "the enrolment is another device's")
    return enrolment


def _message(bundle: Bundle, entry: BatchEntry, enrolment: Enrolment) -> message.Message:
    if message.message_hash(bundle.message) != entry.digest:
        raise VerificationFailed("message_other", "the batch holds another message")
    lane = topics.parse_up(bundle.topic)[1]
    seen = message.parse(bundle.message, topic=bundle.topic, size_max=message.SIZE_MAX[lane])
    if seen.position.lane != lane:
        raise VerificationFailed("lane_other", "the position is in another lane than the topic")
    message.verify(seen, PublicKey(enrolment.key))
    if message.link_of(seen) != enrolment.link:
        raise VerificationFailed("link_other", "the message belongs to another enrolment of this device")
    return seen


def _opened(seen: message.Message, cek: bytes | None) -> content.Content | None:
    if cek is None:
        return None
    opened = message.open_with_key(seen, cek)
    if opened.content_type != content.CONTENT_TYPES[seen.position.lane]:
        raise VerificationFailed("content_type_other", "the content is of another lane")
    return content.decode(opened.content, content_type=opened.content_type)


def _listed(proof: Proof) -> list[object]:
    return [proof.statement, proof.index, list(proof.path), *([proof.back] if proof.back else [])]


def _documented(value: object) -> tuple[bytes, Proof]:
    if not isinstance(value, list) or len(value) not in (4, 5) or not isinstance(value[0], bytes):
        raise Malformed("bundle_shape", "a document comes with its statement, index and path")
    return value[0], _proof(value[1:])


def _geneses(value: object) -> tuple[Proof, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= GENESES_MAX:
        raise Malformed("bundle_shape", f"a bundle reaches back over 1 to {GENESES_MAX} epochs")
    return tuple(_proof(each) for each in value)


def _proof(value: object) -> Proof:
    if not isinstance(value, list) or len(value) not in (3, 4):
        raise Malformed("bundle_shape", "a proof is bytes, an index and a path, and perhaps how far back")
    data, index, path = value[:3]
    back = value[3] if len(value) == 4 else 0
    if not isinstance(data, bytes) or type(index) is not int or not 0 <= index < 1 << 63:
        raise Malformed("bundle_shape", "a proof is bytes, an index and a path")
    if not isinstance(path, list) or len(path) > PATH_MAX:
        raise Malformed("bundle_shape", f"a path has at most {PATH_MAX} nodes")
    if not all(isinstance(node, bytes) and len(node) == 32 for node in path):
        raise Malformed("bundle_shape", "a node has 32 bytes")
    if type(back) is not int or not 0 <= back <= GENESES_MAX or (len(value) == 4 and back == 0):
        raise Malformed("bundle_shape", "a proof says how far back only where it is not of the newest epoch")
    return Proof(statement=data, index=index, path=tuple(path), back=back)


def _no_later(verdict: Verdict) -> str:
    """The latest of the cosignatures' times: whichever witnesses one believes, the tree was there by then."""
    if not verdict.cosigned:
        return "at no witnessed time"
    return f"no later than {_iso(max(at_s for _, at_s in verdict.cosigned) * 1000)}"


def _iso(at_ms: int) -> str:
    if at_ms >= _ISO_MAX_MS:
        return f"{at_ms} ms after 1970"  # whoever signed it may say any number
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)  # a float of seconds would be off by one
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
