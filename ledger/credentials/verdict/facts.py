"""What a verifier knows of issuers and credentials: the ledger's statements, one after the other, and the status lists it holds.

It can be asked about now and about any time before: what was on the ledger then decides, but for thefts of keys, which count
from when they happened, however late they were said.
"""

import bisect
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ledger.credentials import model
from ledger.credentials.model import Accreditation, Commitment, IssuerKey, IssuerKeyEnd, Listing
from ledger.credentials.rules import records
from ledger.credentials.rules.records import Committed, Grant, KeyLife, Place
from ledger.credentials.vc.status import StatusList
from protocol.errors import Malformed
from protocol.keys import PublicKey
from protocol.statement import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An issuer's key. did: of the institution whose it is."""

    key: PublicKey
    did: str
    life: KeyLife


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a status list, as the ledger names it. at_ms: the log's time when it did."""

    list: bytes
    purpose: str
    party: bytes
    n: int
    digest: bytes
    until_ms: int
    at_ms: int


class Facts:
    """Built from the entries of one log in their order, and from lists. log: its origin; as_of_ms: when it was last read."""

    def __init__(self, log: str) -> None:
        self.log, self.as_of_ms = log, 0
        self.next: Place = (0, 0)
        """The first entry that was not taken up."""
        self._dids: dict[bytes, str] = {}
        self._grants: dict[tuple[bytes, str, str], tuple[Grant, ...]] = {}
        self._grant_times: dict[Place, int] = {}
        self._keys: dict[str, Key] = {}
        self._methods: dict[bytes, str] = {}  # by thumbprint
        self._committed: dict[bytes, Committed] = {}
        self._versions: dict[bytes, list[Version]] = {}  # by list
        self._by_digest: dict[bytes, Version] = {}
        self._lists: dict[bytes, StatusList] = {}  # by digest
        self._digests: dict[str, list[bytes]] = {}  # by address

    def take(self, place: Place, at_ms: int, said: Statement, *, party: bytes) -> None:
        """Take up an entry that the log registered. party: the name of who signed it. Raises Malformed: document_bad."""
        match said.content_type:
            case model.ACCREDITATION:
                self._accredit(place, at_ms, Accreditation.decode(said.payload))
            case model.ISSUER_KEY:
                document = IssuerKey.decode(said.payload)
                key = PublicKey(document.key)
                life = KeyLife(party=party, method=document.method, since=place)
                self._keys[document.method] = Key(key=key, did=document.did, life=life)
                self._methods[key.thumbprint] = document.method
            case model.ISSUER_KEY_END:
                self._end(place, IssuerKeyEnd.decode(said.payload))
            case model.CREDENTIAL:
                self._commit(place, at_ms, Commitment.decode(said.payload), party)
            case model.STATUS_LIST:
                listing = Listing.decode(said.payload)
                version = Version(
                    list=listing.list,
                    purpose=listing.purpose,
                    party=party,
                    n=listing.n,
                    digest=listing.digest,
                    until_ms=listing.until_ms,
                    at_ms=at_ms,
                )
                self._versions.setdefault(listing.list, []).append(version)
                self._by_digest[listing.digest] = version
        self.next = (place[0], place[1] + 1)

    def hold(self, raw: bytes, found: StatusList) -> None:
        """Keep a list whose signature was checked. raw: its bytes, whose digest the ledger may have."""
        digest = hashlib.sha256(raw).digest()
        self._lists[digest] = found
        digests = self._digests.setdefault(found.url, [])
        if digest not in digests:
            digests.append(digest)

    def key(self, method: str) -> Key | None:
        """The issuer key of a verification method. None: no institution has said so."""
        return self._keys.get(method)

    def committed(self, identity: bytes) -> Committed | None:
        """A credential as the ledger knows it. None: nobody committed to it."""
        return self._committed.get(identity)

    def accredited(self, party: bytes, kind: str, jurisdiction: str, *, at_ms: int, at: Place | None = None) -> bool:
        """Whether an institution might vouch for a type there at a time, by what the log held at a place, or then."""
        for each in model.covering(jurisdiction):
            said = self._grants.get((party, kind, each), ())
            held = [grant for grant in said if (grant.place <= at if at else self._grant_times[grant.place] <= at_ms)]
            if records.stands(held, at_ms=at_ms):
                return True
        return False

    def version(self, url: str, *, at_ms: int) -> tuple[Version | None, StatusList | None]:
        """The version of the list at an address that was the newest at a time, and its bits when they are held.

        (None, None): no list at this address is one that the ledger names.
        """
        versions = next(
            (
                self._versions[self._by_digest[each].list]
                for each in self._digests.get(url, ())
                if each in self._by_digest
            ),
            [],
        )
        place = bisect.bisect_right([each.at_ms for each in versions], at_ms)
        if not place:
            return None, None
        newest = versions[place - 1]
        return newest, self._lists.get(newest.digest)

    def newest(self) -> Mapping[bytes, Version]:
        """The newest version of every list, by the list's name."""
        return {name: versions[-1] for name, versions in self._versions.items()}

    def holds(self, digest: bytes) -> bool:
        """Whether a version's bits are held."""
        return digest in self._lists

    def _accredit(self, place: Place, at_ms: int, found: Accreditation) -> None:
        self._dids[found.party] = found.did
        grant = Grant(place=place, from_ms=found.from_ms, until_ms=found.until_ms, withdrawn=found.withdrawn)
        name = (found.party, found.type, found.jurisdiction)
        self._grants[name] = (*self._grants.get(name, ()), grant)
        self._grant_times[place] = at_ms

    def _end(self, place: Place, found: IssuerKeyEnd) -> None:
        method = self._methods.get(found.key)
        if method is None:
            raise Malformed("document_bad", "the log registered the end of a key that it has not")
        known = self._keys[method]
        if found.compromised:
            life = replace(known.life, compromised=(found.epoch, found.index))
        else:
            life = replace(known.life, retired=place)
        self._keys[method] = replace(known, life=life)

    def _commit(self, place: Place, at_ms: int, found: Commitment, party: bytes) -> None:
        self._committed[found.id] = Committed(
            party=party,
            key=found.key,
            type=found.type,
            jurisdiction=found.jurisdiction,
            commitment=found.commitment,
            place=place,
            at_ms=at_ms,
            checked_ms=found.checked_ms,
        )
