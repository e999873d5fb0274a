"""What our statements say: genesis, admission, enrolment and anchor, each a CBOR map with text keys.

Genesis and admission travel in full. Enrolment and anchor stay with the gateway, and the ledger has their hash; an enrolment
is salted, so that nobody can guess it from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.errors import Malformed
from protocol.merkle import EMPTY_ROOT
from protocol.topics import DEVICE

GENESIS = "application/vigil-genesis+cbor"
REGISTRY = "application/vigil-registry+cbor"
ENROLMENT = "application/vigil-enrolment+cbor"
ANCHOR = "application/vigil-anchor+cbor"
ROLES = frozenset({"gateway"})
SIZE_MAX = 8192  # bytes of a document; a larger one is malformed
NAME_MAX = 128  # characters of a name
TIME_MAX_MS = 1 << 53
ENTRY_SIZE_MAX = 256  # bytes of a batch entry
FIRST_PREV = bytes(32)  # what the first anchor of a gateway names as the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The first statement of an epoch, signed by the log's key. prior: the last checkpoint of the epoch before, as a note."""

    origin: str
    epoch: int
    log_key: bytes
    registry_root: bytes
    prior: str | None = None

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode(
            {
                "v": 1,
                "origin": self.origin,
                "epoch": self.epoch,
                "log_key": self.log_key,
                "registry_root": self.registry_root,
                "prior": self.prior,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = _map(data, {"v", "origin", "epoch", "log_key", "registry_root", "prior"})
        prior = body["prior"]
        if prior is not None and not isinstance(prior, str):
            raise Malformed("document_bad", "prior is a checkpoint or null")
        return cls(
            origin=_text(body, "origin"),
            epoch=_number(body, "epoch"),
            log_key=_bytes(body, "log_key", 32),
            registry_root=_bytes(body, "registry_root", 32),
            prior=prior,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The registry root's word that a key has a role. name: of an institution, never of a person."""

    role: str
    key: bytes
    name: str

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({"v": 1, "role": self.role, "key": self.key, "name": self.name})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = _map(data, {"v", "role", "key", "name"})
        role = _text(body, "role")
        if role not in ROLES:
            raise Malformed("document_bad", "not a role")
        return cls(role=role, key=_bytes(body, "key", 32), name=_text(body, "name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """That a device with this key is on this link of this gateway. salt: 32 random bytes; gateway: thumbprint of its key."""

    salt: bytes
    gateway: bytes
    device: str
    key: bytes
    link: bytes
    at_ms: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode(
            {
                "v": 1,
                "salt": self.salt,
                "gateway": self.gateway,
                "device": self.device,
                "key": self.key,
                "link": self.link,
                "at": self.at_ms,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = _map(data, {"v", "salt", "gateway", "device", "key", "link", "at"})
        device = _text(body, "device")
        if not DEVICE.fullmatch(device):
            raise Malformed("document_bad", "a device is 16 hex digits")
        return cls(
            salt=_bytes(body, "salt", 32),
            gateway=_bytes(body, "gateway", 32),
            device=device,
            key=_bytes(body, "key", 32),
            link=_bytes(body, "link", 4),
            at_ms=_number(body, "at"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The root of one batch of messages. n counts from 0 for each gateway; prev: SHA-256 of the preimage before, zeros first.

    size: messages in the batch, perhaps none; from_ms, to_ms: the stretch of receiving time that it covers.
    """

    gateway: bytes
    n: int
    prev: bytes
    root: bytes
    size: int
    from_ms: int
    to_ms: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode(
            {
                "v": 1,
                "gateway": self.gateway,
                "n": self.n,
                "prev": self.prev,
                "root": self.root,
                "size": self.size,
                "from": self.from_ms,
                "to": self.to_ms,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = _map(data, {"v", "gateway", "n", "prev", "root", "size", "from", "to"})
        found = cls(
            gateway=_bytes(body, "gateway", 32),
            n=_number(body, "n"),
            prev=_bytes(body, "prev", 32),
            root=_bytes(body, "root", 32),
            size=_number(body, "size"),
            from_ms=_number(body, "from"),
            to_ms=_number(body, "to"),
        )
        if (found.n == 0) is not (found.prev == FIRST_PREV):
            raise Malformed("document_bad", "the first anchor, and no other, has none before it")
        if (found.size == 0) is not (found.root == EMPTY_ROOT):
            raise Malformed("document_bad", "an empty batch, and no other, has the root of the empty tree")
        if found.from_ms > found.to_ms:
            raise Malformed("document_bad", "a stretch of time does not end before it begins")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEntry:
    """One message in a batch. digest: SHA-256 of the message."""

    topic: str
    received_ms: int
    digest: bytes

    def encode(self) -> bytes:
        """CBOR `[1, topic, received_ms, digest]`."""
        return cbor.encode([1, self.topic, self.received_ms, self.digest])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        parts = cbor.decode(data, size_max=ENTRY_SIZE_MAX)
        if not isinstance(parts, list) or len(parts) != 4 or parts[0] != 1 or type(parts[0]) is not int:
            raise Malformed("document_bad", "a batch entry is [1, topic, received, digest]")
        body: dict[object, object] = {"topic": parts[1], "received": parts[2], "digest": parts[3]}
        return cls(topic=_text(body, "topic"), received_ms=_number(body, "received"), digest=_bytes(body, "digest", 32))


def anchor_subject(thumbprint: bytes) -> str:
    """The one subject of all anchors of the gateway with this key thumbprint."""
    return f"vigil:anchors:{thumbprint.hex()}"


def enrolment_subject(thumbprint: bytes) -> str:
    """The one subject of all enrolments of a gateway: a subject a device would tell who joined when."""
    return f"vigil:enrolments:{thumbprint.hex()}"


def registry_subject(thumbprint: bytes) -> str:
    """The subject of statements about the key with this thumbprint."""
    return f"vigil:key:{thumbprint.hex()}"


def _map(data: bytes, names: set[str]) -> Mapping[object, object]:
    body = cbor.decode(data, size_max=SIZE_MAX)
    if not isinstance(body, dict) or body.keys() != names or body["v"] != 1 or type(body["v"]) is not int:
        raise Malformed("document_bad", "not this version's fields")
    return body


def _text(body: Mapping[object, object], name: str) -> str:
    value = body[name]
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise Malformed("document_bad", f"{name} is a short text")
    return value


def _bytes(body: Mapping[object, object], name: str, size: int) -> bytes:
    value = body[name]
    if not isinstance(value, bytes) or len(value) != size:
        raise Malformed("document_bad", f"{name} has {size} bytes")
    return value


def _number(body: Mapping[object, object], name: str) -> int:
    value = body[name]
    if type(value) is not int or not 0 <= value < TIME_MAX_MS:
        raise Malformed("document_bad", f"{name} is a whole number")
    return value
