"""Data Integrity proofs over canonical JSON: eddsa-jcs-2022 (Ed25519), and ecdsa-jcs-2019 (P-256) for keys of browsers.

W3C Verifiable Credential Data Integrity 1.0 §4, Data Integrity EdDSA Cryptosuites 1.0 §3.3, ECDSA Cryptosuites 1.0 §3.3.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import jcs, multikey, times
from ledger.credentials.vc.did import ASSERTION
from ledger.credentials.vc.multikey import VerifyingKey
from protocol.errors import BadSignature, Malformed
from protocol.keys import PublicKey, SigningKey
from protocol.p256 import P256SigningKey

EDDSA, ECDSA = "eddsa-jcs-2022", "ecdsa-jcs-2019"
TYPE = "DataIntegrityProof"
PROOFS_MAX = 8  # proofs of a document; more are refused
SKEW_MS = 300_000  # a proof may be made so much ahead of our clock
TEXT_MAX = 2048  # characters of a challenge, a domain or a proof's id

_KNOWN = frozenset(
    "@context id type cryptosuite created expires verificationMethod proofPurpose domain challenge nonce previousProof "
    "proofValue".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof as it stands in a document. options: its members without the value; value: 64 bytes of signature."""

    options: Mapping[str, Any]
    value: bytes
    id: str | None
    suite: str
    method: str
    purpose: str
    created_ms: int | None
    expires_ms: int | None
    challenge: str | None
    domain: str | None
    previous: tuple[str, ...]


def sign(
    document: Mapping[str, Any],
    key: SigningKey | P256SigningKey,
    *,
    method: str,
    created_s: int,
    purpose: str = ASSERTION,
    challenge: str | None = None,
    domain: str | None = None,
    previous: Sequence[str] = (),
    name: str | None = None,
) -> dict[str, Any]:
    """The document with one more proof. name: an id for it; previous: of proofs that this one covers too.

    Raises Malformed: proof_previous, json_*.
    """
    options: dict[str, Any] = {"type": TYPE, "cryptosuite": EDDSA if isinstance(key, SigningKey) else ECDSA}
    if name is not None:
        options["id"] = name
    options |= {"created": times.write(created_s * 1000), "verificationMethod": method, "proofPurpose": purpose}
    if challenge is not None:
        options["challenge"] = challenge
    if domain is not None:
        options["domain"] = domain
    if previous:
        options["previousProof"] = list(previous) if len(previous) > 1 else previous[0]
    if "@context" in document:
        options["@context"] = document["@context"]
    value = multikey.base58(key.sign(hashed(document, options, _covered(document, previous))))
    before = _listed(document)
    made = {**options, "proofValue": value}
    return {**document, "proof": [*before, made] if before else made}


def proofs(document: Mapping[str, Any]) -> list[Proof]:
    """The proofs of a document, in their order. Raises Malformed: proof_*, time_bad, multibase_bad."""
    found = [_read(each) for each in _listed(document)]
    if not found:
        raise Malformed("proof_missing", "the document has no proof")
    return found


def check(document: Mapping[str, Any], proof: Proof, key: VerifyingKey) -> None:
    """Raises BadSignature, Malformed: proof_context, proof_previous, proof_suite, unless the key made this proof."""
    wanted = EDDSA if isinstance(key, PublicKey) else ECDSA
    if proof.suite != wanted:
        raise Malformed("proof_suite", f"a proof by such a key is {wanted}")
    plain = dict(document)
    if "@context" in proof.options:
        plain["@context"] = _within(proof.options["@context"], document.get("@context"))
    key.verify(proof.value, hashed(plain, proof.options, _covered(document, proof.previous)))


def check_use(
    proof: Proof, *, purpose: str, now_ms: int, challenge: str | None = None, domain: str | None = None
) -> None:
    """Raises Malformed: proof_purpose, proof_created, proof_expired; BadSignature: proof_challenge, proof_domain."""
    if proof.purpose != purpose:
        raise Malformed("proof_purpose", f"made for {proof.purpose}, not for {purpose}")
    if proof.created_ms is not None and proof.created_ms > now_ms + SKEW_MS:
        raise Malformed("proof_created", "made in the future")
    if proof.expires_ms is not None and proof.expires_ms <= now_ms:
        raise Malformed("proof_expired", "the proof has ended")
    if challenge is not None and proof.challenge != challenge:
        raise BadSignature("proof_challenge", "not an answer to what was asked")
    if domain is not None and proof.domain != domain:
        raise BadSignature("proof_domain", "made for somebody else")


def hashed(document: Mapping[str, Any], options: Mapping[str, Any], covered: Sequence[Any] = ()) -> bytes:
    """64 bytes that are signed: SHA-256 of the options, then of the document without its proofs but those it covers."""
    plain = {name: value for name, value in document.items() if name != "proof"}
    if covered:
        plain["proof"] = list(covered)
    return hashlib.sha256(jcs.canonical(dict(options))).digest() + hashlib.sha256(jcs.canonical(plain)).digest()


def _covered(document: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """The proofs of the document with these ids, in its order."""
    found = [each for each in _listed(document) if each.get("id") in names]
    if len(found) != len(set(names)):
        raise Malformed("proof_previous", "a proof that this one builds on is not there")
    return found


def _listed(document: Mapping[str, Any]) -> list[Any]:
    found = document.get("proof", [])
    found = found if isinstance(found, list) else [found]
    if len(found) > PROOFS_MAX or not all(isinstance(each, dict) for each in found):
        raise Malformed("proof_shape", f"proofs are at most {PROOFS_MAX} objects")
    return found


def _read(found: Mapping[str, Any]) -> Proof:
    if not isinstance(found.get("type"), str):
        raise Malformed("proof_shape", "a proof has a type")
    if found["type"] != TYPE or found.get("cryptosuite") not in (EDDSA, ECDSA):
        raise Malformed("proof_suite", f"a proof is a {TYPE} of {EDDSA} or {ECDSA}")
    unknown = found.keys() - _KNOWN
    if unknown:
        raise Malformed("proof_shape", "a proof has members that nobody knows")
    texts = {name: _text(found, name) for name in ("verificationMethod", "proofPurpose", "proofValue")}
    value = multikey.unbase58(texts["proofValue"])
    if len(value) != 64:
        raise Malformed("proof_value", "a proof's value has 64 bytes")
    previous = found.get("previousProof", [])
    previous = previous if isinstance(previous, list) else [previous]
    if len(previous) > PROOFS_MAX or not all(isinstance(each, str) for each in previous):
        raise Malformed("proof_previous", "previous proofs are named by their ids")
    return Proof(
        options={name: each for name, each in found.items() if name != "proofValue"},
        value=value,
        id=_perhaps(found, "id"),
        suite=found["cryptosuite"],
        method=texts["verificationMethod"],
        purpose=texts["proofPurpose"],
        created_ms=times.read(found["created"]) if "created" in found else None,
        expires_ms=times.read(found["expires"]) if "expires" in found else None,
        challenge=_perhaps(found, "challenge"),
        domain=_perhaps(found, "domain"),
        previous=tuple(previous),
    )


def _within(signed: object, whole: object) -> object:
    """The context of a proof, which the document's begins with. Source: EdDSA Cryptosuites §3.3.2 step 5."""
    first = signed if isinstance(signed, list) else [signed]
    every = whole if isinstance(whole, list) else [whole]
    if every[: len(first)] != first:
        raise Malformed("proof_context", "the document's context does not begin with the one that was signed")
    return signed


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise Malformed("proof_shape", f"a proof has a text {name}")
    return value


def _perhaps(found: Mapping[str, Any], name: str) -> str | None:
    return _text(found, name) if name in found else None
