"""What the `credentials` contract reads: who may vouch for what, with which key, for which commitment, and which list is newest.

Each is a CBOR map with text keys, registered in full. None of them says whom a credential is about, or what stands in it.
"""

import hashlib
import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Self

from protocol import cbor
from protocol.documents import fields
from protocol.errors import Malformed
from protocol.keys import PublicKey

ACCREDITATION = "application/vigil-accreditation+cbor"
ISSUER_KEY = "application/vigil-issuer-key+cbor"
ISSUER_KEY_END = "application/vigil-issuer-key-end+cbor"
CREDENTIAL = "application/vigil-credential+cbor"
STATUS_LIST = "application/vigil-status-list+cbor"
LICENCE = "application/vigil-licence+cbor"

TYPES = frozenset(
    {
        "BoardCertification",
        "ComplianceRecord",
        "DEARegistration",
        "Degree",
        "EmploymentRecord",
        "ImmunisationRecord",
        "PrimarySourceVerification",
        "Privilege",
        "StateLicence",
        "Training",
    }
)
"""What a person's credential can be: the last and most specific of the types that it names."""
LICENCE_TYPES = frozenset({"AuthorizedTradingPartner"})
"""What an institution can be licensed as. AuthorizedTradingPartner: may trade medicines, as DSCSA has it."""
CHECKED_TYPE = "PrimarySourceVerification"  # says when a source was asked, which counts for its age
REVOCATION, SUSPENSION = "revocation", "suspension"
PURPOSES = frozenset({REVOCATION, SUSPENSION})  # statusPurpose of W3C Bitstring Status List v1.0 §2.2
LIST_SIZE_MIN = (
    131_072  # entries of a list: fewer would tell whose status is looked up. W3C Bitstring Status List v1.0 §3.3
)
LIST_SIZE_MAX = 1 << 24  # entries; a larger list is refused, for verifiers fetch the whole
DID_MAX = 512  # characters of a DID or DID URL
EVERYWHERE = "*"  # the jurisdiction that covers all

_ISSUER_KEY_INFO = b"vigil/1/issuer-key\x00"
_DID = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+")
_METHOD = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+#[A-Za-z0-9._:%-]+")
_JURISDICTION = re.compile(r"\*|[A-Z]{2}(-[A-Z0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accreditation:
    """The registry root's word that an institution may vouch for a type of credential in a jurisdiction, for a time.

    party: thumbprint of its first key, its name for life; did: under which it issues; jurisdiction: ISO 3166-1 ("US"), 3166-2
    ("US-CA") or "*"; from_ms, until_ms: in the log's time. A later one for the same three takes the place of an earlier one;
    withdrawn: it ends with this.
    """

    log: str
    party: bytes
    did: str
    type: str
    jurisdiction: str
    from_ms: int
    until_ms: int
    withdrawn: bool = False

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        said = {"v": 1, "log": self.log, "party": self.party, "did": self.did, **_grant(self)}
        return cbor.encode({**said, "withdrawn": self.withdrawn})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "party", "did", "type", "jurisdiction", "from", "until", "withdrawn"})
        from_ms, until_ms = _period(body)
        return cls(
            log=fields.text(body, "log"),
            party=fields.octets(body, "party", 32),
            did=_matched(body, "did", _DID),
            type=_of(body, "type", TYPES | LICENCE_TYPES),
            jurisdiction=_matched(body, "jurisdiction", _JURISDICTION),
            from_ms=from_ms,
            until_ms=until_ms,
            withdrawn=_mark(body, "withdrawn"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """An institution's own licence, by a party accredited for its type: about institutions, never about a person.

    party: who is licensed; type: what it may do, such as "AuthorizedTradingPartner".
    """

    log: str
    party: bytes
    type: str
    jurisdiction: str
    from_ms: int
    until_ms: int
    withdrawn: bool = False

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({"v": 1, "log": self.log, "party": self.party, **_grant(self), "withdrawn": self.withdrawn})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "party", "type", "jurisdiction", "from", "until", "withdrawn"})
        from_ms, until_ms = _period(body)
        return cls(
            log=fields.text(body, "log"),
            party=fields.octets(body, "party", 32),
            type=_of(body, "type", LICENCE_TYPES),
            jurisdiction=_matched(body, "jurisdiction", _JURISDICTION),
            from_ms=from_ms,
            until_ms=until_ms,
            withdrawn=_mark(body, "withdrawn"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """A key with which a party signs credentials, which is not its key of this log. key: Ed25519, 32 bytes.

    method: the verification method's DID URL, under `did`; proof: the new key's own signature, so that nobody takes another's.
    """

    log: str
    did: str
    method: str
    key: bytes
    proof: bytes

    def signed_over(self) -> bytes:
        """What `proof` is a signature over: a label, and the document without its proof."""
        return _ISSUER_KEY_INFO + cbor.encode(self._said())

    def check_proof(self) -> None:
        """Raises BadSignature unless the key signed this."""
        PublicKey(self.key).verify(self.proof, self.signed_over())

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({**self._said(), "proof": self.proof})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "did", "method", "key", "proof"})
        did, method = _matched(body, "did", _DID), _matched(body, "method", _METHOD)
        if method.partition("#")[0] != did:
            raise Malformed("document_bad", "a verification method is one of its DID's")
        return cls(
            log=fields.text(body, "log"),
            did=did,
            method=method,
            key=fields.octets(body, "key", 32),
            proof=fields.octets(body, "proof", 64),
        )

    def _said(self) -> dict[str, object]:
        return {"v": 1, "log": self.log, "did": self.did, "method": self.method, "key": self.key}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKeyEnd:
    """That an issuer key signs nothing more. key: its thumbprint.

    compromised: what was logged under it at or after (epoch, index) does not count, which may lie in the past; what was logged
    before stays. Otherwise it is retired with this statement, and everything stays.
    """

    log: str
    party: bytes
    key: bytes
    compromised: bool
    epoch: int
    index: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        said = {"v": 1, "log": self.log, "party": self.party, "key": self.key, "compromised": self.compromised}
        return cbor.encode({**said, "epoch": self.epoch, "from": self.index})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "party", "key", "compromised", "epoch", "from"})
        return cls(
            log=fields.text(body, "log"),
            party=fields.octets(body, "party", 32),
            key=fields.octets(body, "key", 32),
            compromised=_mark(body, "compromised"),
            epoch=fields.number(body, "epoch"),
            index=fields.number(body, "from"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """That a credential was issued, without saying to whom. id: 16 random bytes, which stand in the credential too.

    commitment: SHA-256 over its nonce and its bytes; key: thumbprint of the issuer key that signed it; checked_ms: for a
    PrimarySourceVerification alone, when the source was asked.
    """

    log: str
    id: bytes
    commitment: bytes
    type: str
    jurisdiction: str
    key: bytes
    checked_ms: int | None = None

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        said = {"v": 1, "log": self.log, "id": self.id, "commitment": self.commitment, "type": self.type}
        return cbor.encode({**said, "jurisdiction": self.jurisdiction, "key": self.key, "checked": self.checked_ms})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "id", "commitment", "type", "jurisdiction", "key", "checked"})
        kind = _of(body, "type", TYPES)
        if (body["checked"] is None) is (kind == CHECKED_TYPE):
            raise Malformed("document_bad", f"a {CHECKED_TYPE} says when the source was asked, and nothing else does")
        return cls(
            log=fields.text(body, "log"),
            id=fields.octets(body, "id", 16),
            commitment=fields.octets(body, "commitment", 32),
            type=kind,
            jurisdiction=_matched(body, "jurisdiction", _JURISDICTION),
            key=fields.octets(body, "key", 32),
            checked_ms=None if body["checked"] is None else fields.number(body, "checked"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """That a version of a status list is out. list: 16 random bytes, its name for life; n: of the version, from 1.

    digest: SHA-256 of the signed list credential; size: entries; until_ms: after it the list says nothing any more.
    """

    log: str
    list: bytes
    purpose: str
    n: int
    digest: bytes
    size: int
    until_ms: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        said = {"v": 1, "log": self.log, "list": self.list, "purpose": self.purpose, "n": self.n}
        return cbor.encode({**said, "digest": self.digest, "size": self.size, "until": self.until_ms})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes. Raises Malformed: document_bad."""
        body = fields.mapped(data, {"v", "log", "list", "purpose", "n", "digest", "size", "until"})
        n, size = fields.number(body, "n"), fields.number(body, "size")
        if n < 1 or not LIST_SIZE_MIN <= size <= LIST_SIZE_MAX or size % 8:
            raise Malformed("document_bad", f"a list has {LIST_SIZE_MIN} to {LIST_SIZE_MAX} entries, in whole bytes")
        return cls(
            log=fields.text(body, "log"),
            list=fields.octets(body, "list", 16),
            purpose=_of(body, "purpose", PURPOSES),
            n=n,
            digest=fields.octets(body, "digest", 32),
            size=size,
            until_ms=fields.number(body, "until"),
        )


def accreditation_subject(party: bytes) -> str:
    """The subject of what is said about an institution's accreditations."""
    return f"vigil:accreditation:{party.hex()}"


def licence_subject(party: bytes) -> str:
    """The subject of what is said about an institution's licences."""
    return f"vigil:licence:{party.hex()}"


def issuer_subject(party: bytes) -> str:
    """The subject of what is said about an issuer's keys."""
    return f"vigil:issuer:{party.hex()}"


def credential_subject(party: bytes) -> str:
    """The one subject of all commitments of an issuer: one for each credential would tell them apart."""
    return f"vigil:credentials:{party.hex()}"


def list_subject(party: bytes) -> str:
    """The one subject of all status lists of an issuer."""
    return f"vigil:status-lists:{party.hex()}"


def is_jurisdiction(text: str) -> bool:
    """Whether this is "*", or a code of ISO 3166-1 or 3166-2 by its form."""
    return _JURISDICTION.fullmatch(text) is not None


def covering(jurisdiction: str) -> tuple[str, ...]:
    """The jurisdictions that cover this one, itself first: a country its parts, "*" everything."""
    country, _, part = jurisdiction.partition("-")
    return tuple(dict.fromkeys((jurisdiction, country if part else jurisdiction, EVERYWHERE)))


def commitment(nonce: bytes, signed: bytes) -> bytes:
    """32 bytes that say nothing to who has not both. nonce: 32 random bytes; signed: the credential, as it was signed."""
    return hashlib.sha256(nonce + signed).digest()


def _grant(found: "Accreditation | Licence") -> dict[str, object]:
    said = {"type": found.type, "jurisdiction": found.jurisdiction}
    return {**said, "from": found.from_ms, "until": found.until_ms}


def _period(body: fields.Body) -> tuple[int, int]:
    from_ms, until_ms = fields.number(body, "from"), fields.number(body, "until")
    if from_ms >= until_ms:
        raise Malformed("document_bad", "a period begins before it ends")
    return from_ms, until_ms


def _matched(body: fields.Body, name: str, pattern: re.Pattern[str]) -> str:
    value = body[name]
    if not isinstance(value, str) or len(value) > DID_MAX or not pattern.fullmatch(value):
        raise Malformed("document_bad", f"{name} has not its form")
    return value


def _of(body: fields.Body, name: str, known: Set[str]) -> str:
    value = body[name]
    if not isinstance(value, str) or value not in known:
        raise Malformed("document_bad", f"not a known {name}")
    return value


def _mark(body: fields.Body, name: str) -> bool:
    value = body[name]
    if not isinstance(value, bool):
        raise Malformed("document_bad", f"{name} is true or false")
    return value
