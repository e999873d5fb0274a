"""What a gateway says of a batch of messages: its anchor, and the entries that the batch is made of."""

from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed
from protocol.merkle import EMPTY_ROOT

ANCHOR = "application/vigil-anchor+cbor"
ENTRY_SIZE_MAX = 256  # bytes of a batch entry
FIRST_PREV = bytes(32)  # what the first anchor of a gateway names as the one before


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
        body = fields.mapped(data, {"v", "gateway", "n", "prev", "root", "size", "from", "to"})
        found = cls(
            gateway=fields.octets(body, "gateway", 32),
            n=fields.number(body, "n"),
            prev=fields.octets(body, "prev", 32),
            root=fields.octets(body, "root", 32),
            size=fields.number(body, "size"),
            from_ms=fields.number(body, "from"),
            to_ms=fields.number(body, "to"),
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
        return cls(
            topic=fields.text(body, "topic"),
            received_ms=fields.number(body, "received"),
            digest=fields.octets(body, "digest", 32),
        )


def anchor_subject(thumbprint: bytes) -> str:
    """The one subject of all anchors of the gateway with this key thumbprint."""
    return f"vigil:anchors:{thumbprint.hex()}"
