"""What a verifier knows of issuers and credentials: the ledger's statements, one after the other, and the status lists it holds.

It can be asked about now and about any time before: what was on the ledger then decides, but for thefts of keys, which count
from when they happened, however late they were said.
"""

import bisect
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from ledger.credentials import model
from ledger.credentials.model import Accreditation, Commitment, IssuerKey, IssuerKeyEnd, Listing
from ledger.credentials.rules import records
from ledger.credentials.rules.records import Committed, Grant, KeyLife, Place
from ledger.credentials.vc.status import StatusList
from ledger.credentials.verdict.known import Held, Key, Version
from protocol import documents
from protocol.documents import Revocation
from protocol.errors import Malformed
from protocol.keys import PublicKey
from protocol.statement import Statement


class Facts:
    """Built from the entries of one log in their order, and from lists. logs: the origins of its epochs; as_of_ms: when it was
    last read. committed, held, signer: where credentials, by id, lists, by digest, and the ledger keys that signed
    commitments, by id, are kept, when that is not in memory."""

    def __init__(
        self,
        *logs: str,
        committed: Callable[[bytes], Committed | None] | None = None,
        held: Callable[[bytes], Held | None] | None = None,
        signer: Callable[[bytes], bytes | None] | None = None,
    ) -> None:
        self.logs, self.as_of_ms = set(logs), 0
        self.next: Place = (0, 0)
        """The first entry that was not taken up."""
        self._dids: dict[bytes, str] = {}
        self._grants: dict[tuple[bytes, str, str], tuple[Grant, ...]] = {}
        self._grant_times: dict[Place, int] = {}
        self._keys: dict[str, Key] = {}
        self._methods: dict[bytes, str] = {}  # by thumbprint
        self._credentials: dict[bytes, Committed] = {}
        self._lists: dict[bytes, Held] = {}  # by digest
        self._signers: dict[bytes, bytes] = {}
        self._committed, self._held = committed or self._credentials.get, held or self._lists.get
        self._signer = signer or self._signers.get
        self._said_by: dict[str, bytes] = {}  # by method: the ledger key that said so
        self._revoked_keys: dict[bytes, Place] = {}  # ledger keys, and from where on they count no more
        self._revoked: dict[bytes, list[tuple[Place, int]]] = {}  # institutions, from where on, and when that was said
        self._versions: dict[bytes, list[Version]] = {}  # by list
        self._times: dict[bytes, list[int]] = {}  # of the versions of each
        self._named: dict[
            bytes, list[Version]
        ] = {}  # by digest: another institution may name the same bytes as its own
        self._placed: dict[bytes, tuple[str, str]] = {}  # by digest: the address and the issuer of a list that is held
        self._bound: dict[tuple[bytes, str], set[bytes]] = {}  # by institution and address: the lists that it has there

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
                self._said_by[document.method] = said.kid
            case model.ISSUER_KEY_END:
                self._end(place, IssuerKeyEnd.decode(said.payload))
            case model.CREDENTIAL:
                self._commit(place, at_ms, Commitment.decode(said.payload), party, said.kid)
            case model.STATUS_LIST:
                self._name(place, at_ms, Listing.decode(said.payload), party, said.kid)
            case documents.REVOCATION:
                self._revoke(at_ms, Revocation.decode(said.payload))
        self.next = (place[0], place[1] + 1)

    def hold(self, raw: bytes, found: StatusList, *, method: str) -> None:
        """Keep a list whose signature was checked. raw: its bytes, whose digest the ledger may have; method: of its key."""
        digest = hashlib.sha256(raw).digest()
        self._lists[digest] = Held(list=found, method=method)
        self.place(digest, url=found.url, issuer=found.issuer)

    def place(self, digest: bytes, *, url: str, issuer: str) -> None:
        """Say where a list is found that is held. issuer: the DID that it names."""
        self._placed[digest] = (url, issuer)
        for version in self._named.get(digest, ()):
            self._bind(version)

    def lose(self, digest: bytes) -> None:
        """A list is held no more."""
        self._placed.pop(digest, None)
        self._lists.pop(digest, None)

    def names(self, log: str) -> bool:
        """Whether this is the origin of an epoch of the log."""
        return log in self.logs

    def key(self, method: str) -> Key | None:
        """The issuer key of a verification method. None: no institution has said so."""
        found = self._keys.get(method)
        if found is None or self._void(self._said_by[method], found.life.party, found.life.since):
            return None
        return found

    def committed(self, identity: bytes) -> Committed | None:
        """A credential as the ledger knows it. None: nobody committed to it."""
        return self._committed(identity)

    def stands(self, identity: bytes, said: Committed) -> bool:
        """Whether a commitment stands: neither the ledger key that signed it nor its institution was revoked from before it."""
        return not self._void(self._signer(identity), said.party, said.place)

    def acts(self, party: bytes, *, known_ms: int) -> bool:
        """Whether an institution was not revoked, by what was on the ledger at a time of the log."""
        return all(at_ms > known_ms for _, at_ms in self._revoked.get(party, ()))

    def accredited(self, party: bytes, kind: str, jurisdiction: str, *, at_ms: int, known: Place | int) -> bool:
        """Whether an institution might vouch for a type there at a time. known: logged up to a place, or a time."""
        for each in model.covering(jurisdiction):
            said = self._grants.get((party, kind, each), ())
            if isinstance(known, int):
                held = [grant for grant in said if self._grant_times[grant.place] <= known]
            else:
                held = [grant for grant in said if grant.place <= known]
            if records.stands(held, at_ms=at_ms):
                return True
        return False

    def version(self, url: str, *, party: bytes, at_ms: int) -> tuple[Version | None, Held | None]:
        """The version of an institution's list at an address that was the newest at a time, and its bits when they are held.

        (None, None): no list at this address is one that the ledger names as that institution's.
        """
        newest: Version | None = None
        for name in self._bound.get((party, url), ()):
            count = bisect.bisect_right(self._times[name], at_ms)
            found = self._last(name, count)
            if found is not None and (newest is None or newest.place < found.place):
                newest = found
        return (None, None) if newest is None else (newest, self._held(newest.digest))

    def newest(self) -> Mapping[bytes, Version]:
        """The newest version of every list, by the list's name."""
        return {name: versions[-1] for name, versions in self._versions.items()}

    def holds(self, digest: bytes) -> bool:
        """Whether a version's bits are held."""
        return digest in self._placed

    def named(self, digest: bytes, *, issuer: str) -> bool:
        """Whether the ledger names these bytes as a list of the institution with this DID."""
        return any(self._dids.get(each.party) == issuer for each in self._named.get(digest, ()))

    def behind(self) -> list[tuple[str, bytes]]:
        """(address, institution) of the lists of which a newer version is out than any that is held."""
        found = []
        for (party, url), names in self._bound.items():
            last = [each for name in names if (each := self._last(name, len(self._versions[name]))) is not None]
            if last and max(last, key=lambda each: each.place).digest not in self._placed:
                found.append((url, party))
        return sorted(found)

    def _last(self, name: bytes, count: int) -> Version | None:
        """The last of so many versions of a list that stands."""
        versions = self._versions[name]
        for at in range(count - 1, -1, -1):
            if not self._void(versions[at].by, versions[at].party, versions[at].place):
                return versions[at]
        return None

    def _void(self, by: bytes | None, party: bytes, place: Place) -> bool:
        """Whether what a ledger key of an institution said at a place counts no more."""
        end = self._revoked_keys.get(by) if by is not None else None
        ends = [start for start, _ in self._revoked.get(party, ())]
        return any(place >= each for each in (ends if end is None else [*ends, end]))

    def _revoke(self, at_ms: int, found: Revocation) -> None:
        start = (found.epoch, found.index)
        if found.key is None:
            self._revoked.setdefault(found.party, []).append((start, at_ms))
        else:
            self._revoked_keys[found.key] = min(start, self._revoked_keys.get(found.key, start))

    def _name(self, place: Place, at_ms: int, found: Listing, party: bytes, by: bytes) -> None:
        version = Version(
            list=found.list,
            purpose=found.purpose,
            party=party,
            n=found.n,
            digest=found.digest,
            until_ms=found.until_ms,
            at_ms=at_ms,
            place=place,
            by=by,
        )
        self._versions.setdefault(found.list, []).append(version)
        self._times.setdefault(found.list, []).append(at_ms)
        self._named.setdefault(found.digest, []).append(version)
        self._bind(version)

    def _bind(self, version: Version) -> None:
        """Who names a list of somebody else's has no list there: it binds for its own issuer alone."""
        url, issuer = self._placed.get(version.digest, ("", ""))
        if issuer and self._dids.get(version.party) == issuer:
            self._bound.setdefault((version.party, url), set()).add(version.list)

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

    def _commit(self, place: Place, at_ms: int, found: Commitment, party: bytes, by: bytes) -> None:
        self._signers[found.id] = by
        self._credentials[found.id] = Committed(
            party=party,
            key=found.key,
            type=found.type,
            jurisdiction=found.jurisdiction,
            commitment=found.commitment,
            place=place,
            at_ms=at_ms,
            checked_ms=found.checked_ms,
        )
