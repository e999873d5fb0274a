"""What honest people and institutions do, event by event, as the calendar has it and as one thing leads to another."""

from collections.abc import Callable, Mapping

from ledger.credentials.simulate import careers
from ledger.credentials.simulate.careers import Event
from ledger.credentials.simulate.hospital import Hospital
from ledger.credentials.simulate.stage import Stage
from ledger.credentials.simulate.truth import Paper
from ledger.credentials.simulate.world import CHECK, DAY_MS, House, Person

AGAIN_MS = 14 * DAY_MS  # who is not hired tries once more, so much later
SOON_MS = 30 * DAY_MS  # a paper that ends within it is renewed once it is reinstated
AGAIN = "again"


class Honest:
    """Acts on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._truth, self._town = stage, stage.truth, stage.town
        self._world, self._clock, self._tally = stage.world, stage.clock, stage.tally
        self._privileges: dict[int, Paper] = {}
        self.does: Mapping[str, Callable[[Event], None]] = {
            careers.EARN: self._earn,
            careers.APPLY: self._apply,
            careers.LEAVE: self._leave,
            careers.LOOK: lambda event: stage.look(event.person),
            careers.SUSPEND: lambda event: self._change(event, "suspend"),
            careers.REINSTATE: self._reinstate,
            careers.REVOKE: lambda event: self._change(event, "revoke"),
            careers.ROTATE: self._rotate,
            careers.WITHDRAW: self._withdraw,
        }

    def apply(self, person: Person, hospital: Hospital, papers: Mapping[str, Paper]) -> bool:
        """Show some papers for a post; whether the hospital hires."""
        hospital.open(person)
        self._stage.show(hospital, *papers.values())
        return hospital.decide(person.n)

    def best(self, person: int, hospital: Hospital) -> dict[str, Paper]:
        """What somebody would show for a post at a hospital, by type."""
        found: dict[str, Paper] = {}
        for kind in self._world.needs[self._world.people[person].profession]:
            where = self._stage.where(kind, hospital)
            paper = self._truth.best(person, kind, where, self._clock.at_ms)
            if paper is not None:
                found[kind] = paper
        return found

    def hired(self, person: Person, hospital: Hospital) -> None:
        """Somebody begins to work, and gets what a hospital gives its staff."""
        stage = self._stage
        self._tally.hires += 1
        stage.at_work[person.n] = hospital
        house = hospital.house
        self._privileges[person.n] = stage.issued(house, person, "Privilege", house.state)
        stage.issued(house, person, "EmploymentRecord", house.covers("EmploymentRecord"))
        stage.look(person.n)

    def gone(self, person: int, hospital: Hospital) -> None:
        """Somebody works there no more; the privilege is taken back with the lists that come out next."""
        stage = self._stage
        stage.at_work.pop(person, None)
        stage.unfit.pop(person, None)
        hospital.leave(person)
        privilege = self._privileges.pop(person, None)
        if privilege is not None:
            privilege.revoked = True
            self._town.institutions[hospital.house.n].issuer.change(privilege.id, "revoke", reason="left")

    # -- people

    def _earn(self, event: Event) -> None:
        truth, person = self._truth, self._world.people[event.person]
        if any(each.revoked or each.suspended for each in truth.of(person.n, event.type, event.jurisdiction)):
            return  # nobody renews what is suspended; after a reinstatement it is made up for
        house = self._world.houses[event.house]
        if (house.n, event.type) in truth.withdrawn:
            others = self._world.who_may(event.type, event.jurisdiction)
            others = [each for each in others if (each.n, event.type) not in truth.withdrawn]
            if not others:
                return
            house = self._stage.rng.choice(others)
        self.renewed(self._stage.issued(house, person, event.type, event.jurisdiction, days=event.days))

    def renewed(self, paper: Paper) -> None:
        """Show a new paper where its holder works."""
        hospital = self._stage.at_work.get(paper.person)
        wanted = paper.type in self._world.needs[self._world.people[paper.person].profession]
        if hospital is not None and wanted:
            self._stage.show(hospital, paper)
            if paper.type == CHECK:
                self._recredentialled(paper.person, hospital)
        self._stage.look(paper.person)

    def _recredentialled(self, person: int, hospital: Hospital) -> None:
        """With the source asked again, everything is shown again."""
        papers = self.best(person, hospital)
        self._stage.show(hospital, *(paper for kind, paper in papers.items() if kind != CHECK))
        hospital.renew(person)

    def _apply(self, event: Event) -> None:
        stage, person, hospital = self._stage, self._world.people[event.person], self._stage.hospitals[event.house]
        if person.n in stage.at_work:
            return
        why = stage.unfitness(person.n, hospital, hired=False)
        if self.apply(person, hospital, self.best(person.n, hospital)):
            if why:
                self._tally.worked[f"hired though {why}"] += 1
            self.hired(person, hospital)
            return
        hospital.leave(person.n)
        if why:
            self._tally.rightly_not_hired += 1
        else:
            self._tally.refused["hire"] += 1
        if event.kind != AGAIN:
            stage.later(AGAIN_MS, careers.APPLY, person=person.n, house=event.house, kind=AGAIN)

    def _leave(self, event: Event) -> None:
        hospital = self._stage.at_work.get(event.person)
        if hospital is not None and hospital.house.n == event.house:
            self.gone(event.person, hospital)

    # -- papers

    def _change(self, event: Event, what: str) -> None:
        """A board suspends or revokes what it gave, and says so at once."""
        now_ms, changed = self._clock.at_ms, set[int]()
        for paper in self._truth.of(event.person, event.type, event.jurisdiction or None):
            if paper.revoked or now_ms >= paper.until_ms or (paper.suspended and what == "suspend"):
                continue
            self._town.institutions[paper.house.n].issuer.change(paper.id, what, reason="as the board decided")
            paper.suspended, paper.revoked = what == "suspend", what == "revoke"
            changed.add(paper.house.n)
        self._publish(changed)
        self._stage.look(event.person)

    def _reinstate(self, event: Event) -> None:
        now_ms, changed = self._clock.at_ms, set[int]()
        for paper in self._truth.of(event.person, event.type, event.jurisdiction or None):
            if not paper.suspended:
                continue
            self._town.institutions[paper.house.n].issuer.change(paper.id, "reinstate", reason="as the board decided")
            paper.suspended = False
            changed.add(paper.house.n)
            if paper.until_ms < now_ms + SOON_MS:
                self._stage.later(
                    DAY_MS,
                    careers.EARN,
                    person=event.person,
                    house=paper.house.n,
                    type=paper.type,
                    jurisdiction=paper.jurisdiction,
                )
        self._publish(changed)
        self._stage.look(event.person)

    def _publish(self, houses: set[int]) -> None:
        for n in sorted(houses):
            self._town.institutions[n].publish()
        self._town.log.settle()

    # -- institutions

    def _rotate(self, event: Event) -> None:
        institution = self._town.institutions[event.house]
        institution.issuer.rotate()
        institution.publish(again=True)
        self._town.log.settle()

    def _withdraw(self, event: Event) -> None:
        """An institution loses an accreditation; whoever has a paper of it earns another elsewhere."""
        house = self._world.houses[event.house]
        institution = self._town.institutions[house.n]
        institution.accredited(event.type, until_ms=self._world.until_ms + 1, withdrawn=True)
        self._town.log.settle()
        self._truth.withdrawn.add((house.n, event.type))
        for person in sorted(self._truth.papers):
            if any(each.house.n == house.n for each in self._truth.of(person, event.type)):
                self._again(person, house, event.type)

    def _again(self, person: int, house: House, kind: str) -> None:
        delay_ms = self._stage.rng.randint(3, 20) * DAY_MS
        where = house.covers(kind)
        self._stage.later(delay_ms, careers.EARN, person=person, house=house.n, type=kind, jurisdiction=where)
        self._stage.look(person)
