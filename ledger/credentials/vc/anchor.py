"""How a credential names what the ledger has of it: a random id, the log, and the nonce without which nobody matches the two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ledger.credentials import model
from protocol import base64text
from protocol.errors import Malformed

TYPE = "LedgerCommitment"  # of the evidence item that carries it. VC Data Model 2.0 §5.6
CLAIM = "ledger"  # the claim that carries it in an SD-JWT VC
URN = "urn:vigil:credential:"
ID_SIZE, NONCE_SIZE = 16, 32
LOG_MAX = 128  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """id: 16 random bytes, under which the commitment is registered; log: its origin; nonce: 32 random bytes, never logged."""

    id: bytes
    log: str
    nonce: bytes

    def said(self) -> dict[str, str]:
        """The members that a credential carries."""
        return {"id": URN + self.id.hex(), "log": self.log, "nonce": "u" + base64text.encode_url(self.nonce)}

    def evidence(self) -> dict[str, object]:
        """The evidence item that a credential of the VC Data Model carries."""
        return {"type": [TYPE], **self.said()}

    def commitment(self, signed: bytes) -> bytes:
        """32 bytes for the ledger. signed: the credential's bytes."""
        return model.commitment(self.nonce, signed)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """Reads what `said` writes. Raises Malformed: anchor_bad."""
        name, log, nonce = found.get("id"), found.get("log"), found.get("nonce")
        if not isinstance(name, str) or not isinstance(log, str) or not isinstance(nonce, str):
            raise Malformed("anchor_bad", "an anchor has an id, a log and a nonce")
        digits = name.removeprefix(URN)
        try:
            identity = bytes.fromhex(digits)
        except ValueError as error:
            raise Malformed("anchor_bad", "an id is 32 hex digits") from error
        if URN + identity.hex() != name or len(identity) != ID_SIZE or not 0 < len(log) <= LOG_MAX:
            raise Malformed("anchor_bad", "an id is 32 hex digits, a log's name a short text")
        if not nonce.startswith("u") or len(nonce) != 44:
            raise Malformed("anchor_bad", "a nonce is 32 bytes in multibase base64url")
        return cls(id=identity, log=log, nonce=base64text.decode_url(nonce[1:], code="anchor_bad"))


def of_credential(credential: Mapping[str, Any]) -> Anchor | None:
    """The anchor of a credential of the VC Data Model; None when it has none. Raises Malformed: anchor_bad."""
    evidence = credential.get("evidence", [])
    items = evidence if isinstance(evidence, list) else [evidence]
    found = [each for each in items if isinstance(each, Mapping) and TYPE in _types(each)]
    if len(found) > 1:
        raise Malformed("anchor_bad", "a credential is committed to once")
    return Anchor.read(found[0]) if found else None


def _types(found: Mapping[str, Any]) -> list[Any]:
    types = found.get("type", [])
    return types if isinstance(types, list) else [types]
