"""What a log says of itself: its genesis."""

from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed

GENESIS = "application/vigil-genesis+cbor"


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
        body = fields.mapped(data, {"v", "origin", "epoch", "log_key", "registry_root", "prior"})
        prior = body["prior"]
        if prior is not None and not isinstance(prior, str):
            raise Malformed("document_bad", "prior is a checkpoint or null")
        return cls(
            origin=fields.text(body, "origin"),
            epoch=fields.number(body, "epoch"),
            log_key=fields.octets(body, "log_key", 32),
            registry_root=fields.octets(body, "registry_root", 32),
            prior=prior,
        )
