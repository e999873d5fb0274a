"""What the registry keeps in the state, and how it is read: genesis, the log's keys, parties and their keys."""

import functools
from dataclasses import dataclass
from typing import Self

from ledger.rules import Readable, State
from protocol import cbor, documents
from protocol.documents import Genesis
from protocol.keys import PublicKey
from protocol.p256 import P256PublicKey

GENESIS, ROOT_KEY, LOG_KEYS = b"genesis", b"root", b"log-keys"  # state keys
PARTY, KEY = b"party/", b"key/"  # state keys, each with a thumbprint
RECORD_SIZE_MAX = 8192  # bytes of a record in the state: the log's keys are the largest
RECORDS_MAX = 4096  # records that are remembered as read; the one not used for longest goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What the state says of a party. newest, previous: thumbprints of its keys; revoked: the index it ends at."""

    role: str
    name: str
    newest: bytes
    previous: bytes | None = None
    revoked: int | None = None

    def encode(self) -> bytes:
        """CBOR `[role, name, newest, previous, revoked]`."""
        return cbor.encode([self.role, self.name, self.newest, self.previous, self.revoked])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes; nothing else is in the state."""
        match cbor.decode(data, size_max=RECORD_SIZE_MAX):
            case [str(role), str(name), bytes(newest), (bytes() | None) as previous, (int() | None) as revoked]:
                return cls(role=role, name=name, newest=newest, previous=previous, revoked=revoked)
        raise AssertionError("not a party's record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What the state says of a party's key. until_ms: when it ends in the log's time; revoked: the index it ends at."""

    party: bytes
    key: PublicKey
    until_ms: int | None = None
    revoked: int | None = None

    def acts(self, now_ms: int) -> bool:
        """Whether it may sign now, as far as it alone is concerned."""
        return self.revoked is None and (self.until_ms is None or now_ms < self.until_ms)

    def encode(self) -> bytes:
        """CBOR `[party, key, until, revoked]`."""
        return cbor.encode([self.party, self.key.x, self.until_ms, self.revoked])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads what `encode` writes; nothing else is in the state."""
        match cbor.decode(data, size_max=RECORD_SIZE_MAX):
            case [bytes(party), bytes(x), (int() | None) as until_ms, (int() | None) as revoked]:
                return cls(party=party, key=PublicKey(x), until_ms=until_ms, revoked=revoked)
        raise AssertionError("not a key's record")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """A key that the log signs with. index: of the entry that declares it; until_ms: when it stops, in the log's time."""

    key: PublicKey | P256PublicKey
    index: int
    until_ms: int | None = None

    def signs(self, now_ms: int) -> bool:
        """Whether the log signs with it now. Signatures of before hold for ever."""
        return self.until_ms is None or now_ms < self.until_ms


def encode_log_keys(keys: tuple[LogKey, ...]) -> bytes:
    """CBOR `[[COSE_Key, index, until], ...]`, oldest first."""
    return cbor.encode([[each.key.cose_key(), each.index, each.until_ms] for each in keys])


@functools.lru_cache(maxsize=64)
def decode_log_keys(data: bytes) -> tuple[LogKey, ...]:
    """Reads what `encode_log_keys` writes; nothing else is in the state."""
    found = []
    listed = cbor.decode(data, size_max=RECORD_SIZE_MAX)
    for each in listed if isinstance(listed, list) else []:
        match each:
            case [dict() as key, int(index), (int() | None) as until_ms]:
                found.append(LogKey(key=documents.read_key(key), index=index, until_ms=until_ms))
    if not isinstance(listed, list) or len(found) < len(listed):
        raise AssertionError("not the log's keys")
    return tuple(found)


_party = functools.lru_cache(maxsize=RECORDS_MAX)(Party.decode)
_key = functools.lru_cache(maxsize=RECORDS_MAX)(Key.decode)
_root = functools.lru_cache(maxsize=64)(PublicKey)


def genesis_of(state: State) -> Genesis:
    """The genesis document of a log that has one; KeyError in a state that has none."""
    return Genesis.decode(state[GENESIS])


def begun(state: Readable) -> Genesis:
    """The genesis document, which is there whenever a statement is judged."""
    held = state.get(GENESIS)
    if held is None:
        raise AssertionError("no statement is judged before genesis")
    return _genesis(held)


_genesis = functools.lru_cache(maxsize=64)(Genesis.decode)


def root_of(state: Readable) -> PublicKey | None:
    """The registry root."""
    held = state.get(ROOT_KEY)
    return None if held is None else _root(held)


def log_keys(state: Readable) -> tuple[LogKey, ...]:
    """Every key that the log signs or signed with, oldest first; the last Ed25519 key is the one that signs checkpoints."""
    held = state.get(LOG_KEYS)
    return () if held is None else decode_log_keys(held)


def key_of(state: Readable, thumbprint: bytes) -> Key | None:
    """What is known of a party's key."""
    held = state.get(KEY + thumbprint)
    return None if held is None else _key(held)


def party_of(state: Readable, name: bytes) -> Party | None:
    """What is known of the party of this name."""
    held = state.get(PARTY + name)
    return None if held is None else _party(held)


def party_with(state: Readable, key: Key) -> Party:
    """The party of a key that is in the state."""
    found = party_of(state, key.party)
    if found is None:
        raise AssertionError("a key in the state belongs to a party")
    return found
