"""The stage of a simulation: who has which wallet and papers, who works where and may not, and what is yet to come.

Honest people and cheats act on it alike. It knows the truth, and shows hospitals nothing but presentations.
"""

import heapq
from collections.abc import Iterable, Mapping
from random import Random

from ledger.credentials.issuing import Issued
from ledger.credentials.simulate import careers
from ledger.credentials.simulate.careers import Diary, Event
from ledger.credentials.simulate.forging import kept
from ledger.credentials.simulate.hospital import Hospital
from ledger.credentials.simulate.report import Tally
from ledger.credentials.simulate.town import Institution, Town
from ledger.credentials.simulate.truth import Paper, Truth
from ledger.credentials.simulate.world import CHECK, DAY_MS, House, Person
from ledger.credentials.vc import jcs, presentation
from ledger.credentials.wallet import Wallet
from protocol.keys import SigningKey

CHECK_MS = 120 * DAY_MS  # how lately the source of a licence was asked, when somebody is hired
RECHECK_MS = 1096 * DAY_MS  # and afterwards
WORSE = ("", "missing", "expired", "unchecked", "withdrawn", "void", "revoked", "suspended")
"""Why somebody may not work, the worst last."""


class Stage:
    """at_work: where people work; unfit: who works somewhere and may not, and why; fooled: who works on papers that a thief had
    logged before anybody knew, with the attack."""

    def __init__(
        self, town: Town, hospitals: Mapping[int, Hospital], rng: Random, diary: Diary, events: Iterable[Event]
    ) -> None:
        self.town, self.hospitals, self.rng, self.diary = town, hospitals, rng, diary
        self.truth, self.tally, self.clock, self.world = Truth(), Tally(), town.clock, town.world
        self.at_work: dict[int, Hospital] = {}
        self.unfit: dict[int, str] = {}
        self.fooled: dict[int, Event] = {}
        self.overheard: dict[tuple[int, str], tuple[bytes, str]] = {}
        """The newest honest presentation to a hospital of a type, with its question."""
        self._wallets: dict[int, Wallet] = {}
        self._keys: dict[int, SigningKey] = {}
        self._seed = rng.randrange(1 << 62)
        self._events = list(events)
        heapq.heapify(self._events)

    def next(self, before_ms: int) -> Event | None:
        """The next event before a time, when there is one; then that is the time."""
        if not self._events or self._events[0].at_ms >= before_ms:
            return None
        event = heapq.heappop(self._events)
        self.clock.at_ms = max(self.clock.at_ms, event.at_ms)
        return event

    def later(self, delay_ms: int, what: str, **more: object) -> None:
        """One more event, so much later."""
        heapq.heappush(self._events, self.diary.note(self.clock.at_ms + max(1, delay_ms), what, **more))

    def key(self, person: int) -> SigningKey:
        """The key in somebody's wallet."""
        if person not in self._keys:
            self._keys[person] = SigningKey.from_seed(Random(self._seed + person).randbytes(32))
        return self._keys[person]

    def wallet(self, person: int) -> Wallet:
        """Somebody's wallet."""
        if person not in self._wallets:
            self._wallets[person] = Wallet(self.key(person), now_ms=self.clock)
        return self._wallets[person]

    def where(self, kind: str, hospital: Hospital) -> str | None:
        """In which state a type has to hold for a hospital, None where that does not matter."""
        return hospital.house.state if kind == "StateLicence" else None

    def issued(self, house: House, person: Person, kind: str, where: str, *, days: int = 0) -> Paper:
        """An honest paper, in its holder's wallet."""
        institution = self.town.institutions[house.n]
        made = institution.issue(person, kind, where, self.key(person.n).public, days=days)
        return self.paper(institution, person.n, kind, where, made)

    def paper(self, institution: Institution, person: int, kind: str, where: str, made: Issued) -> Paper:
        """What an institution issued, as a paper in its holder's wallet, whose end is looked at."""
        paper = Paper(
            n=self.truth.count,
            person=person,
            house=institution.house,
            type=kind,
            jurisdiction=where,
            from_ms=self.clock.at_ms // 1000 * 1000,
            until_ms=made.until_ms,
            raw=made.raw,
            id=made.id,
            method=institution.issuer.method,
        )
        self.wallet(person).keep(kept(paper.raw, self.clock.at_ms))
        self.truth.add(paper)
        self.tally.credentials += 1
        self.later(paper.until_ms - self.clock.at_ms, careers.LOOK, person=person)
        return paper

    def presentation(self, paper: Paper, *, nonce: str, audience: str) -> bytes:
        """What the holder of a paper shows, from their wallet."""
        wallet = self.wallet(paper.person)
        papers = self.truth.papers[paper.person]
        at = next(n for n, each in enumerate(papers) if each is paper)
        return wallet.presentation(at, nonce=nonce, audience=audience)

    def unfitness(self, person: int, hospital: Hospital, *, hired: bool) -> str:
        """Why somebody may not work at a hospital, "" when they may. hired: by the rules for who works there already."""
        now_ms, worst = self.clock.at_ms, ""
        for kind in self.world.needs[self.world.people[person].profession]:
            if kind == CHECK:
                limit_ms = RECHECK_MS if hired else CHECK_MS
                checks = self.truth.of(person, CHECK)
                lately = any(
                    self.truth.good(each, now_ms) and now_ms - each.from_ms // DAY_MS * DAY_MS < limit_ms
                    for each in checks
                )
                why = "" if lately else "unchecked"
            else:
                why = self._why(self.truth.best(person, kind, self.where(kind, hospital), now_ms), now_ms)
            worst = max(worst, why, key=WORSE.index)
        return worst

    def look(self, person: int) -> None:
        """See anew whether somebody who works may."""
        self.unfit.pop(person, None)
        hospital = self.at_work.get(person)
        if hospital is not None:
            why = "" if person in self.fooled else self.unfitness(person, hospital, hired=True)
            if why:
                self.unfit[person] = why

    def judge(self, hospital: Hospital, person: int, raw: bytes, nonce: str) -> list[str]:
        """Hand a presentation in for somebody's file; of each credential why it does not count, "" when it does."""
        self.town.log.settle()
        self.tally.presentations += 1
        return hospital.take(person, raw, nonce)

    def show(self, hospital: Hospital, *papers: Paper) -> None:
        """Somebody shows papers of theirs for their file; it is counted when a good one is refused."""
        if not papers:
            return
        asked, person = hospital.ask(), papers[0].person
        if len(papers) == 1:
            raw = self.presentation(papers[0], nonce=asked.nonce, audience=asked.audience)
        else:
            items = [presentation.item(each.raw) for each in papers]
            made = presentation.signed(
                items, self.key(person), nonce=asked.nonce, audience=asked.audience, now_s=self.clock() // 1000
            )
            raw = jcs.canonical(made)
        for paper, code in zip(papers, self.judge(hospital, person, raw, asked.nonce), strict=True):
            self.overheard[hospital.house.n, paper.type] = (raw, asked.nonce)
            if code and self.truth.good(paper, self.clock.at_ms):
                self.tally.refused[f"paper: {code}"] += 1

    def _why(self, paper: Paper | None, now_ms: int) -> str:
        if paper is None:
            return "missing"
        if self.truth.good(paper, now_ms):
            return ""
        for name in ("suspended", "revoked", "void"):
            if getattr(paper, name):
                return name
        return "expired" if now_ms >= paper.until_ms else "withdrawn"
