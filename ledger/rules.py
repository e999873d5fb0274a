"""What contracts take and give: a view of the state, a statement to judge, and the changes that it makes or a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol import statement
from protocol.errors import ProtocolError
from protocol.keys import PublicKey
from protocol.statement import Statement

State = Mapping[bytes, bytes]

ROOT = b"root"  # state key: the 32-byte public key of the registry root
LOG = b"log"  # state key: the 32-byte public key of the log
KEY_PREFIX = b"key/"  # state key with a thumbprint: the admission of that key


class Refused(ProtocolError):
    """The rules of registration say no to a statement that is well formed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a statement does to the state. puts: new values by state key."""

    puts: Mapping[bytes, bytes]


def check_signer(found: Statement, key: PublicKey) -> None:
    """Raises Refused: issuer_mismatch; BadSignature, unless `key` signed `found` under its own name."""
    if found.iss != key.urn:
        raise Refused("issuer_mismatch", "the issuer is not the name of the key that signed")
    statement.verify(found, key, thumbprint=key.thumbprint)


def check_form(found: Statement, *, hashed: bool, subject: str) -> None:
    """Raises Refused: form_not_allowed, location_not_allowed, subject_wrong."""
    if found.hashed is not hashed:
        raise Refused("form_not_allowed", "registered as a hash envelope" if hashed else "registered in full")
    if statement.PAYLOAD_LOCATION in found.signed.protected:
        raise Refused("location_not_allowed", "a place where the document lies says too much for a public log")
    if found.sub != subject:
        raise Refused("subject_wrong", "statements of this type by this issuer have one subject, which this is not")
