"""What honest people and institutions do, as a calendar from the seed: study, apply, renew, leave; suspend and rotate. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from random import Random

from ledger.credentials.simulate.world import BEGUN_MS, CHECK, DAY_MS, HOSPITAL, LASTS, TRAINING, House, Person, World

HOUR_MS = 3_600_000
EARN, APPLY, LEAVE, SHOW = "earn", "apply", "leave", "show"  # of a person
SUSPEND, REINSTATE, REVOKE = "suspend", "reinstate", "revoke"  # of a paper
ROTATE, WITHDRAW, STEAL, FIND = "rotate", "withdraw", "steal", "find"  # of an institution
ATTACK, LOOK = "attack", "look"

LATE = 0.08  # of those who renew, so many let it expire first
FORGETS = 0.1  # and of those, so many never renew
TROUBLE = 0.06  # of all people, so many are once suspended or revoked
STAYS_DAYS = 1400  # at one hospital, on average
RECHECK_DAYS = 900  # after which an employer has the primary source asked again
LEAD_DAYS = (8, 45)  # before the end that who is in time renews


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Event:
    """Something that happens. n: in the order of making, so that two of one time have an order; person, house: by their places in
    the world, -1 for none; days: that a credential is valid, 0 for as long as its type; kind, theft: of an attack, and of whose
    key."""

    at_ms: int
    n: int
    what: str = field(compare=False)
    person: int = field(default=-1, compare=False)
    house: int = field(default=-1, compare=False)
    type: str = field(default="", compare=False)
    jurisdiction: str = field(default="", compare=False)
    kind: str = field(default="", compare=False)
    days: int = field(default=0, compare=False)
    theft: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A post that somebody applies for. until_ms: when they leave, if they got it."""

    hospital: House
    from_ms: int
    until_ms: int


class Diary:
    """Makes events, each with its number."""

    def __init__(self) -> None:
        self._n = 0

    def note(self, at_ms: int, what: str, **more: object) -> Event:
        """One more event."""
        self._n += 1
        return Event(at_ms=at_ms, n=self._n, what=what, **more)  # type: ignore[arg-type]


def calendar(world: World, rng: Random, diary: Diary, honest: int, robbed: Collection[int]) -> list[Event]:
    """Everything that the first `honest` people and the institutions do, in order. robbed: who changes no key by chance, for that
    would end a theft before it is found."""
    found = list(_institutions(world, rng, diary, robbed))
    for person in world.people[:honest]:
        found += _career(world, person, rng, diary)
    return sorted(each for each in found if each.at_ms < world.until_ms)


def _institutions(world: World, rng: Random, diary: Diary, robbed: Collection[int]) -> Iterator[Event]:
    days = (world.until_ms - BEGUN_MS) // DAY_MS
    for house in world.houses:
        if not house.crooked and house.n not in robbed and rng.random() < 0.6:
            yield diary.note(_day(rng, days // 4, days), ROTATE, house=house.n)
    if world.of(TRAINING):
        yield diary.note(_day(rng, days // 2, days * 2 // 3), WITHDRAW, house=world.of(TRAINING)[0].n, type="Training")


def _career(world: World, person: Person, rng: Random, diary: Diary) -> Iterator[Event]:
    days = (world.until_ms - BEGUN_MS) // DAY_MS
    begun = _day(rng, 1, 20) if rng.random() < 0.5 else _day(rng, 20, max(21, days - 40))
    jobs = list(_jobs(world, rng, begun + 8 * DAY_MS))
    needs = world.needs[person.profession]
    for kind in needs:
        if kind in ("StateLicence", CHECK):
            continue
        earned = begun if kind == "Degree" else begun + rng.randint(1, 4) * DAY_MS
        yield from _held(world, person, kind, "", earned, rng, diary)
    licensed: set[str] = set()
    for job in jobs:
        if "StateLicence" in needs and job.hospital.state not in licensed:
            licensed.add(job.hospital.state)
            earned = job.from_ms - rng.randint(1, 2) * DAY_MS
            yield from _held(world, person, "StateLicence", job.hospital.state, earned, rng, diary)
        if CHECK in needs:
            house = rng.choice(world.who_may(CHECK))
            for at_ms in range(job.from_ms - 20 * HOUR_MS, min(job.until_ms, world.until_ms), RECHECK_DAYS * DAY_MS):
                where = house.covers(CHECK)
                yield diary.note(at_ms, EARN, person=person.n, house=house.n, type=CHECK, jurisdiction=where)
        yield diary.note(job.from_ms, APPLY, person=person.n, house=job.hospital.n)
        yield diary.note(job.until_ms, LEAVE, person=person.n, house=job.hospital.n)
    if rng.random() < TROUBLE:
        yield from _trouble(world, person, jobs, rng, diary)


def _jobs(world: World, rng: Random, at_ms: int) -> Iterator[Job]:
    hospitals = world.of(HOSPITAL)
    while at_ms < world.until_ms:
        until_ms = at_ms + int(rng.expovariate(1 / STAYS_DAYS) * DAY_MS) + 30 * DAY_MS
        yield Job(hospital=rng.choice(hospitals), from_ms=at_ms, until_ms=until_ms)
        at_ms = until_ms + rng.randint(5, 60) * DAY_MS


def _held(
    world: World, person: Person, kind: str, jurisdiction: str, at_ms: int, rng: Random, diary: Diary
) -> Iterator[Event]:
    """A credential from when it is earned on, with its renewals."""
    house = rng.choice(world.who_may(kind, jurisdiction or None))
    while at_ms < world.until_ms:
        yield diary.note(
            at_ms, EARN, person=person.n, house=house.n, type=kind, jurisdiction=jurisdiction or house.covers(kind)
        )
        end_ms = at_ms + LASTS[kind] * DAY_MS
        if rng.random() >= LATE:
            at_ms = end_ms - rng.randint(*LEAD_DAYS) * DAY_MS
        elif rng.random() < FORGETS:
            return
        else:
            at_ms = end_ms + rng.randint(2, 40) * DAY_MS


def _trouble(world: World, person: Person, jobs: list[Job], rng: Random, diary: Diary) -> Iterator[Event]:
    """A licence that is suspended for a while, for good, or revoked, at any hour of a day at work."""
    if not jobs:
        return
    job = rng.choice(jobs)
    first, last = job.from_ms + DAY_MS, min(job.until_ms, world.until_ms) - DAY_MS
    if first >= last:
        return
    at_ms = rng.randint(first, last)
    needs = world.needs[person.profession]
    kind = "DEARegistration" if "DEARegistration" in needs and rng.random() < 0.25 else "StateLicence"
    more = {"person": person.n, "type": kind, "jurisdiction": job.hospital.state if kind == "StateLicence" else ""}
    if rng.random() < 0.15:
        yield diary.note(at_ms, REVOKE, **more)
        return
    yield diary.note(at_ms, SUSPEND, **more)
    at_ms += int(rng.uniform(5, 120) * DAY_MS)
    fate = rng.random()
    if fate < 0.85:
        yield diary.note(at_ms, REINSTATE if fate < 0.7 else REVOKE, **more)


def _day(rng: Random, first: int, last: int) -> int:
    """A time in the working hours of a day from `first` to `last` of the world."""
    day = rng.randint(first, max(first, last))
    return BEGUN_MS + day * DAY_MS + rng.randint(8 * HOUR_MS, 18 * HOUR_MS)
