"""What cheats plan: who forges, steals and impersonates how, as events from the seed. Pure.

Each attack is one application in which one thing is wrong and everything else is right, so that only the check that is meant
for it can find it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from ledger.credentials.simulate.careers import ATTACK, EARN, FIND, HOUR_MS, REVOKE, STEAL, SUSPEND, Diary, Event
from ledger.credentials.simulate.world import (
    BEGUN_MS,
    CHECK,
    DAY_MS,
    HOSPITAL,
    MILL,
    STATE,
    TRAINING_MILL,
    UNIVERSITY,
    World,
)

MILL_DEGREE, MILL_OTHER_TYPE, MILL_AS_UNIVERSITY = "mill_degree", "mill_other_type", "mill_as_university"
STOLEN, STOLEN_BACKDATED = "stolen_key", "stolen_key_backdated"
STOLEN_ANCHOR, STOLEN_LOGGED = "stolen_key_anchor", "stolen_key_logged"
STOLEN_AFTER = "stolen_key_after"
OTHER_PLACE = "other_jurisdiction"
SWAPPED, REPLAYED, RELAYED, ALTERED = "swapped_holder", "replayed", "relayed", "altered"
EXPIRED, SUSPENDED, REVOKED = "expired", "suspended", "revoked"
OLD_LIST, OLD_CHECK = "old_list", "old_check"

ABOUT: Mapping[str, str] = {
    MILL_DEGREE: "a degree by a mill that nobody accredited, which it cannot log",
    MILL_OTHER_TYPE: "a degree by a mill accredited for training, logged as a training",
    MILL_AS_UNIVERSITY: "a degree by a mill in a university's name, with a key of the mill's",
    STOLEN: "signed with an issuer's stolen key, not logged, before the theft is known",
    STOLEN_BACKDATED: "the same, with a date from before the theft",
    STOLEN_ANCHOR: "the same, with the place on the ledger of somebody's real credential",
    STOLEN_LOGGED: "signed with a stolen key by somebody who can also write to the ledger as the issuer",
    STOLEN_AFTER: "signed with a stolen key, with an older date, after the theft is known",
    OTHER_PLACE: "a licence for a state, by the board of another",
    SWAPPED: "somebody else's credential, shown under one's own key",
    REPLAYED: "somebody else's presentation, shown once more",
    RELAYED: "somebody else's presentation to another hospital, handed on with its own question",
    ALTERED: "one's own credential with another text in it",
    EXPIRED: "one's own credential after its end",
    SUSPENDED: "one's own credential while it is suspended",
    REVOKED: "one's own credential after it was revoked",
    OLD_LIST: "one's own suspended credential, while an older status list is served in place of the newest",
    OLD_CHECK: "a verification of the primary source that is older than the hospital takes",
}
KINDS = tuple(ABOUT)
OWN = (ALTERED, EXPIRED, SUSPENDED, REVOKED, OLD_LIST, OLD_CHECK)
"""The kinds in which the credential was once one's own and real."""
STEALING = (STOLEN, STOLEN_BACKDATED, STOLEN_ANCHOR, STOLEN_LOGGED, STOLEN_AFTER)
_WRONG: Mapping[str, str] = {
    SUSPENDED: "StateLicence",
    REVOKED: "StateLicence",
    OLD_LIST: "StateLicence",
    OTHER_PLACE: "StateLicence",
    EXPIRED: "Training",
    OLD_CHECK: CHECK,
}
SHARE = 20  # one in so many of the staff is a cheat, and one of each kind at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Theft:
    """An issuer key in other hands, until it is found. type: what its institution vouches for."""

    house: int
    type: str
    from_ms: int
    found_ms: int


def count(staff: int) -> int:
    """How many of the staff are cheats: each tries one thing once."""
    return min(staff // 2, max(len(KINDS), staff // SHARE))


def thefts(world: World, rng: Random) -> list[Theft]:
    """One of a state board's key, and one of a university's; two years apart where there is the time."""
    days = (world.until_ms - BEGUN_MS) // DAY_MS
    found = []
    for n, (kind, type_) in enumerate(((STATE, "StateLicence"), (UNIVERSITY, "Degree"))):
        first = int(days * (0.25 + 0.4 * n)) + rng.randint(0, max(1, days // 20))
        from_ms = BEGUN_MS + first * DAY_MS + rng.randint(0, 23) * HOUR_MS
        found_ms = from_ms + rng.randint(12, max(13, days // 15)) * DAY_MS
        found.append(Theft(house=rng.choice(world.of(kind)).n, type=type_, from_ms=from_ms, found_ms=found_ms))
    return found


def plans(world: World, rng: Random, diary: Diary, *, cheats: Sequence[int], stolen: Sequence[Theft]) -> list[Event]:
    """One attack for each cheat with what it takes, and the thefts. What a world has nobody for is not tried."""
    found = []
    for each in stolen:
        found.append(diary.note(each.from_ms, STEAL, house=each.house, type=each.type))
        found.append(diary.note(each.found_ms, FIND, house=each.house, type=each.type))
    kinds = [kind for kind in KINDS if _possible(world, kind)]
    for n, person in enumerate(cheats):
        kind = kinds[n % len(kinds)]
        if kind == OLD_CHECK and CHECK not in world.needs[world.people[person].profession]:
            kind = kinds[(n + 1) % len(kinds)]
        found += _attack(world, rng, diary, person, kind, stolen)
    return sorted(each for each in found if each.at_ms < world.until_ms)


def _possible(world: World, kind: str) -> bool:
    wanted = {MILL_DEGREE: MILL, MILL_AS_UNIVERSITY: MILL, MILL_OTHER_TYPE: TRAINING_MILL}.get(kind)
    if wanted is not None:
        return bool(world.of(wanted))
    if kind == OTHER_PLACE:
        return len({each.state for each in world.of(STATE)}) > 1
    if kind == OLD_CHECK:
        return CHECK in world.needs["physician"]
    return kind != RELAYED or len(world.of(HOSPITAL)) > 1


def _attack(
    world: World, rng: Random, diary: Diary, person: int, kind: str, stolen: Sequence[Theft]
) -> Iterator[Event]:
    profession = world.people[person].profession
    theft = rng.choice(stolen)
    at_ms, hospital, wrong = _when(world, rng, kind, theft), rng.choice(world.of(HOSPITAL)), _WRONG.get(kind, "Degree")
    if kind in STEALING:
        wrong = theft.type
        there = [each for each in world.of(HOSPITAL) if each.state == world.houses[theft.house].state]
        hospital = rng.choice(there) if there and wrong == "StateLicence" else hospital
    elif kind in (SWAPPED, REPLAYED, RELAYED, ALTERED):
        wrong = rng.choice([each for each in world.needs[profession] if each != CHECK])
    for each in world.needs[profession]:
        if each == wrong and kind not in OWN:
            continue
        before, days = rng.randint(3, 9), 0
        if each == wrong and kind == EXPIRED:
            before, days = 40, 30
        elif each == wrong and kind == OLD_CHECK:
            before = 150
        where = hospital.state if each == "StateLicence" else ""
        issuer = rng.choice(world.who_may(each, where or None))
        where = where or issuer.covers(each)
        earned = at_ms - before * DAY_MS
        yield diary.note(earned, EARN, person=person, house=issuer.n, type=each, jurisdiction=where, days=days)
    if kind in (SUSPENDED, REVOKED, OLD_LIST):
        change = REVOKE if kind == REVOKED else SUSPEND
        where = hospital.state
        yield diary.note(at_ms - HOUR_MS, change, person=person, type=wrong, jurisdiction=where)
    yield diary.note(at_ms, ATTACK, person=person, house=hospital.n, type=wrong, kind=kind, theft=theft.house)


def _when(world: World, rng: Random, kind: str, theft: Theft) -> int:
    days = (world.until_ms - BEGUN_MS) // DAY_MS
    if kind == STOLEN_AFTER:
        first, last = theft.found_ms + DAY_MS, theft.found_ms + 30 * DAY_MS
    elif kind in STEALING:
        first, last = theft.from_ms + 2 * DAY_MS, theft.found_ms - DAY_MS
    else:
        first, last = BEGUN_MS + min(160, days // 2) * DAY_MS, world.until_ms - 2 * DAY_MS
    return min(rng.randint(first, last), world.until_ms - HOUR_MS)
