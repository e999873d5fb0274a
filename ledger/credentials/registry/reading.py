"""What a party knows of issuers and credentials, from the ledger and on its disk; the same for a laptop that has a copy.

It runs the ledger's own contracts again over what it reads: whoever keeps the ledger cannot make it believe in an accreditation
that the registry root did not sign, or in a commitment by somebody who might not make one.
"""

import functools
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ledger import policy, registry
from ledger.contracts import Contracts
from ledger.credentials import model, rules
from ledger.credentials.model import Commitment
from ledger.credentials.registry.store import FILE, Followed, Said, Store
from ledger.credentials.rules.records import Committed, Place
from ledger.credentials.vc import cose_vc, jcs, secured, status
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict import Facts, Held, Key, Version
from ledger.monitor.edge import EMPTY, Edge
from ledger.questions import IsAdmitted
from ledger.registry import records
from protocol import documents, statement
from protocol.documents import PUBLIC, ROOT
from protocol.errors import Malformed, NotFound, ProtocolError, Unavailable, VerificationFailed
from protocol.keys import PublicKey
from protocol.statement import Statement

RULES = Contracts((registry.CONTRACT, policy.CONTRACT, rules.CONTRACT))
NAMES = tuple(contract.name for contract in RULES.all)
SEEN_EVERY_MS = 60_000  # so much older may seem, after a stop, what was seen when nothing was new
PARSED_MAX = 512  # lists that are in memory as bits, 16 kB each and more; the one not used for longest is read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry that one of the contracts judged, whose place in the tree was checked. at_ms: the log's time."""

    index: int
    at_ms: int
    statement: bytes


class Registry:
    """The database with what of it is in memory. Serves any number of threads; one process writes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.RLock()  # of who writes, however long it takes
        self._lock = threading.RLock()  # around what is in memory
        self._parsed = functools.lru_cache(maxsize=PARSED_MAX)(self._parse)
        self._followed: Followed = store.followed()
        self._kept_ms = self._followed.as_of_ms
        self._facts: Facts = self._loaded()
        self.changes = 0
        """Rises after anything changed that a verdict may rest on. Of this run alone."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The registry in a folder, made when it is not there. Raises Unavailable: state_unreadable."""
        return cls(Store.open(folder))

    @classmethod
    def reader(cls, path: Path) -> Self:
        """A registry that nobody writes here: a pack, or that of a party at work, as it is now. path: the file, or its folder.

        Raises NotFound: registry_missing; Unavailable: state_unreadable.
        """
        return cls(Store.reader(path / FILE if path.is_dir() else path))

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def pack(self, path: Path) -> None:
        """Copy it into a new file, for who has no network: what it knows is as old as it says. Raises Unavailable."""
        if path.exists():
            raise Unavailable("out_exists", f"{path} is there already: name a new file")
        self._store.pack(path)

    # -- what is known

    @property
    def as_of_ms(self) -> int:
        """When the ledger was last seen whole, by the clock of who read it."""
        return self._facts.as_of_ms

    @property
    def next(self) -> Place:
        """The first entry that was not read."""
        followed = self._followed
        return followed.epoch, followed.edge.size

    @property
    def followed(self) -> Followed:
        """How far the ledger was read."""
        return self._followed

    def names(self, log: str) -> bool:
        """Whether this is the origin of an epoch of the log."""
        return self._facts.names(log)

    def key(self, method: str) -> Key | None:
        """The issuer key of a verification method."""
        return self._facts.key(method)

    def committed(self, identity: bytes) -> Committed | None:
        """A credential as the ledger knows it."""
        return self._facts.committed(identity)

    def stands(self, identity: bytes, said: Committed) -> bool:
        """Whether a commitment stands: neither the ledger key that signed it nor its institution was revoked from before it."""
        return self._facts.stands(identity, said)

    def acts(self, party: bytes, *, known_ms: int) -> bool:
        """Whether an institution was not revoked, by what was on the ledger at a time of the log."""
        return self._facts.acts(party, known_ms=known_ms)

    def accredited(self, party: bytes, kind: str, jurisdiction: str, *, at_ms: int, known: Place | int) -> bool:
        """Whether an institution might vouch for a type there at a time. known: logged up to a place, or a time."""
        return self._facts.accredited(party, kind, jurisdiction, at_ms=at_ms, known=known)

    def version(self, url: str, *, party: bytes, at_ms: int) -> tuple[Version | None, Held | None]:
        """The version of an institution's list that was the newest at a time of the log, and its bits when held."""
        with self._lock:
            return self._facts.version(url, party=party, at_ms=at_ms)

    # -- reading the ledger

    def take(self, entries: Sequence[Entry], edge: Edge, *, origin: str, root: PublicKey) -> None:
        """Take up what follows of the epoch. entries: those of our contracts, in order; edge: of the tree with all of them;
        origin: of the log that signed it; root: the registry root that is trusted.

        Raises VerificationFailed: log_misjudged, when the rules refuse one; log_other, root_other; Unavailable: registry_failing.
        """
        with self._turn:
            followed, at_ms = self._followed, self._followed.at_ms
            said: list[tuple[Said, Statement]] = []
            signers: dict[bytes, bytes] = {}
            with self._store.writing():
                for each in entries:
                    at_ms = self._judge(each, at_ms, said, signers)
                self.check_begun(origin, root)
                self._store.add_said([one for one, _ in said])
                self._store.add_signers(signers)
                if followed.edge.size == 0:
                    self._store.begin_epoch(followed.epoch, origin)
                followed = replace(followed, edge=edge, at_ms=at_ms)
                self._store.follow(followed)
            # Stop here: on disk, and read again at the next start.
            with self._lock:
                self._followed = followed
                self._facts.logs.add(origin)
                for one, found in said:
                    self._facts.take((one.epoch, one.index), one.at_ms, found, party=one.party)
                self.changes += bool(entries)

    def check_begun(self, origin: str, root: PublicKey) -> None:
        """Raises VerificationFailed: log_other, root_other, unless this epoch began as who trusts the log expects."""
        if self._store.state.get(records.GENESIS) is None:
            raise VerificationFailed("log_other", "the log does not show how it began")
        genesis = records.begun(self._store.state)
        if genesis.origin != origin or genesis.epoch != self._followed.epoch:
            raise VerificationFailed("log_other", "the entries are of another log than the checkpoint")
        if genesis.registry_root != root.x:
            raise VerificationFailed("root_other", "the log has another registry root than the trust file names")

    def seen(self, note: str, *, as_of_ms: int) -> None:
        """All was read under this checkpoint, which was the newest then."""
        with self._turn:
            followed = replace(self._followed, note=note, as_of_ms=as_of_ms)
            if note != self._followed.note or as_of_ms - self._kept_ms >= SEEN_EVERY_MS:
                with self._store.writing():
                    self._store.follow(followed)
                self._kept_ms = as_of_ms
            self._followed, self._facts.as_of_ms = followed, as_of_ms

    def begin_next(self) -> None:
        """The epoch has ended and all of it was read: go on with the next."""
        with self._turn:
            carried = RULES.carried(dict(self._store.state))
            followed = replace(self._followed, epoch=self._followed.epoch + 1, edge=EMPTY, note="")
            with self._store.writing():
                self._store.carry(carried)
                self._store.follow(followed)
            self._followed = followed
            self.changes += 1

    def forget(self) -> None:
        """Throw away what was read of the ledger, so that it is read again from its beginning."""
        with self._turn, self._lock:
            self._store.forget()
            self._followed = self._store.followed()
            self._facts = self._loaded()
            self.changes += 1

    def may_read(self, thumbprint: bytes, *, now_ms: int) -> bool:
        """Whether the ledger tells this key of every commitment, by what was read."""
        with self._turn:
            in_force = policy.in_force(self._store.state)
            rule = None if in_force is None else in_force.rules.get(model.CREDENTIAL)
            if rule is None or rule.readers == PUBLIC:
                return True
            return RULES.ask(self._store.state, IsAdmitted(key=thumbprint), now_ms)

    # -- lists

    def hold(self, raw: bytes, *, url: str, tag: str, now_ms: int) -> bool:
        """Keep a list that came from an address, when the ledger names it; whether it does.

        Raises Malformed: list_*, vc_*, json_*; BadSignature; NotFound: key_unknown.
        """
        found, bits = read_list(raw)
        if bits.url != url:
            raise Malformed("list_address", "the list is of another address")
        key = self.key(found.method)
        if key is None or key.did != bits.issuer:
            raise NotFound("key_unknown", "the ledger has no such key of this issuer")
        found.check(key.key, now_ms=now_ms)
        digest = hashlib.sha256(raw).digest()
        with self._turn:
            if not self._facts.named(digest, issuer=bits.issuer):
                return False
            gone = self._store.put_list(digest, url=url, issuer=bits.issuer, raw=raw, tag=tag)
            # Stop here: kept, and found at the next start.
            with self._lock:
                self._facts.place(digest, url=url, issuer=bits.issuer)
                for each in gone:
                    self._facts.lose(each)
                self.changes += 1
        return True

    def behind(self) -> list[tuple[str, bytes]]:
        """(address, institution) of the lists of which a newer version is out than any that is held."""
        with self._lock:
            return self._facts.behind()

    def tag(self, url: str) -> str:
        """What stands for the version of an address that is kept; "" for none."""
        return self._store.tag(url)

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """What was read of the ledger, without when: two registries that read the same have the same."""
        return self._store.dump()

    def _loaded(self) -> Facts:
        """What is on the disk."""
        found = Facts(
            *self._store.origins(), committed=self._store.committed, held=self._held, signer=self._store.signer
        )
        found.as_of_ms = self._followed.as_of_ms
        for one in self._store.said():
            found.take((one.epoch, one.index), one.at_ms, statement.parse(one.statement), party=one.party)
        for digest, url, issuer in self._store.lists():
            found.place(digest, url=url, issuer=issuer)
        return found

    def _judge(self, entry: Entry, at_ms: int, said: list[tuple[Said, Statement]], signers: dict[bytes, bytes]) -> int:
        """The log's time after an entry, which our rules take too. said, signers: what there is to remember."""
        state = self._store.state
        try:
            found = statement.parse(entry.statement)
            if entry.at_ms < at_ms:
                raise Malformed("time_back", "the log's time does not go back")
            name, changes = RULES.judge(state, found, entry.at_ms, index=entry.index)
        except ProtocolError as error:
            detail = f"the log registered an entry that its rules refuse: {error.code}"
            raise VerificationFailed("log_misjudged", detail) from error
        if found.content_type == model.CREDENTIAL:
            signers[Commitment.decode(found.payload).id] = found.kid
        elif name == rules.CONTRACT.name or found.content_type == documents.REVOCATION:
            party = registry.issuer(state, found.kid, entry.at_ms)
            one = Said(
                epoch=self._followed.epoch,
                index=entry.index,
                at_ms=entry.at_ms,
                party=b"" if party.role == ROOT else party.party,
                statement=entry.statement,
            )
            said.append((one, found))
        state.changed.update(changes.puts)
        return entry.at_ms

    def _held(self, digest: bytes) -> Held | None:
        try:
            return self._parsed(digest)
        except NotFound:
            return None

    def _parse(self, digest: bytes) -> Held:
        """Raises NotFound, which is not remembered."""
        raw = self._store.kept_list(digest)
        if raw is None:
            raise NotFound("list_unknown")
        found, bits = read_list(raw)
        return Held(list=bits, method=found.method)


def read_list(raw: bytes) -> tuple[Secured, status.StatusList]:
    """A signed list, nothing checked. Raises Malformed: list_*, vc_*, json_*."""
    if len(raw) > status.SIGNED_MAX:
        raise Malformed("list_size", f"a list has at most {status.SIGNED_MAX} bytes")
    if raw[:1] == b"\xd2":
        found = secured.of_envelope(cose_vc.read(raw, size_max=status.SIGNED_MAX), raw)
    else:
        found = secured.of_json(jcs.parse(raw, size_max=status.SIGNED_MAX), raw)
    return found, status.read_list(found.claims)
