"""What cheats do: thefts and how they are found, and attacks, each one application with one thing wrong in it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict

from ledger.credentials.simulate import careers, crimes
from ledger.credentials.simulate.careers import Event
from ledger.credentials.simulate.honest import Honest
from ledger.credentials.simulate.hospital import Hospital
from ledger.credentials.simulate.stage import Stage
from ledger.credentials.simulate.tricks import Tricks
from ledger.credentials.simulate.truth import Paper
from ledger.credentials.simulate.world import DAY_MS

WAIT_MS = 7 * DAY_MS  # a cheat who has nobody to cheat with waits so long, and tries again


class Crooks:
    """Acts on a stage."""

    def __init__(self, stage: Stage, honest: Honest, tricks: Tricks) -> None:
        self._stage, self._honest, self._tricks = stage, honest, tricks
        self._truth, self._town, self._clock, self._tally = stage.truth, stage.town, stage.clock, stage.tally
        self._known: set[int] = set()
        self.does: Mapping[str, Callable[[Event], None]] = {
            careers.STEAL: self._steal,
            careers.FIND: self._find,
            careers.ATTACK: self._attack,
        }

    def end(self) -> None:
        """Who still works on forged papers when the world ends was missed."""
        for person, event in self._stage.fooled.items():
            self._tally.missed[event.kind] += 1
            self._tally.seen(event.kind, "never_found")
            self._stage.at_work.pop(person, None)
        self._stage.fooled.clear()

    def shift(self, person: int, hospital: Hospital) -> None:
        """Somebody who was hired on papers that a thief had logged comes to work."""
        event = self._stage.fooled[person]
        known = event.theft in self._known
        if hospital.may_work(person):
            self._tally.shifts_before_known += not known
            self._tally.worked["forged"] += known
        elif known:
            del self._stage.fooled[person]
            self._tally.caught_late[event.kind] += 1
            self._tally.seen(event.kind, "blocked_at_work")
            self._honest.gone(person, hospital)

    def _steal(self, event: Event) -> None:
        self._town.log.settle()
        self._tricks.steal(self._town.institutions[event.house], self._truth.count)

    def _find(self, event: Event) -> None:
        """The theft is known: the key is declared stolen since then, and what was honestly logged under it is made anew."""
        loot = self._tricks.loot[event.house]
        institution = self._town.institutions[event.house]
        self._town.log.settle()
        self._known.add(event.house)
        institution.issuer.stolen(since=loot.forger.since, key=loot.key)
        institution.publish(again=True)
        self._town.log.settle()
        spoiled = [
            paper
            for person in sorted(self._truth.papers)
            for paper in self._truth.papers[person]
            if paper.house.n == event.house and paper.method == loot.method and paper.n >= loot.count
        ]
        for paper in spoiled:
            paper.void = True
        for paper in spoiled:
            self._reissue(paper)

    def _reissue(self, paper: Paper) -> None:
        """What a theft spoiled, again, if it was good; its holder shows it where they work."""
        now_ms = self._clock.at_ms
        if not (paper.suspended or paper.revoked or now_ms >= paper.until_ms):
            self._tally.events["reissued"] += 1
            institution = self._town.institutions[paper.house.n]
            days = max(1, (paper.until_ms - now_ms) // DAY_MS)
            made = institution.issuer.refresh(paper.id, days=days)
            again = self._stage.paper(institution, paper.person, paper.type, paper.jurisdiction, made)
            self._honest.renewed(again)
        self._stage.look(paper.person)

    def _attack(self, event: Event) -> None:
        stage, person = self._stage, self._stage.world.people[event.person]
        hospital = stage.hospitals[event.house]
        papers = self._honest.best(person.n, hospital)
        own = papers.pop(event.type, None)
        trick = self._tricks.trick(event, own)
        if trick is None:
            more = {name: value for name, value in asdict(event).items() if name not in ("at_ms", "n", "what")}
            stage.later(WAIT_MS, careers.ATTACK, **more)
            return
        self._tally.forged[event.kind] += 1
        hospital.open(person)
        stage.show(hospital, *papers.values())
        asked = hospital.ask()
        raw, nonce = trick(asked.nonce, asked.audience)
        codes = stage.judge(hospital, person.n, raw, nonce)
        code = next((each for each in codes if each), "")
        self._town.honest_lists()
        hired = hospital.decide(person.n)
        if hired and not code and event.kind == crimes.STOLEN_LOGGED and event.theft not in self._known:
            stage.fooled[person.n] = event
            self._honest.hired(person, hospital)
            return
        hospital.leave(person.n)
        missed = hired or not code
        self._tally.seen(event.kind, "missed" if missed else code)
        (self._tally.missed if missed else self._tally.caught)[event.kind] += 1
