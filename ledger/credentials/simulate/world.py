"""A world from a seed: institutions with what they may vouch for, people, and what posts need. Pure.

Everybody is invented: names are drawn from two short lists, and numbers pass their check digits and are nobody's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from ledger.credentials.vc import times

DAY_MS = 86_400_000
BEGUN_MS = 1_767_225_600_000  # 2026-01-01 in UTC
STATES = ("US-CA", "US-NY", "US-TX", "US-FL")
COUNTRY = "US"

UNIVERSITY, STATE, BOARD, AUTHORITY = "university", "state board", "certification board", "drug authority"
CHECK = "PrimarySourceVerification"  # somebody asked the source of a licence
HOSPITAL, TRAINING, MILL, TRAINING_MILL = "hospital", "training company", "mill", "training mill"
FIRST = (UNIVERSITY, STATE, HOSPITAL, TRAINING_MILL, HOSPITAL, MILL, TRAINING, AUTHORITY, BOARD)
"""The kinds of the first institutions; of four, a world has who teaches, licenses, hires and cheats."""
THEN = (HOSPITAL, UNIVERSITY, HOSPITAL, STATE, HOSPITAL, TRAINING, HOSPITAL)  # and of the others, again and again

MAY: Mapping[str, tuple[str, ...]] = {
    UNIVERSITY: ("Degree", "Training"),
    STATE: ("StateLicence",),
    BOARD: ("BoardCertification", CHECK),
    AUTHORITY: ("DEARegistration",),
    HOSPITAL: ("ImmunisationRecord", "EmploymentRecord", "Privilege"),
    TRAINING: ("Training",),
    TRAINING_MILL: ("Training",),
    MILL: (),
}
"""What an institution of a kind is accredited for: in its state, if it licenses, else in the country."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    "physician": (
        "Degree",
        "StateLicence",
        "BoardCertification",
        "DEARegistration",
        "Training",
        "ImmunisationRecord",
        CHECK,
    ),
    "nurse": ("Degree", "StateLicence", "Training", "ImmunisationRecord"),
    "pharmacist": ("Degree", "StateLicence", "DEARegistration", "Training"),
}
"""What a post needs, by profession, where there is somebody who may vouch for it."""
LASTS: Mapping[str, int] = {
    "Degree": 36_500,
    "StateLicence": 730,
    "BoardCertification": 3650,
    "DEARegistration": 1095,
    "Training": 730,
    "ImmunisationRecord": 730,
    "EmploymentRecord": 3650,
    "Privilege": 730,
    CHECK: 1096,
}
"""Days that a credential is valid."""

_GIVEN = "Ada Ben Chen Dana Eli Fay Gus Hana Ivo June Kofi Lena Marc Nia Omar Pia Quin Rosa Sam Tess Uma Vera Wim Yara".split()
_FAMILY = (
    "Abara Bauer Castro Dietz Eriksen Farouk Gomez Hoang Ito Jansen Kaur Lopez Mbeki Novak Okafor Petrov Quist Rahman "
    "Silva Tanaka Usman Vogel Weber Young"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """An institution. n: its place in the world; state: where it is."""

    n: int
    kind: str
    name: str
    did: str
    state: str

    @property
    def crooked(self) -> bool:
        """Whether it sells what nobody earned."""
        return self.kind in (MILL, TRAINING_MILL)

    def covers(self, kind: str) -> str:
        """Where what it says of a type holds."""
        return self.state if kind == "StateLicence" else COUNTRY


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody on the staff, or who would be. npi, dea: numbers that pass their check digits."""

    n: int
    given: str
    family: str
    profession: str
    npi: str
    dea: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Who there is. needs: by profession, what a post asks for in this world."""

    houses: Sequence[House]
    people: Sequence[Person]
    needs: Mapping[str, tuple[str, ...]]
    until_ms: int

    def of(self, *kinds: str) -> list[House]:
        """The institutions of these kinds."""
        return [each for each in self.houses if each.kind in kinds]

    def who_may(self, kind: str, state: str | None = None) -> list[House]:
        """Honest institutions that may vouch for a type; of a state, where the type is a state's."""
        may = [each for each in self.houses if kind in MAY[each.kind] and not each.crooked]
        return [each for each in may if state is None or kind != "StateLicence" or each.state == state]


def made(rng: Random, *, institutions: int, staff: int, years: int) -> World:
    """A world. institutions: 4 at least, so that somebody teaches, licenses, hires and cheats."""
    kinds = [*FIRST, *(THEN[n % len(THEN)] for n in range(max(0, institutions - len(FIRST))))][:institutions]
    counts: dict[str, int] = {}
    houses = []
    for n, kind in enumerate(kinds):
        place = counts[kind] = counts.get(kind, -1) + 1
        boards = max(1, min(len(STATES), kinds.count(STATE)))
        state = STATES[place % boards]
        name = f"{kind.capitalize()} {place + 1}"
        houses.append(House(n=n, kind=kind, name=name, did=f"did:web:house-{n}.example", state=state))
    people = [_person(rng, n) for n in range(staff)]
    vouched = {kind for each in houses if not each.crooked for kind in MAY[each.kind]}
    needs = {name: tuple(kind for kind in kinds if kind in vouched) for name, kinds in NEEDS.items()}
    return World(houses=houses, people=people, needs=needs, until_ms=BEGUN_MS + years * 365 * DAY_MS)


def date(at_ms: int) -> str:
    """The day of a time, as YYYY-MM-DD."""
    return times.write(at_ms)[:10]


def _person(rng: Random, n: int) -> Person:
    profession = rng.choices(tuple(NEEDS), weights=(3, 6, 1))[0]
    return Person(
        n=n,
        given=rng.choice(_GIVEN),
        family=f"{rng.choice(_FAMILY)}-{rng.choice(_FAMILY)}",
        profession=profession,
        npi=_npi(rng),
        dea=_dea(rng),
    )


def _npi(rng: Random) -> str:
    """Ten digits: Luhn over the prefix 80840 and them. Source: 45 CFR 162.406."""
    digits = f"1{rng.randrange(10**8):08d}"
    total = 24 + sum(  # 24: of the prefix
        sum(divmod(int(each) * 2, 10)) if place % 2 == 0 else int(each) for place, each in enumerate(reversed(digits))
    )
    return digits + str(-total % 10)


def _dea(rng: Random) -> str:
    """Two letters, six digits and their check digit."""
    digits = [rng.randrange(10) for _ in range(6)]
    check = (digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])) % 10
    return f"B{rng.choice('ABCDEFGHJKLM')}{''.join(map(str, digits))}{check}"
