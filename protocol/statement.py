"""Signed statements: what parties put on the ledger, in full or as the hash of it. RFC 9943 §6, RFC 9995, RFC 9597.

An entry of the log is the SHA-256 of the statement's bytes, tag 18 and empty unprotected header included.
"""

import functools
import hashlib
from typing import NamedTuple

from protocol import cose
from protocol.errors import BadSignature, Malformed
from protocol.keys import EDDSA, SIGNATURE_SIZE, PublicKey, SigningKey
from protocol.signatures import Claim

CWT_CLAIMS, PAYLOAD_HASH_ALG, PREIMAGE_TYPE, PAYLOAD_LOCATION = 15, 258, 259, 260
ISS, SUB, IAT = 1, 2, 6
SHA_256 = -16
SIZE_MAX = 65_536  # bytes of a statement; a larger one is refused before it is parsed
TEXT_MAX = 1024  # characters of issuer, subject and content types

_REQUIRED = {cose.ALG, cose.KID, CWT_CLAIMS}
_OPTIONAL = {cose.CONTENT_TYPE, PAYLOAD_HASH_ALG, PREIMAGE_TYPE, PAYLOAD_LOCATION}


class Statement(NamedTuple):
    """A parsed statement whose signature nobody has checked yet.

    kid: 32-byte thumbprint (RFC 9679); content_type: of the payload, or of the preimage when `hashed`;
    payload: the content, or SHA-256 of the preimage when `hashed`; iat_s: when it says it was issued; entry: 32 bytes;
    holds_under: the key under which its signature was seen to hold, when somebody looked already (`proved`).
    """

    raw: bytes
    kid: bytes
    iss: str
    sub: str
    iat_s: int | None
    content_type: str
    hashed: bool
    payload: bytes
    entry: bytes
    signed: cose.Sign1
    holds_under: bytes | None = None


def sign(key: SigningKey, *, iss: str, sub: str, payload: bytes, content_type: str, iat_s: int | None = None) -> bytes:
    """A statement with its content attached."""
    headers: dict[int, object] = {cose.CONTENT_TYPE: content_type}
    return _sign(key, headers, iss, sub, iat_s, payload)


def sign_hash_envelope(
    key: SigningKey, *, iss: str, sub: str, preimage: bytes, preimage_content_type: str, iat_s: int | None = None
) -> bytes:
    """A statement over the SHA-256 of `preimage`, which stays with the issuer. Source: RFC 9995."""
    headers: dict[int, object] = {PAYLOAD_HASH_ALG: SHA_256, PREIMAGE_TYPE: preimage_content_type}
    return _sign(key, headers, iss, sub, iat_s, hashlib.sha256(preimage).digest())


def parse(raw: bytes) -> Statement:
    """The statement in `raw`. Raises Malformed: cbor_*, cose_*, statement_*."""
    signed = cose.parse_sign1(raw, size_max=SIZE_MAX)
    headers = signed.protected
    if signed.unprotected:
        raise Malformed("statement_unprotected", "the unprotected header is empty when a statement is registered")
    if signed.payload is None:
        raise Malformed("statement_payload", "the payload is attached")
    said = _known(signed.protected_bytes) if len(signed.protected_bytes) <= cose.KNOWN_SIZE_MAX else None
    kid, iss, sub, iat_s, content_type, hashed = said or _said(headers)
    if hashed and len(signed.payload) != 32:
        raise Malformed("statement_hash", "the payload of a hash envelope is 32 bytes of SHA-256")
    return Statement(
        raw=raw,
        kid=kid,
        iss=iss,
        sub=sub,
        iat_s=iat_s,
        content_type=content_type,
        hashed=hashed,
        payload=signed.payload,
        entry=entry(raw),
        signed=signed,
    )


def verify(statement: Statement, key: cose.Verifier, *, thumbprint: bytes) -> None:
    """Raises BadSignature unless `key`, whose thumbprint is given, made the statement and is the one it names."""
    if statement.kid != thumbprint:
        raise BadSignature("kid_mismatch", "signed under the name of another key")
    if statement.holds_under is None or statement.holds_under != getattr(key, "x", None):
        cose.verify_sign1(statement.signed, key)


def claim(statement: Statement, key: PublicKey) -> Claim | None:
    """What has to be verified for `verify` to pass under `key`; None when something else is wrong with the statement."""
    signed = statement.signed
    alg, signature = signed.protected[cose.ALG], signed.signature
    if type(alg) is not int or alg not in key.algs or cose.CRIT in signed.protected or len(signature) != SIGNATURE_SIZE:
        return None
    return signature + cose.signature_input(signed.protected_bytes, b"", signed.payload or b""), key.x


def proved(statement: Statement, seen: Claim) -> Statement:
    """The statement after its `claim` was seen to hold: `verify` does not look again under the same key."""
    return statement._replace(holds_under=seen[1])


def entry(raw: bytes) -> bytes:
    """32 bytes: what the log holds of a statement."""
    return hashlib.sha256(raw).digest()


def _sign(key: SigningKey, headers: dict[int, object], iss: str, sub: str, iat_s: int | None, payload: bytes) -> bytes:
    claims: dict[int, object] = {ISS: iss, SUB: sub}
    if iat_s is not None:
        claims[IAT] = iat_s
    protected = {cose.ALG: EDDSA, cose.KID: key.public.thumbprint, CWT_CLAIMS: claims, **headers}
    return cose.sign1(key, protected=protected, payload=payload)


def _said(headers: cose.Headers) -> tuple[bytes, str, str, int | None, str, bool]:
    """(kid, iss, sub, iat, content type, whether hashed) as the protected header has them. Raises Malformed: statement_*."""
    if not _REQUIRED <= headers.keys() <= _REQUIRED | _OPTIONAL:
        raise Malformed("statement_headers", "headers are alg, kid, CWT claims, and a content type or hash envelope")
    kid = headers[cose.KID]
    if not isinstance(kid, bytes) or len(kid) != 32:
        raise Malformed("statement_kid", "kid is the 32-byte thumbprint of the key")
    return kid, *_claims(headers[CWT_CLAIMS]), *_content_type(headers)


@functools.lru_cache(maxsize=cose.KNOWN_MAX)
def _known(protected_bytes: bytes) -> tuple[bytes, str, str, int | None, str, bool]:
    """The same, read once for all the statements that have the same header."""
    return _said(cose.known_header(protected_bytes))


def _claims(value: object) -> tuple[str, str, int | None]:
    if not isinstance(value, dict) or not {ISS, SUB} <= value.keys() <= {ISS, SUB, IAT}:
        raise Malformed("statement_claims", "the CWT claims are issuer, subject and perhaps the time of issue")
    iss, sub, iat_s = value[ISS], value[SUB], value.get(IAT)
    for text in (iss, sub):
        if not isinstance(text, str) or not 0 < len(text) <= TEXT_MAX:
            raise Malformed("statement_claims", "issuer and subject are texts")
    if iat_s is not None and (type(iat_s) is not int or not 0 <= iat_s < 1 << 53):
        raise Malformed("statement_claims", "the time of issue is a whole number of seconds")
    return iss, sub, iat_s


def _content_type(headers: cose.Headers) -> tuple[str, bool]:
    hashed = PAYLOAD_HASH_ALG in headers
    found = headers.get(PREIMAGE_TYPE if hashed else cose.CONTENT_TYPE)
    if hashed:
        if cose.CONTENT_TYPE in headers:
            raise Malformed("statement_content_type", "a hash envelope has no content type of its own")
        alg = headers[PAYLOAD_HASH_ALG]
        if type(alg) is not int or alg != SHA_256:
            raise Malformed("statement_hash", "the payload of a hash envelope is SHA-256")
    elif PREIMAGE_TYPE in headers or PAYLOAD_LOCATION in headers:
        raise Malformed("statement_headers", "only a hash envelope has a preimage")
    location = headers.get(PAYLOAD_LOCATION, "none")
    if not isinstance(location, str) or not 0 < len(location) <= TEXT_MAX:
        raise Malformed("statement_location", "a location is a text")
    if not isinstance(found, str) or not 0 < len(found) <= TEXT_MAX:
        raise Malformed("statement_content_type", "a content type as text is required")
    return found, hashed


def check_preimage(statement: Statement, preimage: bytes) -> None:
    """Raises BadSignature: preimage_mismatch, unless the statement is a hash envelope over `preimage`."""
    if not statement.hashed or hashlib.sha256(preimage).digest() != statement.payload:
        raise BadSignature("preimage_mismatch", "the statement is not over this document")
