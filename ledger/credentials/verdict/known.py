"""What a verifier has to know to judge a credential, whoever keeps it: a log in memory, a party's database, a laptop's copy."""

from dataclasses import dataclass
from typing import Protocol

from ledger.credentials.rules.records import Committed, KeyLife, Place
from ledger.credentials.vc.status import StatusList
from protocol.keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An issuer's key. did: of the institution whose it is."""

    key: PublicKey
    did: str
    life: KeyLife


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a status list, as the ledger names it. place, at_ms: of the entry that does; by: the ledger key that
    signed it."""

    list: bytes
    purpose: str
    party: bytes
    n: int
    digest: bytes
    until_ms: int
    at_ms: int
    place: Place
    by: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A list whose signature was checked. method: of the key that made it."""

    list: StatusList
    method: str


class Known(Protocol):
    """Asked about now and about any time before: what was on the ledger then decides, but for thefts of keys, which count from
    when they happened, however late they were said."""

    @property
    def as_of_ms(self) -> int:
        """When the ledger was last seen whole, by our clock."""

    @property
    def next(self) -> Place:
        """The first entry that was not read."""

    def names(self, log: str) -> bool:
        """Whether this is the origin of an epoch of the log that is known."""

    def key(self, method: str) -> Key | None:
        """The issuer key of a verification method. None: no institution has said so."""

    def committed(self, identity: bytes) -> Committed | None:
        """A credential as the ledger knows it. None: nobody committed to it."""

    def stands(self, identity: bytes, said: Committed) -> bool:
        """Whether a commitment stands: neither the ledger key that signed it nor its institution was revoked from before it."""

    def acts(self, party: bytes, *, known_ms: int) -> bool:
        """Whether an institution was not revoked, by what was on the ledger at a time of the log."""

    def accredited(self, party: bytes, kind: str, jurisdiction: str, *, at_ms: int, known: Place | int) -> bool:
        """Whether an institution might vouch for a type there at a time. known: logged up to a place, or a time."""

    def version(self, url: str, *, party: bytes, at_ms: int) -> tuple[Version | None, Held | None]:
        """The version of an institution's list at an address that was the newest at a time of the log, and its bits when held.

        (None, None): no list at this address is one that the ledger names as that institution's.
        """
