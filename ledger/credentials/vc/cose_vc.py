"""Credentials and presentations in COSE_Sign1: application/vc+cose and vp+cose. W3C VC-JOSE-COSE §3.3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import jcs
from ledger.credentials.vc.multikey import VerifyingKey
from protocol import cose
from protocol.errors import Malformed
from protocol.keys import SigningKey
from protocol.p256 import P256SigningKey

CWT_CLAIMS, TYP = 15, 16  # RFC 9597, RFC 9596
VC_COSE, VP_COSE = "application/vc+cose", "application/vp+cose"
VC, VP = "application/vc", "application/vp"
CONTENT = {VC_COSE: VC, VP_COSE: VP}
SIZE_MAX = jcs.SIZE_MAX
METHOD_MAX = 512  # bytes of a verification method


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is in one, its signature not checked yet. typ: VC_COSE or VP_COSE; method: the verification method it names;
    claims: the CWT claims of a presentation, which say for whom it was made."""

    raw: bytes
    typ: str
    method: str
    document: Mapping[str, Any]
    claims: Mapping[object, object]
    signed: cose.Sign1


def sign(
    document: Mapping[str, Any],
    key: SigningKey | P256SigningKey,
    *,
    method: str,
    typ: str = VC_COSE,
    claims: Mapping[int, object] | None = None,
) -> bytes:
    """The document, canonical, in a COSE_Sign1 with its type. Raises Malformed: json_*."""
    protected = {cose.ALG: key.alg, cose.CONTENT_TYPE: CONTENT[typ], cose.KID: method.encode(), TYP: typ}
    if claims:
        protected[CWT_CLAIMS] = dict(claims)
    return cose.sign1(key, protected=protected, payload=jcs.canonical(dict(document)))


def read(raw: bytes, *, size_max: int = SIZE_MAX) -> Envelope:
    """Raises Malformed: vc_cose, cose_*, cbor_*, json_*."""
    signed = cose.parse_sign1(raw, size_max=size_max)
    head = signed.protected
    typ, method = head.get(TYP), head.get(cose.KID)
    if not isinstance(typ, str) or typ not in CONTENT or head.get(cose.CONTENT_TYPE, CONTENT.get(typ)) != CONTENT[typ]:
        raise Malformed("vc_cose", "an envelope of a credential or a presentation says so in its type")
    if not isinstance(method, bytes) or not 0 < len(method) <= METHOD_MAX:
        raise Malformed("vc_cose", "kid names the verification method")
    if signed.unprotected or signed.payload is None:
        raise Malformed("vc_cose", "everything in the envelope is signed")
    known = {cose.ALG, cose.CONTENT_TYPE, cose.KID, TYP, cose.CRIT} | ({CWT_CLAIMS} if typ == VP_COSE else set())
    claims = head.get(CWT_CLAIMS, {})
    if not head.keys() <= known or not isinstance(claims, Mapping):
        raise Malformed("vc_cose", "an envelope has headers that nobody knows")
    try:
        name = method.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("vc_cose", "a verification method is a DID URL") from error
    document = jcs.parse(signed.payload, size_max=size_max)
    return Envelope(raw=raw, typ=typ, method=name, document=document, claims=claims, signed=signed)


def check(envelope: Envelope, key: VerifyingKey) -> None:
    """Raises BadSignature, Malformed: crit_unsupported, unless the key signed this."""
    cose.verify_sign1(envelope.signed, key)
