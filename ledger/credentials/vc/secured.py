"""A credential in any of its forms as one value: what it says, who is meant to have signed it, and the bytes that count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials import model
from ledger.credentials.vc import anchor, cose_vc, datamodel, did, integrity, jcs, jws, sdjwt, status
from ledger.credentials.vc.anchor import Anchor
from ledger.credentials.vc.integrity import Proof
from ledger.credentials.vc.multikey import VerifyingKey
from ledger.credentials.vc.sdjwt import SdJwt
from ledger.credentials.vc.status import Entry
from protocol import cose
from protocol.cose import Sign1
from protocol.errors import Malformed

DATA_INTEGRITY, COSE, SD_JWT = "ldp_vc", "vc+cose", "dc+sd-jwt"
FORMATS = (DATA_INTEGRITY, COSE, SD_JWT)
VCT = "urn:vigil:credential-type:"  # vct of an SD-JWT VC is this and the type


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A credential whose signature nobody has checked yet.

    signed: the bytes that the ledger's commitment is over; claims: what it says, in its own form; type: the last and most
    specific of its types; method: the verification method it names; subject: the DID that it is about, or of the key that an
    SD-JWT is bound to; until_ms: after it, it says nothing.
    """

    format: str
    raw: bytes
    signed: bytes
    claims: Mapping[str, Any]
    issuer: str
    method: str
    type: str
    subject: str | None
    anchor: Anchor | None
    status: Mapping[str, Entry]
    from_ms: int | None
    until_ms: int | None
    made: tuple[Proof, ...] | Sign1 | SdJwt

    @property
    def jurisdiction(self) -> str:
        """Where it holds, "*" when it does not say."""
        found = said(self.claims).get("jurisdiction", model.EVERYWHERE)
        return found if isinstance(found, str) else model.EVERYWHERE

    def check(self, key: VerifyingKey, *, now_ms: int) -> None:
        """Raises BadSignature, Malformed: proof_*, alg_*, unless the key signed it to assert it."""
        if isinstance(self.made, Sign1):
            cose.verify_sign1(self.made, key)
        elif isinstance(self.made, SdJwt):
            jws.check(self.made.token, key)
        else:
            proof = self._proof()
            integrity.check(self.claims, proof, key)
            integrity.check_use(proof, purpose=did.ASSERTION, now_ms=now_ms)

    def _proof(self) -> Proof:
        assert isinstance(self.made, tuple)
        return next(each for each in self.made if each.method == self.method)


def read(raw: bytes) -> Secured:
    """The credential in some bytes: JSON with a proof, a COSE_Sign1 or an SD-JWT. Raises Malformed."""
    if len(raw) > jcs.SIZE_MAX:
        raise Malformed("vc_size", f"a credential has at most {jcs.SIZE_MAX} bytes")
    first = raw[:1]
    if first == b"\xd2":
        return of_envelope(cose_vc.read(raw), raw)
    if first == b"{" or first.isspace():
        return of_json(jcs.parse(raw), raw)
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise Malformed("vc_format", "a credential is JSON, COSE or an SD-JWT") from error
    return of_sd_jwt(sdjwt.read(text), raw)


def of_json(claims: Mapping[str, Any], raw: bytes = b"") -> Secured:
    """The credential in an object with a proof. Raises Malformed: vc_*, proof_*, anchor_bad, status_entry."""
    made = tuple(integrity.proofs(claims))
    datamodel.check_credential(claims)
    issuer = datamodel.issuer_of(claims)
    own = next((each for each in made if each.method.partition("#")[0] == issuer), None)
    if own is None:
        raise Malformed("proof_issuer", "no proof of the credential is by a method of its issuer")
    if own.previous:  # it would count only as far as they do, and nobody here has their keys
        raise Malformed("proof_previous", "an issuer's proof that builds on those of others is not judged here")
    signed = jcs.canonical(claims)
    return _of_claims(claims, format=DATA_INTEGRITY, raw=raw or signed, signed=signed, method=own.method, made=made)


def of_envelope(envelope: cose_vc.Envelope, raw: bytes) -> Secured:
    """The credential in a COSE_Sign1. Raises Malformed: vc_*, proof_issuer, anchor_bad, status_entry."""
    if envelope.typ != cose_vc.VC_COSE:
        raise Malformed("vc_format", "a presentation is no credential")
    datamodel.check_credential(envelope.document)
    if envelope.method.partition("#")[0] != datamodel.issuer_of(envelope.document):
        raise Malformed("proof_issuer", "not signed by a method of its issuer")
    made = envelope.signed
    return _of_claims(envelope.document, format=COSE, raw=raw, signed=raw, method=envelope.method, made=made)


def of_sd_jwt(found: SdJwt, raw: bytes) -> Secured:
    """The credential in an SD-JWT VC. Raises Malformed: sd_claims, proof_issuer, anchor_bad, status_entry, jwk_bad, key_*."""
    claims = found.claims
    issuer, vct, method = claims.get("iss"), claims.get("vct"), found.token.header.get("kid")
    if not isinstance(issuer, str) or not isinstance(vct, str) or not isinstance(method, str):
        raise Malformed("sd_claims", "a credential says iss and vct, and kid names the verification method")
    if method.partition("#")[0] != issuer:
        raise Malformed("proof_issuer", "not signed by a method of its issuer")
    ledger = claims.get(anchor.CLAIM)
    if ledger is not None and not isinstance(ledger, Mapping):
        raise Malformed("anchor_bad", "an anchor is an object")
    holder = found.holder
    return Secured(
        format=SD_JWT,
        raw=raw,
        signed=found.token.raw.encode(),
        claims=claims,
        issuer=issuer,
        method=method,
        type=vct.removeprefix(VCT),
        subject=None if holder is None else did.did_key(holder),
        anchor=None if ledger is None else Anchor.read(ledger),
        status=status.entries_of(claims),
        from_ms=_numeric(claims, "nbf"),
        until_ms=_numeric(claims, "exp"),
        made=found,
    )


def said(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said about the subject: the credentialSubject, or of an SD-JWT VC the claims themselves."""
    if "vct" in claims:
        return claims
    subjects = datamodel.subjects_of(claims)
    return subjects[0] if subjects else {}


def _of_claims(
    claims: Mapping[str, Any],
    *,
    format: str,  # noqa: A002 - the standards' own word
    raw: bytes,
    signed: bytes,
    method: str,
    made: tuple[Proof, ...] | Sign1,
) -> Secured:
    first, last = datamodel.period(claims)
    subjects = datamodel.subjects_of(claims)
    name = subjects[0].get("id") if len(subjects) == 1 else None
    return Secured(
        format=format,
        raw=raw,
        signed=signed,
        claims=claims,
        issuer=datamodel.issuer_of(claims),
        method=method,
        type=datamodel.types_of(claims)[-1],
        subject=name if isinstance(name, str) else None,
        anchor=anchor.of_credential(claims),
        status=status.entries_of(claims),
        from_ms=first,
        until_ms=last,
        made=made,
    )


def _numeric(claims: Mapping[str, Any], name: str) -> int | None:
    """Unix ms of a NumericDate. Source: RFC 7519 §2."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 43:
        raise Malformed("sd_claims", f"{name} is a number of seconds")
    return round(value * 1000)
