"""What is said of parties and their keys: admission, another key, revocation."""

from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed
from protocol.keys import PublicKey

REGISTRY = "application/vigil-registry+cbor"
PARTY_KEY = "application/vigil-party-key+cbor"
REVOCATION = "application/vigil-revocation+cbor"
ROLES = frozenset(
    {
        "auditor",
        "carrier",
        "gateway",
        "hospital",
        "institution",
        "insurer",
        "maker",
        "party",
        "pharmacy",
        "wholesaler",
    }
)
"""What a party can be admitted as: one of these. Each use case says in its policy what its roles may register."""
GATEWAY = "gateway"

_PARTY_KEY_INFO = b"vigil/1/party-key\x00"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyKey:
    """Another key of a party, by its newest one. log: the log's name; party: thumbprint of its first key, its name for life.

    until_ms: when the key that signs this stops counting, in the log's time; proof: the new key's own signature, so that
    nobody takes another's key for theirs.
    """

    log: str
    party: bytes
    key: bytes
    until_ms: int
    proof: bytes

    def signed_over(self) -> bytes:
        """What `proof` is a signature over: a label, and the document without its proof."""
        return _PARTY_KEY_INFO + cbor.encode(self._said())

    def check_proof(self) -> None:
        """Raises BadSignature unless the new key signed this."""
        PublicKey(self.key).verify(self.proof, self.signed_over())

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({**self._said(), "proof": self.proof})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "party", "key", "until", "proof"})
        return cls(
            log=fields.text(body, "log"),
            party=fields.octets(body, "party", 32),
            key=fields.octets(body, "key", 32),
            until_ms=fields.number(body, "until"),
            proof=fields.octets(body, "proof", 64),
        )

    def _said(self) -> dict[str, object]:
        return {"v": 1, "log": self.log, "party": self.party, "key": self.key, "until": self.until_ms}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """That a key of a party, or with None the whole party, is not to be believed from an entry of a log on.

    key: a thumbprint; epoch, index: of the first entry whose signature does not count, which may lie in the past.
    """

    log: str
    party: bytes
    key: bytes | None
    epoch: int
    index: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode(
            {"v": 1, "log": self.log, "party": self.party, "key": self.key, "epoch": self.epoch, "from": self.index}
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "party", "key", "epoch", "from"})
        return cls(
            log=fields.text(body, "log"),
            party=fields.octets(body, "party", 32),
            key=None if body["key"] is None else fields.octets(body, "key", 32),
            epoch=fields.number(body, "epoch"),
            index=fields.number(body, "from"),
        )


def registry_subject(thumbprint: bytes) -> str:
    """The subject of statements about the party with this name, the thumbprint of its first key."""
    return f"vigil:key:{thumbprint.hex()}"
