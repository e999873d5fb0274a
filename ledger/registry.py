"""Who may do what: genesis names the log's key and the registry root; the root's admissions give roles to other keys.

Pure. State: `root`, `log`, `genesis`; `party/<thumbprint>` with a party's role and name; `key/<thumbprint>` with whose key
it is. A party is called by the thumbprint of its first key, for life.
"""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from ledger.questions import HasRole, IsAdmitted, PartyOf
from ledger.questions import Party as PartyAnswer
from ledger.rules import LOG, MEMBER, ROOT, Changes, Contract, Issuer, Kind, Readable, Refused, State, View, check_form
from protocol import cbor, documents
from protocol.documents import Admission, Genesis
from protocol.keys import PublicKey
from protocol.statement import Statement

GENESIS, ROOT_KEY, LOG_KEY = b"genesis", b"root", b"log"  # state keys: the genesis document, and two keys of 32 bytes
PARTY, KEY = b"party/", b"key/"  # state keys, each with a thumbprint
RECORD_SIZE_MAX = 1024  # bytes of a record in the state: names are short
RECORDS_MAX = 4096  # records that are remembered as read; the one not used for longest goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What the state says of a party."""

    role: str
    name: str

    def encode(self) -> bytes:
        """CBOR `[role, name]`."""
        return cbor.encode([self.role, self.name])

    @classmethod
    @functools.lru_cache(maxsize=RECORDS_MAX)
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes; nothing else is in the state."""
        role, name = _record(data, 2)
        if not isinstance(role, str) or not isinstance(name, str):
            raise AssertionError("a party is [role, name]")
        return cls(role=role, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What the state says of a key. party: the name of whose it is."""

    party: bytes
    key: PublicKey

    def encode(self) -> bytes:
        """CBOR `[party, key]`."""
        return cbor.encode([self.party, self.key.x])

    @classmethod
    @functools.lru_cache(maxsize=RECORDS_MAX)
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes; nothing else is in the state."""
        party, x = _record(data, 2)
        if not isinstance(party, bytes) or not isinstance(x, bytes):
            raise AssertionError("a key is [party, key]")
        return cls(party=party, key=PublicKey(x))


def genesis_subject(origin: str) -> str:
    """The subject of the first statement of the log with this name."""
    return f"vigil:log:{origin}"


def genesis_of(state: State) -> Genesis:
    """The genesis document of a log that has one."""
    return Genesis.decode(state[GENESIS])


def beginner(state: Readable, found: Statement) -> Issuer:
    """The log itself, by the key that its genesis names. Raises Refused: genesis_exists; Malformed: document_bad."""
    if state.get(GENESIS) is not None:
        raise Refused("genesis_exists", "a log begins once")
    key = PublicKey(Genesis.decode(found.payload).log_key)
    return Issuer(key=key, party=key.thumbprint, role=LOG, name="")


def issuer(state: Readable, thumbprint: bytes, now_ms: int) -> Issuer:
    """Who may sign with the key of this thumbprint now. Raises Refused: genesis_missing, issuer_unknown."""
    held = state.get(KEY + thumbprint)
    if held is not None:
        key = Key.decode(held)
        party = party_of(state, key.party)
        return Issuer(key=key.key, party=key.party, role=party.role, name=party.name)
    for place, role in ((ROOT_KEY, ROOT), (LOG_KEY, LOG)):
        x = state.get(place)
        if x is None:
            raise Refused("genesis_missing", "a log begins with its genesis")
        if PublicKey(x).thumbprint == thumbprint:
            return Issuer(key=PublicKey(x), party=thumbprint, role=role, name="")
    raise Refused("issuer_unknown", "this log knows no such key")


def in_roles(found: Issuer, roles: Collection[str]) -> bool:
    """Whether an issuer is one of `roles`; MEMBER stands for every party."""
    return found.role in roles or (MEMBER in roles and found.role not in (ROOT, LOG))


def party_of(state: Readable, thumbprint: bytes) -> Party:
    """The party of this name, which is there."""
    held = state.get(PARTY + thumbprint)
    if held is None:
        raise AssertionError("a key in the state belongs to a party")
    return Party.decode(held)


def _begin(state: View, found: Statement, now_ms: int) -> Changes:
    """The first statement, by the log about itself. Raises Refused: key_has_other_duty; as check_form does."""
    document = Genesis.decode(found.payload)
    check_form(found, hashed=False, subject=genesis_subject(document.origin))
    if document.log_key == document.registry_root:
        raise Refused("key_has_other_duty", "the log's key and the registry root are two keys")
    puts = {GENESIS: found.payload, LOG_KEY: document.log_key, ROOT_KEY: document.registry_root}
    return Changes(puts=puts)


def _admit(state: View, found: Statement, now_ms: int) -> Changes:
    """The root's word about a key; a later one about the same key takes its place. Source: RFC 9943 §6.

    Raises Malformed: document_bad; Refused: key_has_other_duty; as check_form does.
    """
    if found.hashed:
        raise Refused("form_not_allowed", "registered in full")
    admission = Admission.decode(found.payload)
    admitted = PublicKey(admission.key)
    name = admitted.thumbprint
    check_form(found, hashed=False, subject=documents.registry_subject(name))
    if admission.key in (state.get(ROOT_KEY), state.get(LOG_KEY)):
        raise Refused("key_has_other_duty", "the keys of the log and of the registry have no other role")
    party = Party(role=admission.role, name=admission.name)
    return Changes(puts={PARTY + name: party.encode(), KEY + name: Key(party=name, key=admitted).encode()})


def _party(state: Readable, question: PartyOf, now_ms: int) -> PartyAnswer | None:
    held = state.get(KEY + question.key)
    if held is None:
        return None
    name = Key.decode(held).party
    party = party_of(state, name)
    return PartyAnswer(thumbprint=name, name=party.name, role=party.role, acting=True)


def _is_admitted(state: Readable, question: IsAdmitted, now_ms: int) -> bool:
    return state.get(KEY + question.key) is not None


def _has_role(state: Readable, question: HasRole, now_ms: int) -> bool:
    held = state.get(PARTY + question.party)
    return held is not None and Party.decode(held).role == question.role


def _record(data: bytes, count: int) -> list[object]:
    parts = cbor.decode(data, size_max=RECORD_SIZE_MAX)
    if not isinstance(parts, list) or len(parts) != count:
        raise AssertionError(f"a record of the state has {count} parts")
    return parts


CONTRACT = Contract(
    name="registry",
    kinds={
        documents.GENESIS: Kind(apply=_begin, roles=frozenset({LOG})),
        documents.REGISTRY: Kind(apply=_admit, roles=frozenset({ROOT})),
    },
    keys=(GENESIS, ROOT_KEY, LOG_KEY, PARTY, KEY),
    codes=frozenset({"genesis_exists", "key_has_other_duty"}),
    answers={PartyOf: _party, IsAdmitted: _is_admitted, HasRole: _has_role},
    lasting=True,
)
