"""What a log says about what it no longer keeps: redactions, minimum indexes, and the signed snapshots that a replay starts
from instead. Snapshots are COSE_Sign1 (RFC 9052 §4.2) by the log; minimum index: C2SP tlog-tiles, Pruning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from protocol import cbor, cose
from protocol.errors import BadSignature, Malformed
from protocol.keys import EDDSA, SigningKey
from protocol.merkle import HASH_SIZE

REDACTION = "application/vigil-redaction+cbor"
RETENTION = "application/vigil-retention+cbor"
SNAPSHOT = "application/vigil-snapshot+cbor"
REASONS = frozenset({"court-order", "erasure-right", "unlawful-content"})
SIZE_MAX = 1024  # bytes of any of these documents, and of a snapshot with its signature; a larger one is malformed
ORIGIN_MAX = 128  # characters of an origin
DAYS_MAX = 36_500  # of keeping; a hundred years is for ever
NUMBER_MAX = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """The registry root's word that the body of the statement at `index` of an epoch goes. snapshot: SHA-256 of the signed
    snapshot of the state after it, where a replay goes on."""

    epoch: int
    index: int
    reason: str
    snapshot: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        body = {"v": 1, "epoch": self.epoch, "index": self.index, "reason": self.reason, "snapshot": self.snapshot}
        return cbor.encode(body)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad, cbor_*."""
        body = _map(data, {"v", "epoch", "index", "reason", "snapshot"})
        reason = body["reason"]
        if not isinstance(reason, str) or reason not in REASONS:
            raise Malformed("document_bad", "not a reason for which a body may go")
        epoch, index = _number(body, "epoch"), _number(body, "index")
        return cls(epoch=epoch, index=index, reason=reason, snapshot=_hash(body, "snapshot"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The registry root's word that statements below `minimum` need not be served from now on.

    keep_days: how long statements are kept, if the minimum comes from such a rule; snapshot: SHA-256 of the signed snapshot
    of the state at `minimum`.
    """

    minimum: int
    keep_days: int | None
    snapshot: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({"v": 1, "minimum": self.minimum, "keep_days": self.keep_days, "snapshot": self.snapshot})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad, cbor_*."""
        body = _map(data, {"v", "minimum", "keep_days", "snapshot"})
        days = None if body["keep_days"] is None else _number(body, "keep_days")
        if days is not None and not 0 < days <= DAYS_MAX:
            raise Malformed("document_bad", f"keep_days is from 1 to {DAYS_MAX}, or null")
        return cls(minimum=_number(body, "minimum"), keep_days=days, snapshot=_hash(body, "snapshot"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a log at one size. root: of the tree; chain: head of the state; at_ms: of the newest entry;
    state: the digest of all keys and values."""

    origin: str
    epoch: int
    size: int
    root: bytes
    chain: bytes
    at_ms: int
    state: bytes

    def sign(self, key: SigningKey) -> bytes:
        """The snapshot as a COSE_Sign1 by the log's key."""
        body = {
            "v": 1,
            "origin": self.origin,
            "epoch": self.epoch,
            "size": self.size,
            "root": self.root,
            "chain": self.chain,
            "at": self.at_ms,
            "state": self.state,
        }
        protected = {cose.ALG: EDDSA, cose.CONTENT_TYPE: SNAPSHOT, cose.KID: key.public.thumbprint}
        return cose.sign1(key, protected=protected, payload=cbor.encode(body))

    @classmethod
    def verified(cls, raw: bytes, keys: Mapping[bytes, cose.Verifier]) -> Self:
        """What `sign` wrote. keys: the log's, by thumbprint.

        Raises Malformed: document_bad, cbor_*, cose_*; BadSignature: snapshot_key_unknown, signature_bad and others.
        """
        found, signed = cls.parse(raw)
        kid = signed.protected[cose.KID]
        key = keys.get(kid) if isinstance(kid, bytes) else None
        if key is None:
            raise BadSignature("snapshot_key_unknown", "not signed by a key of this log")
        cose.verify_sign1(signed, key)
        return found

    @classmethod
    def parse(cls, raw: bytes) -> tuple[Self, cose.Sign1]:
        """What `sign` wrote, for whoever knows its hash already. Raises Malformed: document_bad, cbor_*, cose_*."""
        signed = cose.parse_sign1(raw, size_max=SIZE_MAX)
        headers, payload = signed.protected, signed.payload
        if signed.unprotected or headers.keys() != {cose.ALG, cose.CONTENT_TYPE, cose.KID} or payload is None:
            raise Malformed("document_bad", "a snapshot has an algorithm, its type, a key's name and its body")
        if headers[cose.CONTENT_TYPE] != SNAPSHOT:
            raise Malformed("document_bad", "not a snapshot")
        body = _map(payload, {"v", "origin", "epoch", "size", "root", "chain", "at", "state"})
        origin = body["origin"]
        if not isinstance(origin, str) or not 0 < len(origin) <= ORIGIN_MAX:
            raise Malformed("document_bad", "origin is a short text")
        found = cls(
            origin=origin,
            epoch=_number(body, "epoch"),
            size=_number(body, "size"),
            root=_hash(body, "root"),
            chain=_hash(body, "chain"),
            at_ms=_number(body, "at"),
            state=_hash(body, "state"),
        )
        return found, signed


def redaction_subject(root: bytes) -> str:
    """The one subject of all redactions by a registry root, by its thumbprint: who follows it sees each of them."""
    return f"vigil:redactions:{root.hex()}"


def retention_subject(root: bytes) -> str:
    """The subject of a registry root's statements about what a log keeps, by its thumbprint; the newest holds."""
    return f"vigil:retention:{root.hex()}"


def _map(data: bytes, names: set[str]) -> Mapping[object, object]:
    body = cbor.decode(data, size_max=SIZE_MAX)
    if not isinstance(body, dict) or body.keys() != names or body["v"] != 1 or type(body["v"]) is not int:
        raise Malformed("document_bad", "not this version's fields")
    return body


def _number(body: Mapping[object, object], name: str) -> int:
    value = body[name]
    if type(value) is not int or not 0 <= value < NUMBER_MAX:
        raise Malformed("document_bad", f"{name} is a whole number")
    return value


def _hash(body: Mapping[object, object], name: str) -> bytes:
    value = body[name]
    if not isinstance(value, bytes) or len(value) != HASH_SIZE:
        raise Malformed("document_bad", f"{name} has {HASH_SIZE} bytes")
    return value
