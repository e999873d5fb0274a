"""What a gateway says of a device: its enrolment, which stays with the gateway; the ledger has its salted hash."""

from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed
from protocol.topics import DEVICE

ENROLMENT = "application/vigil-enrolment+cbor"


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
        body = fields.mapped(data, {"v", "salt", "gateway", "device", "key", "link", "at"})
        device = fields.text(body, "device")
        if not DEVICE.fullmatch(device):
            raise Malformed("document_bad", "a device is 16 hex digits")
        return cls(
            salt=fields.octets(body, "salt", 32),
            gateway=fields.octets(body, "gateway", 32),
            device=device,
            key=fields.octets(body, "key", 32),
            link=fields.octets(body, "link", 4),
            at_ms=fields.number(body, "at"),
        )


def enrolment_subject(thumbprint: bytes) -> str:
    """The one subject of all enrolments of a gateway: a subject a device would tell who joined when."""
    return f"vigil:enrolments:{thumbprint.hex()}"
