"""What a holder shows: credentials, with a proof that they are the holder's, made for one question and good for no other.

VC Data Model 2.0 §4.13, a Data Integrity proof or application/vp+cose around it; or an SD-JWT VC with its key binding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import contexts, cose_vc, datamodel, did, integrity, jcs, sdjwt, secured
from ledger.credentials.vc.cose_vc import Envelope
from ledger.credentials.vc.integrity import Proof
from ledger.credentials.vc.sdjwt import SdJwt
from ledger.credentials.vc.secured import Secured
from protocol import base64text
from protocol.errors import BadSignature, Malformed
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey

SIZE_MAX = 1_048_576  # bytes of a presentation; a larger one is refused unread
CREDENTIALS_MAX = 32  # in one presentation; more are refused
AGE_MAX_S = sdjwt.BINDING_AGE_MAX_S  # of a proof; an older one answers nothing
SKEW_S = sdjwt.SKEW_S  # a proof may be made so much ahead of our clock
DATA_COSE = "data:application/vc+cose;base64,"
DATA_SD_JWT = "data:application/dc+sd-jwt,"
AUD, IAT, NONCE = 3, 6, 10  # CWT claims of an application/vp+cose. RFC 8392 §3.1, RFC 9711 §4.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """A presentation whose proofs nobody has checked yet. holder: the DID that shows it, None where nobody says so."""

    credentials: tuple[Secured, ...]
    holder: str | None
    document: Mapping[str, Any]
    made: Proof | Envelope | SdJwt


def item(raw: bytes) -> dict[str, Any]:
    """A credential as it stands in a presentation: whole, or in an envelope. VC Data Model 2.0 §4.13.1. Raises Malformed."""
    form = secured.read(raw).format
    if form == secured.DATA_INTEGRITY:
        return jcs.parse(raw)
    name = DATA_COSE + base64text.encode(raw) if form == secured.COSE else DATA_SD_JWT + raw.decode("ascii").strip()
    return {"@context": contexts.V2, "type": datamodel.ENVELOPED, "id": name}


def bare(items: Sequence[Mapping[str, Any]], *, holder: str) -> dict[str, Any]:
    """A presentation that nobody has signed yet."""
    return {
        "@context": [contexts.V2],
        "type": [datamodel.PRESENTATION],
        "holder": holder,
        "verifiableCredential": [dict(each) for each in items],
    }


def signed(
    items: Sequence[Mapping[str, Any]],
    key: SigningKey | P256SigningKey,
    *,
    nonce: str,
    audience: str,
    now_s: int,
) -> dict[str, Any]:
    """A presentation with a Data Integrity proof, by a holder whose DID is the key's did:key. Raises Malformed: json_*."""
    return integrity.sign(
        bare(items, holder=did.did_key(key.public)),
        key,
        method=did.key_method(key.public),
        created_s=now_s,
        purpose=did.AUTHENTICATION,
        challenge=nonce,
        domain=audience,
    )


def signed_in_cose(
    items: Sequence[Mapping[str, Any]],
    key: SigningKey | P256SigningKey,
    *,
    nonce: str,
    audience: str,
    now_s: int,
) -> bytes:
    """The same as application/vp+cose; CWT claims say for whom it is. Raises Malformed: json_*."""
    return cose_vc.sign(
        bare(items, holder=did.did_key(key.public)),
        key,
        method=did.key_method(key.public),
        typ=cose_vc.VP_COSE,
        claims={AUD: audience, IAT: now_s, NONCE: nonce.encode()},
    )


def read(raw: bytes) -> Presentation:
    """The presentation in some bytes: JSON, a COSE_Sign1 or an SD-JWT with its binding. Raises Malformed."""
    if len(raw) > SIZE_MAX:
        raise Malformed("vp_size", f"a presentation has at most {SIZE_MAX} bytes")
    if raw[:1] == b"\xd2":
        envelope = cose_vc.read(raw, size_max=SIZE_MAX)
        if envelope.typ != cose_vc.VP_COSE:
            raise Malformed("vp_format", "a credential alone is no presentation")
        return _of_document(envelope.document, envelope)
    if raw[:1] == b"{" or raw[:1].isspace():
        document = jcs.parse(raw, size_max=SIZE_MAX)
        proofs = integrity.proofs(document)
        if len(proofs) != 1:
            raise Malformed("vp_proof", "a presentation has one proof, the holder's")
        return _of_document(document, proofs[0])
    try:
        found = sdjwt.read(raw.decode("ascii").strip())
    except UnicodeDecodeError as error:
        raise Malformed("vp_format", "a presentation is JSON, COSE or an SD-JWT") from error
    credential = secured.of_sd_jwt(found, raw)
    return Presentation(credentials=(credential,), holder=credential.subject, document=found.claims, made=found)


def check(found: Presentation, *, nonce: str, audience: str, now_ms: int) -> str:
    """The DID of the holder, who signed this for this very question not long ago.

    Raises BadSignature, Malformed: vp_*, proof_*, binding_*, method_unknown, did_bad, multi*, key_*.
    """
    now_s = now_ms // 1000
    if found.holder is None:
        raise BadSignature("vp_holder_missing", "nobody says whose this is")
    if isinstance(found.made, SdJwt):
        sdjwt.check_binding(found.made, nonce=nonce, aud=audience, now_s=now_s)
        return found.holder
    key = did.key_of(found.holder)  # a holder is its key: no document has to be fetched
    if found.made.method != did.key_method(key):
        raise BadSignature("method_unknown", "not the method of the holder's key")
    if isinstance(found.made, Envelope):
        _check_claims(found.made, nonce=nonce, audience=audience, now_s=now_s)
        cose_vc.check(found.made, key)
        return found.holder
    proof = found.made
    integrity.check_use(proof, purpose=did.AUTHENTICATION, now_ms=now_ms, challenge=nonce, domain=audience)
    if proof.created_ms is None or proof.created_ms < (now_s - AGE_MAX_S) * 1000:
        raise BadSignature("proof_old", "made too long ago, or nobody says when")
    integrity.check(found.document, proof, key)
    return found.holder


def credential_of(found: object) -> Secured:
    """A credential as it stands in a presentation: whole, or in an envelope. Raises Malformed: vp_credential, and more."""
    if not isinstance(found, Mapping):
        raise Malformed("vp_credential", "a credential in a presentation is an object")
    if not datamodel.enveloped(found):
        return secured.of_json(found)
    name = str(found["id"])
    if name.startswith(DATA_COSE):
        return secured.read(base64text.decode(name.removeprefix(DATA_COSE), code="vp_credential"))
    if name.startswith(DATA_SD_JWT) and name.isascii():
        return secured.read(name.removeprefix(DATA_SD_JWT).encode())
    raise Malformed("vp_credential", "a credential in an envelope is application/vc+cose or application/dc+sd-jwt")


def _of_document(document: Mapping[str, Any], made: Proof | Envelope) -> Presentation:
    datamodel.check_presentation(document, within=False)  # what is within is checked as it is read
    items = datamodel.listed(document, "verifiableCredential")
    if not 0 < len(items) <= CREDENTIALS_MAX:
        raise Malformed("vp_credential", f"a presentation has at most {CREDENTIALS_MAX} credentials, and one at least")
    controller = made.method.partition("#")[0]
    if datamodel.holder_of(document) not in (None, controller):
        raise Malformed("vp_holder", "a presentation is signed by its holder")
    credentials = tuple(map(credential_of, items))
    return Presentation(credentials=credentials, holder=controller, document=document, made=made)


def _check_claims(envelope: Envelope, *, nonce: str, audience: str, now_s: int) -> None:
    claims = envelope.claims
    if claims.get(NONCE) != nonce.encode():
        raise BadSignature("proof_challenge", "not an answer to what was asked")
    if claims.get(AUD) != audience:
        raise BadSignature("proof_domain", "made for somebody else")
    iat_s = claims.get(IAT)
    if type(iat_s) is not int or not now_s - AGE_MAX_S <= iat_s <= now_s + SKEW_S:
        raise BadSignature("proof_old", "made too long ago, or in the future, or nobody says when")
