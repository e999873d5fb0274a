"""The tricks of cheats: for each kind of attack, what is shown to a hospital when it asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ledger.credentials.simulate import crimes
from ledger.credentials.simulate.careers import Event
from ledger.credentials.simulate.forging import Forger, altered, shown_by
from ledger.credentials.simulate.stage import Stage
from ledger.credentials.simulate.town import Institution
from ledger.credentials.simulate.truth import Paper
from ledger.credentials.simulate.world import DAY_MS, MILL, STATE, TRAINING_MILL, UNIVERSITY
from ledger.credentials.vc import secured

BACK_MS = 200 * DAY_MS  # how far back a backdated paper goes, which is before the theft

Trick = Callable[[str, str], tuple[bytes, str]]
"""Of a nonce and an audience, the presentation that is handed in, and the nonce that it is handed in for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    """What a thief has. key, method: of the stolen key; count: of papers that there were at the theft."""

    forger: Forger
    key: bytes
    method: str
    count: int

    def has(self, paper: Paper) -> bool:
        """Whether the copy of the folder has it: under its number nothing else can be made there."""
        return paper.house.n == self.forger.robbed.house.n and paper.n < self.count


class Tricks:
    """folder: where forgers keep their copies."""

    def __init__(self, stage: Stage, folder: Path, rng: Random) -> None:
        self._stage, self._folder, self._rng = stage, folder, rng
        self.loot: dict[int, Loot] = {}
        self._copies: dict[str, Forger] = {}
        self._anchors: set[int] = set()
        self._makes: Mapping[str, Callable[[Event, Paper | None], Trick | None]] = {
            crimes.MILL_DEGREE: lambda event, _: self._sold(event, MILL, {}),
            crimes.MILL_OTHER_TYPE: lambda event, _: self._sold(event, TRAINING_MILL, {"type": "Training"}),
            crimes.MILL_AS_UNIVERSITY: self._pretended,
            crimes.STOLEN: lambda event, _: self._stolen(event),
            crimes.STOLEN_BACKDATED: lambda event, _: self._stolen(event, early_ms=BACK_MS),
            crimes.STOLEN_ANCHOR: self._anchored,
            crimes.STOLEN_LOGGED: lambda event, _: self._stolen(event, logs={}),
            crimes.STOLEN_AFTER: lambda event, _: self._stolen(event, early_ms=BACK_MS, logs={}),
            crimes.OTHER_PLACE: self._elsewhere,
            crimes.SWAPPED: self._swapped,
            crimes.REPLAYED: self._replayed,
            crimes.RELAYED: self._relayed,
            crimes.ALTERED: self._altered,
            crimes.EXPIRED: self._own,
            crimes.SUSPENDED: self._own,
            crimes.REVOKED: self._own,
            crimes.OLD_LIST: self._old_list,
            crimes.OLD_CHECK: self._own,
        }

    def close(self) -> None:
        """Close what forgers have open."""
        for forger in (*self._copies.values(), *(each.forger for each in self.loot.values())):
            forger.close()

    def steal(self, robbed: Institution, count: int) -> None:
        """A thief copies an issuer's folder."""
        method = robbed.issuer.method
        key = robbed.issuer.document().methods[method].thumbprint
        forger = self._forger(robbed, f"thief-{robbed.house.n}")
        self.loot[robbed.house.n] = Loot(forger=forger, key=key, method=method, count=count)

    def trick(self, event: Event, own: Paper | None) -> Trick | None:
        """What a cheat shows. own: the paper of the type that they have themselves. None: nobody is there yet to cheat with."""
        return self._makes[event.kind](event, own)

    def _by(self, event: Event, raw: bytes) -> Trick:
        """A credential shown with the cheat's own key."""
        key, clock = self._stage.key(event.person), self._stage.clock
        return lambda nonce, audience: (shown_by(key, raw, clock, nonce=nonce, audience=audience), nonce)

    def _own(self, event: Event, own: Paper | None) -> Trick | None:
        return None if own is None else self._by(event, own.raw)

    def _old_list(self, event: Event, own: Paper | None) -> Trick | None:
        if own is not None:
            entry = secured.read(own.raw).status["suspension"]
            self._stage.town.old_list(entry.url, at_ms=self._stage.clock.at_ms - 2 * DAY_MS)
        return self._own(event, own)

    def _altered(self, event: Event, own: Paper | None) -> Trick | None:
        return None if own is None else self._by(event, altered(own.raw, self._stage.world.people[event.person]))

    # -- with forged papers

    def _sold(self, event: Event, kind: str, logs: Mapping[str, str]) -> Trick:
        mill = self._rng.choice(self._stage.world.of(kind))
        institution = self._stage.town.institutions[mill.n]
        if institution.accredits and not institution.published_ms:  # it gives trainings too, and so has lists
            person = self._stage.world.people[event.person]
            institution.issue(person, "Training", mill.covers("Training"), self._stage.key(person.n).public)
            self._stage.town.log.settle()
        return self._forged(event, self._copy(mill.n), logs=logs)

    def _pretended(self, event: Event, _: Paper | None) -> Trick:
        """A mill signs in a university's name, with a key of its own."""
        university = self._rng.choice(self._stage.world.of(UNIVERSITY))
        mill = self._rng.choice(self._stage.world.of(MILL))
        return self._forged(event, self._copy(mill.n, pretends=university.did))

    def _stolen(self, event: Event, *, early_ms: int = 0, logs: Mapping[str, str] | None = None) -> Trick:
        return self._forged(event, self.loot[event.theft].forger, early_ms=early_ms, logs=logs)

    def _anchored(self, event: Event, _: Paper | None) -> Trick | None:
        loot = self.loot[event.theft]
        victim = self._victim(event, lambda each: each.n not in self._anchors and not loot.has(each))
        if victim is None:
            return None
        self._anchors.add(victim.n)
        anchor = secured.read(victim.raw).anchor
        return self._forged(event, loot.forger, anchor=anchor)

    def _elsewhere(self, event: Event, _: Paper | None) -> Trick:
        """A board gives a licence for a state that is not its own, and logs it as one for its own."""
        state = self._stage.hospitals[event.house].house.state
        board = self._rng.choice([each for each in self._stage.world.of(STATE) if each.state != state])
        return self._forged(event, self._copy(board.n, name=str(event.n)), logs={"jurisdiction": board.state})

    def _forged(self, event: Event, forger: Forger, **how: object) -> Trick:
        stage, hospital = self._stage, self._stage.hospitals[event.house]
        where = hospital.house.state if event.type == "StateLicence" else forger.robbed.house.covers(event.type)
        holder = stage.key(event.person).public
        made = forger.forge(stage.world.people[event.person], event.type, where, holder, **how)  # type: ignore[arg-type]
        return self._by(event, made.raw)

    # -- with somebody else's

    def _swapped(self, event: Event, _: Paper | None) -> Trick | None:
        victim = self._victim(event)
        return None if victim is None else self._by(event, victim.raw)

    def _replayed(self, event: Event, _: Paper | None) -> Trick | None:
        """For its own old question, or for the new one."""
        seen = self._stage.overheard.get((event.house, event.type))
        if seen is None:
            return None
        raw, then = seen
        return lambda nonce, _: (raw, then if event.n % 2 else nonce)

    def _relayed(self, event: Event, _: Paper | None) -> Trick | None:
        """The victim believes to answer another hospital."""
        victim = self._victim(event)
        if victim is None:
            return None
        other = next(each for each in self._stage.hospitals.values() if each.house.n != event.house)
        present, elsewhere = self._stage.presentation, other.audience
        return lambda nonce, _: (present(victim, nonce=nonce, audience=elsewhere), nonce)

    def _victim(self, event: Event, will_do: Callable[[Paper], bool] = lambda _: True) -> Paper | None:
        """Somebody's good paper of the type."""
        stage, hospital = self._stage, self._stage.hospitals[event.house]
        people = [person for person in stage.truth.papers if person != event.person]
        self._rng.shuffle(people)
        for person in people:
            paper = stage.truth.best(person, event.type, stage.where(event.type, hospital), stage.clock.at_ms)
            if paper is not None and stage.truth.good(paper, stage.clock.at_ms) and will_do(paper):
                return paper
        return None

    # -- forgers

    def _copy(self, house: int, *, pretends: str = "", name: str = "") -> Forger:
        """A forger by the house and the name, who stays: with another name, the folder is copied as it is now."""
        name = f"copy-{house}-{name or pretends.rpartition(':')[2]}"
        if name not in self._copies:
            self._copies[name] = self._forger(self._stage.town.institutions[house], name, pretends=pretends)
        return self._copies[name]

    def _forger(self, robbed: Institution, name: str, *, pretends: str = "") -> Forger:
        rng = Random(self._rng.randrange(1 << 62))
        return Forger(robbed, self._folder / name, self._stage.clock, rng, pretends=pretends)
