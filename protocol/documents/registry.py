"""What is said of keys: the registry root's admission."""

from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed

REGISTRY = "application/vigil-registry+cbor"
ROLES = frozenset({"gateway"})


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
        body = fields.mapped(data, {"v", "role", "key", "name"})
        role = fields.text(body, "role")
        if role not in ROLES:
            raise Malformed("document_bad", "not a role")
        return cls(role=role, key=fields.octets(body, "key", 32), name=fields.text(body, "name"))


def registry_subject(thumbprint: bytes) -> str:
    """The subject of statements about the key with this thumbprint."""
    return f"vigil:key:{thumbprint.hex()}"
