"""A log in memory with institutions that issue, and a verifier that reads it: the real rules, issuers and verdicts, no network."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from ledger.credentials import model, types
from ledger.credentials.issuing import Issued, Issuer
from ledger.credentials.model import Accreditation
from ledger.credentials.vc import secured, status
from ledger.credentials.verdict import Facts, Possession, Verdict, check, steps
from protocol import statement
from protocol.errors import ProtocolError
from protocol.keys import SigningKey
from tests.support import registrants
from tests.support.registrants import NOW_MS, ORIGIN, ROOT, Book

DAY_MS = registrants.DAY_MS
HOLDER = registrants.key(70)
LICENCE = {
    "givenName": "Ada",
    "familyName": "Lovelace",
    "jurisdiction": "US-CA",
    "licenceNumber": "RN-1",
    "licenceType": "Registered nurse",
    "npi": "1245319599",
}


class World:
    """One log. now_ms goes on only when a test says so."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.log, self.folder, self.random = Book(), folder, Random(seed)
        self.facts = Facts(ORIGIN)
        self._read = 0
        self._numbers = itertools.count(200)
        self.parties: dict[bytes, bytes] = {}
        self.answers: dict[bytes, str] = {}
        self.away = False
        self._waiting: list[bytes] = []

    @property
    def now_ms(self) -> int:
        """The log's time and everybody's."""
        return self.log.now_ms

    def pass_days(self, days: float) -> None:
        """Let time go on."""
        self.log.now_ms += round(days * DAY_MS)

    def accredit(
        self, party: SigningKey, did: str, kind: str = "StateLicence", where: str = "US", **changed: Any
    ) -> None:
        """The root's word, for ten years."""
        values = {"from_ms": 0, "until_ms": NOW_MS + 3650 * DAY_MS, **changed}
        document = Accreditation(
            log=ORIGIN, party=party.public.thumbprint, did=did, type=kind, jurisdiction=where, **values
        )
        sub = model.accreditation_subject(document.party)
        self.add(ROOT, document.encode(), model.ACCREDITATION, sub)

    def add(self, by: SigningKey, document: bytes, content_type: str, sub: str) -> bytes:
        """Register a statement."""
        raw = statement.sign(by, iss=by.public.urn, sub=sub, payload=document, content_type=content_type)
        self.log.add(raw)
        return statement.entry(raw)

    def heard(self, by: SigningKey, document: bytes, content_type: str, sub: str) -> bytes:
        """A statement of a party's, queued once, and sent unless the log is `away`; its digest, by which `answers` has its end."""
        raw = statement.sign(by, iss=by.public.urn, sub=sub, payload=document, content_type=content_type)
        digest = statement.entry(raw)
        if self.answers.get(digest) not in ("waiting", "receipted"):
            self.answers[digest] = "waiting"
            self._waiting.append(raw)
        if not self.away:
            self.send()
        return digest

    def send(self) -> None:
        """What waits for the log reaches it."""
        waiting, self._waiting = self._waiting, []
        for raw in waiting:
            try:
                self.log.add(raw)
                self.answers[statement.entry(raw)] = "receipted"
            except ProtocolError as error:
                self.answers[statement.entry(raw)] = error.code

    @contextlib.contextmanager
    def issuer(self, name: str, *kinds: str, where: str = "US") -> Iterator[Issuer]:
        """An institution, accredited for some types, its key said."""
        party = registrants.key(next(self._numbers))
        self.log.admit(party, "institution", name)
        self.parties[party.public.thumbprint] = party.public.thumbprint
        web = f"did:web:{name}.example"
        for kind in kinds:
            self.accredit(party, web, kind, where)
        folder = self.folder / name
        folder.mkdir()
        found = self.opened(name, party)
        try:
            if kinds:
                found.begin()
            yield found
        finally:
            found.close()

    def opened(self, name: str, party: SigningKey) -> Issuer:
        """The institution in its folder, again or for the first time."""
        return Issuer.open(
            self.folder / name,
            say=lambda document, content_type, sub: self.heard(party, document, content_type, sub),
            answer=self.answers.__getitem__,
            base=lambda: f"https://{name}.example/credentials",
            log=ORIGIN,
            party=party.public.thumbprint,
            now_ms=lambda: self.now_ms,
            random_bytes=self.random.randbytes,
            web=f"did:web:{name}.example",
        )

    def licence(self, issuer: Issuer, **changed: Any) -> Issued:
        """A nurse's licence."""
        return issuer.issue(types.draft("StateLicence", LICENCE), holder=HOLDER.public, **changed)

    def follow(self, *issuers: Issuer) -> Facts:
        """Read the log up, and fetch the lists of some issuers that it names."""
        for index in range(self._read, self.log.size):
            raw, at_ms, contract = self.log.judged[index]
            if contract == "credentials":
                said = statement.parse(raw)
                self.facts.take((1, index), at_ms, said, party=said.kid)
        self._read = self.log.size
        self.facts.as_of_ms = self.now_ms
        for issuer in issuers:
            for name, version in self.facts.newest().items():
                if version.party == issuer._party and not self.facts.holds(version.digest):
                    raw = issuer.status_list(name)
                    found = secured.read(raw)
                    key = self.facts.key(found.method)
                    assert key is not None
                    found.check(key.key, now_ms=self.now_ms)
                    self.facts.hold(raw, status.read_list(found.claims), method=found.method)
        return self.facts

    def verdict(self, raw: bytes, *, holder: str | None = None, **more: Any) -> Verdict:
        """What a verifier makes of it, shown by its holder unless another is named."""
        found = secured.read(raw)
        shown = Possession(holder=holder or found.subject)
        return check(found, self.facts, now_ms=self.now_ms, content=types.problems, **{"possession": shown, **more})

    def bad(self, raw: bytes, **more: Any) -> dict[str, str]:
        """The steps that did not pass, with their codes."""
        return {each.name: each.code for each in self.verdict(raw, **more).steps if each.outcome != steps.PASS}


@contextlib.contextmanager
def board(folder: Path) -> Iterator[tuple[World, Issuer]]:
    """A state board that licences nurses in California and elsewhere in the country."""
    world = World(folder)
    with world.issuer("board", "StateLicence") as issuer:
        yield world, issuer


def published(world: World, issuer: Issuer, **changed: Any) -> Issued:
    """A licence, its lists out and read."""
    made = world.licence(issuer, **changed)
    issuer.publish()
    world.follow(issuer)
    return made
