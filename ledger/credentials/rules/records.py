"""What the `credentials` contract keeps in the state, and when it counts: grants, issuer keys, commitments, lists, licences.

Pure. A place is (epoch, index) of an entry, so that places of earlier epochs come before all of later ones.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ledger.credentials import model
from ledger.rules import Readable
from protocol import cbor

Place = tuple[int, int]  # epoch, index

DID, ISSUER = b"credentials/did/", b"credentials/issuer/"
TRUST, KEY, METHOD = b"credentials/trust/", b"credentials/key/", b"credentials/method/"
COMMITTED, LIST, LICENCE = b"credentials/id/", b"credentials/list/", b"credentials/licence/"
SIZE_MAX = 8192  # bytes of a record


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One accreditation, from the entry that said it on."""

    place: Place
    from_ms: int
    until_ms: int
    withdrawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLife:
    """An issuer key. since: where it was said; retired, compromised: from where on it signs nothing, or counts for nothing."""

    party: bytes
    method: str
    since: Place
    retired: Place | None = None
    compromised: Place | None = None

    def counts(self, place: Place) -> bool:
        """Whether what was logged under this key at a place counts, as far as is known now."""
        ends = [end for end in (self.retired, self.compromised) if end is not None]
        return self.since <= place and all(place < end for end in ends)

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.party, self.method, list(self.since), _pair(self.retired), _pair(self.compromised)])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes."""
        match cbor.decode(data, size_max=SIZE_MAX):
            case [bytes(party), str(method), since, retired, compromised]:
                return cls(
                    party=party,
                    method=method,
                    since=_place(since),
                    retired=_perhaps(retired),
                    compromised=_perhaps(compromised),
                )
        raise AssertionError("a key record is a list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A party that issues. keys: how many it has had."""

    did: str
    keys: int = 0

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.did, self.keys])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes."""
        match cbor.decode(data, size_max=SIZE_MAX):
            case [str(did), int(keys)]:
                return cls(did=did, keys=keys)
        raise AssertionError("an issuer record is a list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A credential as the log knows it. at_ms: the log's time; checked_ms: when the source was asked, of a verification."""

    party: bytes
    key: bytes
    type: str
    jurisdiction: str
    commitment: bytes
    place: Place
    at_ms: int
    checked_ms: int | None

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        said: list[object] = [self.party, self.key, self.type, self.jurisdiction, self.commitment]
        return cbor.encode([*said, list(self.place), self.at_ms, self.checked_ms])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes."""
        match cbor.decode(data, size_max=SIZE_MAX):
            case [bytes(party), bytes(key), str(kind), str(jurisdiction), bytes(said), place, int(at_ms), checked]:
                return cls(
                    party=party,
                    key=key,
                    type=kind,
                    jurisdiction=jurisdiction,
                    commitment=said,
                    place=_place(place),
                    at_ms=at_ms,
                    checked_ms=checked if isinstance(checked, int) else None,
                )
        raise AssertionError("a credential record is a list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The newest version of a status list."""

    party: bytes
    purpose: str
    n: int
    size: int
    digest: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.party, self.purpose, self.n, self.size, self.digest])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes."""
        match cbor.decode(data, size_max=SIZE_MAX):
            case [bytes(party), str(purpose), int(n), int(size), bytes(digest)]:
                return cls(party=party, purpose=purpose, n=n, size=size, digest=digest)
        raise AssertionError("a list record is a list")


def encode_grants(grants: Sequence[Grant]) -> bytes:
    """Deterministic CBOR."""
    return cbor.encode([[list(each.place), each.from_ms, each.until_ms, each.withdrawn] for each in grants])


def decode_grants(data: bytes) -> tuple[Grant, ...]:
    """Reads what `encode_grants` writes."""
    found = cbor.decode(data, size_max=SIZE_MAX)
    if not isinstance(found, list):
        raise AssertionError("grants are a list")
    return tuple(_grant(each) for each in found)


def grants_of(state: Readable, party: bytes, kind: str, jurisdiction: str) -> tuple[Grant, ...]:
    """What the root has said about a party, a type and exactly this jurisdiction, the oldest first."""
    held = state.get(trust_key(party, kind, jurisdiction))
    return () if held is None else _decoded(held)


def accredited(state: Readable, party: bytes, kind: str, jurisdiction: str, *, now_ms: int) -> bool:
    """Whether a party may vouch for a type in a jurisdiction now, by it or one that covers it."""
    places = model.covering(jurisdiction)
    return any(stands(grants_of(state, party, kind, each), at_ms=now_ms) for each in places)


def stands(grants: Sequence[Grant], *, at_ms: int, at: Place | None = None) -> bool:
    """Whether the newest grant, of those said before `at` (None: all), holds at a time."""
    said = [each for each in grants if at is None or each.place <= at]
    return bool(said) and not said[-1].withdrawn and said[-1].from_ms <= at_ms < said[-1].until_ms


def issuer_of(state: Readable, party: bytes) -> Issuer | None:
    """A party as an issuer. None: it was never accredited."""
    held = state.get(ISSUER + party)
    return None if held is None else Issuer.decode(held)


def key_of(state: Readable, thumbprint: bytes) -> KeyLife | None:
    """An issuer key. None: no issuer's."""
    held = state.get(KEY + thumbprint)
    return None if held is None else KeyLife.decode(held)


def committed_of(state: Readable, identity: bytes) -> Committed | None:
    """A credential by its id. None: nobody committed to it."""
    held = state.get(COMMITTED + identity)
    return None if held is None else Committed.decode(held)


def trust_key(party: bytes, kind: str, jurisdiction: str) -> bytes:
    """The state key of what was said about these three."""
    return TRUST + _hashed(party, kind, jurisdiction)


def licence_key(party: bytes, kind: str, jurisdiction: str) -> bytes:
    """The state key of a party's licence."""
    return LICENCE + _hashed(party, kind, jurisdiction)


def named(prefix: bytes, text: str) -> bytes:
    """The state key for a DID or a verification method, whose length is not bounded by a key's."""
    return prefix + hashlib.sha256(text.encode()).digest()


def _hashed(*parts: object) -> bytes:
    return hashlib.sha256(cbor.encode(list(parts))).digest()


_decoded = functools.lru_cache(maxsize=1024)(decode_grants)


def _grant(found: object) -> Grant:
    match found:
        case [place, int(from_ms), int(until_ms), bool(withdrawn)]:
            return Grant(place=_place(place), from_ms=from_ms, until_ms=until_ms, withdrawn=withdrawn)
    raise AssertionError("a grant is a list")


def _pair(place: Place | None) -> list[int] | None:
    return None if place is None else list(place)


def _perhaps(found: object) -> Place | None:
    return None if found is None else _place(found)


def _place(found: object) -> Place:
    match found:
        case [int(epoch), int(index)]:
            return epoch, index
    raise AssertionError("a place is an epoch and an index")
