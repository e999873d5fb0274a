"""Statements about keys and rules, built and signed: what a registry root, a party or a log says of itself and others."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from protocol import documents, statement
from protocol.documents import Admission, Genesis, LogKey, PartyKey, Policy, Revocation
from protocol.keys import PublicKey, SigningKey
from protocol.p256 import P256SigningKey

_D = TypeVar("_D")


class _Encoded(Protocol):
    def encode(self) -> bytes: ...


def genesis(log: SigningKey, document: Genesis) -> bytes:
    """The first statement of a log."""
    return _signed(log, documents.log_subject(document.origin), document, documents.GENESIS)


def policy(root: SigningKey, document: Policy) -> bytes:
    """The registry root's policy for a log."""
    return _signed(root, documents.policy_subject(document.log), document, documents.POLICY)


def admission(root: SigningKey, document: Admission) -> bytes:
    """The registry root's word about a key: the same bytes each time, so that it is registered once."""
    subject = documents.registry_subject(PublicKey(document.key).thumbprint)
    return _signed(root, subject, document, documents.REGISTRY)


def revocation(signer: SigningKey, document: Revocation) -> bytes:
    """The end of a key or a party, by the registry root or by the party itself."""
    return _signed(signer, documents.registry_subject(document.party), document, documents.REVOCATION)


def party_key(old: SigningKey, new: SigningKey, *, log: str, party: bytes, until_ms: int) -> bytes:
    """The change of a party's key from `old`, its newest one, to `new`. until_ms: how long `old` counts too."""
    document = _proved(
        new,
        lambda proof: PartyKey(log=log, party=party, key=new.public.x, until_ms=until_ms, proof=proof),
        PartyKey.signed_over,
    )
    return _signed(old, documents.registry_subject(party), document, documents.PARTY_KEY)


def log_key(old: SigningKey, new: SigningKey | P256SigningKey, *, log: str, until_ms: int | None) -> bytes:
    """Another key of a log, by its newest Ed25519 key. until_ms: how long the key of its kind before it signs too."""
    document = _proved(
        new, lambda proof: LogKey(log=log, key=new.public, until_ms=until_ms, proof=proof), LogKey.signed_over
    )
    return _signed(old, documents.log_subject(log), document, documents.LOG_KEY)


def _proved(new: SigningKey | P256SigningKey, make: Callable[[bytes], _D], signed_over: Callable[[_D], bytes]) -> _D:
    return make(new.sign(signed_over(make(b""))))


def _signed(key: SigningKey, subject: str, document: _Encoded, content_type: str) -> bytes:
    return statement.sign(key, iss=key.public.urn, sub=subject, payload=document.encode(), content_type=content_type)
