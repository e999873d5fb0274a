"""The course of a simulation: every event in its turn, and every shift between.

Two shifts begin a day. Before each, institutions bring out lists that are due; then whoever is on the rota comes to work, and
the hospital looks at their file anew before it lets them in.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from ledger.credentials.simulate import careers, crimes, report, world
from ledger.credentials.simulate.careers import HOUR_MS, Diary
from ledger.credentials.simulate.crooks import Crooks
from ledger.credentials.simulate.honest import Honest
from ledger.credentials.simulate.hospital import Hospital, post
from ledger.credentials.simulate.reading import Library
from ledger.credentials.simulate.stage import Stage
from ledger.credentials.simulate.town import Clock, Town
from ledger.credentials.simulate.tricks import Tricks
from ledger.credentials.simulate.world import BEGUN_MS, DAY_MS, HOSPITAL, World
from ledger.credentials.verifying import Verifier

SHIFTS = (7, 19)  # hours at which shifts begin
ROTA = 364  # who is fit works each so many-th shift, one in half a year: the others would go the same way
EAGER = 4  # who is not fit tries so many shifts from then on, and after that as the others
PUBLISH_MS = 6 * DAY_MS  # lists that nothing changed come out so often: their life is a week

Tell = Callable[[float], None]  # of how much is done, from 0 to 1


def simulated(
    *, seed: int, institutions: int, staff: int, years: int, tell: Tell = lambda _: None
) -> dict[str, object]:
    """The report of one simulation, without how long it took."""
    rng = Random(seed)
    found = world.made(rng, institutions=institutions, staff=staff, years=years)
    diary, honest = Diary(), staff - crimes.count(staff)
    stolen = crimes.thefts(found, rng)
    events = careers.calendar(found, rng, diary, honest, {each.house for each in stolen})
    events += crimes.plans(found, rng, diary, cheats=range(honest, staff), stolen=stolen)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        state, clock = Path(folder), Clock()
        town = held.enter_context(contextlib.closing(Town(found, state, clock, rng)))
        library = held.enter_context(contextlib.closing(Library(state / "registry", town)))
        hospitals = _hospitals(found, library, state, clock, rng)
        for each in hospitals.values():
            held.callback(each.close)
        stage = Stage(town, hospitals, rng, diary, events)
        acts_honestly = Honest(stage)
        tricks = held.enter_context(contextlib.closing(Tricks(stage, state, Random(rng.randrange(1 << 62)))))
        crooks = Crooks(stage, acts_honestly, tricks)
        Course(stage, acts_honestly, crooks).run(tell)
        log = town.log
        log.settle()
        said: dict[str, object] = {
            "entries": log.engine.size,
            "refused": dict(sorted(log.refused[True].items())),
            "refused_of_cheats": dict(sorted(log.refused[False].items())),
        }
    return report.answer(stage.tally, staff=staff, institutions=institutions, years=years, seed=seed, log=said)


def _hospitals(found: World, library: Library, state: Path, clock: Clock, rng: Random) -> dict[int, Hospital]:
    hospitals = {}
    for house in found.of(HOSPITAL):
        folder = state / f"hiring-{house.n}"
        folder.mkdir()
        verifier = Verifier(
            library.registry,
            audience=f"https://house-{house.n}.example/hiring",
            now_ms=clock,
            random_bytes=Random(rng.randrange(1 << 62)).randbytes,
            prepare=library.prepare,
        )
        hospitals[house.n] = Hospital(
            house,
            folder,
            library.registry,
            verifier,
            {name: post(name, needs, house.state) for name, needs in found.needs.items()},
            follow=library.follow,
            now_ms=clock,
            random_bytes=Random(rng.randrange(1 << 62)).randbytes,
        )
    return hospitals


class Course:
    """One run over a stage."""

    def __init__(self, stage: Stage, honest: Honest, crooks: Crooks) -> None:
        self._stage, self._crooks = stage, crooks
        self._does = {**honest.does, **crooks.does}
        self._tried: dict[int, int] = {}

    def run(self, tell: Tell) -> None:
        """Everything until the end of the world."""
        stage, until_ms = self._stage, self._stage.world.until_ms
        times = [day_ms + hour * HOUR_MS for day_ms in range(BEGUN_MS, until_ms, DAY_MS) for hour in SHIFTS]
        for shift, begins_ms in enumerate(times):
            while (event := stage.next(begins_ms)) is not None:
                if event.what != careers.LOOK:
                    stage.tally.events[event.what] += 1
                self._does[event.what](event)
            stage.clock.at_ms = begins_ms
            self._publish()
            for person in self._rota(shift):
                self._come(person)
            tell((shift + 1) / len(times))
        self._crooks.end()

    def _publish(self) -> None:
        """Bring out lists that are due."""
        town = self._stage.town
        for institution in town.institutions:
            if institution.accredits and town.clock() - institution.published_ms >= PUBLISH_MS:
                institution.publish()
        town.log.settle()

    def _rota(self, shift: int) -> list[int]:
        """Who comes to a shift: those whose turn it is, and who may not work since so few shifts that they try each."""
        stage = self._stage
        self._tried = {person: self._tried.get(person, 0) + 1 for person in stage.unfit}
        eager = [person for person, count in self._tried.items() if count <= EAGER]
        turn = range(-shift % ROTA, len(stage.world.people), ROTA)
        return sorted({person for person in (*turn, *eager) if person in stage.at_work})

    def _come(self, person: int) -> None:
        """Somebody comes to a shift."""
        stage = self._stage
        hospital, why = stage.at_work[person], stage.unfit.get(person, "")
        stage.tally.shifts += 1
        if person in stage.fooled:
            self._crooks.shift(person, hospital)
        elif hospital.may_work(person):
            if why:
                stage.tally.worked[why] += 1
        elif why:
            stage.tally.blocked[why] += 1
        else:
            stage.tally.refused["shift"] += 1
