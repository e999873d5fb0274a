"""DIDs and their documents: did:key computed, every other one from a table that somebody pinned. W3C DID 1.0, did:key v0.9.

Nothing here fetches: an address that comes with a credential is a name and no more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ledger.credentials.vc import jcs, multikey
from ledger.credentials.vc.multikey import VerifyingKey
from protocol import base64text
from protocol.errors import Malformed, NotFound
from protocol.keys import PublicKey
from protocol.p256 import P256PublicKey

ASSERTION, AUTHENTICATION = "assertionMethod", "authentication"  # verification relationships
DOCUMENT_MAX = 65_536  # bytes of a DID document
METHODS_MAX = 64  # verification methods of a document; more are refused
CONTEXT = ("https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1")

_DID = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DidDocument:
    """What a DID stands for. methods: keys by verification method; assertion, authentication: the methods that may be used so."""

    id: str
    methods: Mapping[str, VerifyingKey]
    assertion: frozenset[str]
    authentication: frozenset[str]

    def key(self, method: str, purpose: str) -> VerifyingKey:
        """The key of a method that may be used for a purpose. Raises NotFound: method_unknown; Malformed: method_purpose."""
        if method not in self.methods:
            raise NotFound("method_unknown", "the DID document has no such verification method")
        allowed = {ASSERTION: self.assertion, AUTHENTICATION: self.authentication}.get(purpose, frozenset())
        if method not in allowed:
            raise Malformed("method_purpose", f"the DID document does not list this method under {purpose}")
        return self.methods[method]

    def to_json(self) -> dict[str, Any]:
        """The document, with Multikeys."""
        methods = [
            {"id": name, "type": "Multikey", "controller": self.id, "publicKeyMultibase": multikey.encode(key)}
            for name, key in self.methods.items()
        ]
        return {
            "@context": list(CONTEXT),
            "id": self.id,
            "verificationMethod": methods,
            ASSERTION: sorted(self.assertion),
            AUTHENTICATION: sorted(self.authentication),
        }

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Reads a DID document; keys of kinds that nobody signs with here are left out. Raises Malformed: json_*, did_document,
        multi*, jwk_bad, key_*."""
        found = jcs.parse(data, size_max=DOCUMENT_MAX)
        did = found.get("id")
        if not isinstance(did, str) or not _DID.fullmatch(did):
            raise Malformed("did_document", "a DID document says whose it is")
        methods: dict[str, VerifyingKey] = {}
        related: dict[str, frozenset[str]] = {}
        for each in _objects(found.get("verificationMethod", [])):
            _take_up(each, did, methods)
        for purpose in (ASSERTION, AUTHENTICATION):
            names = set()
            for each in _list(found.get(purpose, [])):
                names.add(_take_up(each, did, methods) if isinstance(each, dict) else _absolute(each, did))
            related[purpose] = frozenset(names & methods.keys())
        return cls(id=did, methods=methods, assertion=related[ASSERTION], authentication=related[AUTHENTICATION])


class DidTable:
    """DIDs that can be resolved: did:key ones, and those of pinned documents."""

    def __init__(self, documents: Mapping[str, DidDocument] | None = None) -> None:
        self._documents = dict(documents or {})

    def resolve(self, did: str) -> DidDocument:
        """Raises NotFound: did_unknown; Malformed: did_bad, multi*, key_*."""
        if did.startswith("did:key:"):
            return document_of_did_key(did)
        if not _DID.fullmatch(did):
            raise Malformed("did_bad", "not a DID")
        if did not in self._documents:
            raise NotFound("did_unknown", "nobody has pinned the document of this DID here")
        return self._documents[did]


def did_key(key: VerifyingKey) -> str:
    """The key's did:key."""
    return f"did:key:{multikey.encode(key)}"


def key_method(key: VerifyingKey) -> str:
    """The one verification method of a key's did:key."""
    text = multikey.encode(key)
    return f"did:key:{text}#{text}"


def key_of(did: str) -> VerifyingKey:
    """The key of a did:key. Raises Malformed: did_bad, multi*, key_*."""
    if not did.startswith("did:key:"):
        raise Malformed("did_bad", "not a did:key")
    return multikey.decode(did.removeprefix("did:key:"))


def document_of_did_key(did: str) -> DidDocument:
    """The document that a did:key stands for. Raises Malformed: did_bad, multi*, key_*."""
    key = key_of(did)
    names = frozenset({key_method(key)})
    return DidDocument(id=did, methods={key_method(key): key}, assertion=names, authentication=names)


def to_jwk(key: VerifyingKey) -> dict[str, str]:
    """The key as a JSON Web Key. Source: RFC 7517, RFC 8037."""
    if isinstance(key, PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": base64text.encode_url(key.x)}
    return {"kty": "EC", "crv": "P-256", "x": base64text.encode_url(key.x), "y": base64text.encode_url(key.y)}


def from_jwk(jwk: object) -> VerifyingKey:
    """Reads a public JSON Web Key; one with a private part is refused. Raises Malformed: jwk_bad, key_*."""
    match jwk:
        case {"d": _}:
            raise Malformed("jwk_bad", "a private key is nobody else's business")
        case {"kty": "OKP", "crv": "Ed25519", "x": str(x)}:
            return PublicKey(_unb64(x))
        case {"kty": "EC", "crv": "P-256", "x": str(x), "y": str(y)}:
            return P256PublicKey(x=_unb64(x), y=_unb64(y))
    raise Malformed("jwk_bad", "a key is Ed25519 or P-256")


def _unb64(text: str) -> bytes:
    return base64text.decode_url(text, code="jwk_bad")


def _take_up(found: Mapping[str, Any], did: str, methods: dict[str, VerifyingKey]) -> str:
    """A verification method's name; its key joins `methods`, where nobody has the name yet."""
    if found.get("controller") != did:
        raise Malformed("did_document", "a method of a DID document is controlled by its DID")
    name = _absolute(found.get("id"), did)
    if name in methods:
        raise Malformed("did_document", "two verification methods have one name")
    key = _key(found)
    if key is not None:
        methods[name] = key
    return name


def _key(found: Mapping[str, Any]) -> VerifyingKey | None:
    """The key of a verification method; None: of a kind that nobody signs with here."""
    match found:
        case {"type": "Multikey" | "Ed25519VerificationKey2020", "publicKeyMultibase": str(text)}:
            try:
                return multikey.decode(text)
            except Malformed as error:
                if error.code == "multikey_unknown":
                    return None
                raise
        case {"type": "JsonWebKey" | "JsonWebKey2020", "publicKeyJwk": dict() as jwk}:
            signs = (jwk.get("kty"), jwk.get("crv")) in (("OKP", "Ed25519"), ("EC", "P-256"))
            return from_jwk(jwk) if signs or "d" in jwk else None
    return None


def _absolute(name: object, did: str) -> str:
    if isinstance(name, str) and name.startswith("#"):
        name = did + name
    if not isinstance(name, str) or name.partition("#")[0] != did:
        raise Malformed("did_document", "a verification method is named under its DID")
    return name


def _list(value: object) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    if len(found) > METHODS_MAX:
        raise Malformed("did_document", f"at most {METHODS_MAX} verification methods")
    return found


def _objects(value: object) -> list[Mapping[str, Any]]:
    found = _list(value)
    if not all(isinstance(each, dict) for each in found):
        raise Malformed("did_document", "verification methods are objects")
    return found
