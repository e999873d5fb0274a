"""Posts and what they need: which credentials, from where, by whom, how lately asked of their source, and what they allow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ledger.credentials import model
from protocol.errors import Malformed, NotFound

DAY_MS = 86_400_000
CHECK_AGE_MS = 120 * DAY_MS  # how lately a source was asked when somebody is hired. NCQA, from July 2025 on
RECREDENTIAL_MONTHS = 36  # after which everything is asked for again. NCQA
RECHECK_AGE_MS = 1096 * DAY_MS  # how lately afterwards: within those months, of which 36 have at most as many days
NEEDS_MAX = 32  # of one post; more are refused
VALUES_MAX = 64  # places, issuers, claims, or values of a claim, of one need; more are refused
TEXT_MAX = 256  # characters of a name, a label or a value; a longer one is refused
AGE_MAX_DAYS = 36_525  # a hundred years

TRADING_PARTNER, BREAK_GLASS, PRESCRIBER, SIGN = "trading-partner", "break-glass", "prescriber", "sign"
CAPABILITIES = (TRADING_PARTNER, BREAK_GLASS, PRESCRIBER, SIGN)
"""What a file can allow: to act for a trading partner, to open a record in an emergency, to prescribe, to sign for us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that a post needs. name: within the post.

    places: one of them is to be covered, any when there are none; issuers: DIDs, any when there are none; says: claims, each
    with the values that will do; checked_ms: how old the word of its primary source may be at hiring, and rechecked_ms
    afterwards; None: the source need not have been asked.
    """

    name: str
    type: str
    label: str
    places: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()
    says: Mapping[str, frozenset[str]] = field(default_factory=dict)
    checked_ms: int | None = None
    rechecked_ms: int = RECHECK_AGE_MS

    def to_json(self) -> dict[str, Any]:
        """Ages in days."""
        return {
            "name": self.name,
            "type": self.type,
            "label": self.label,
            "places": sorted(self.places),
            "issuers": sorted(self.issuers),
            "says": {name: sorted(values) for name, values in self.says.items()},
            "checked_days": None if self.checked_ms is None else self.checked_ms // DAY_MS,
            "rechecked_days": self.rechecked_ms // DAY_MS,
        }

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """Reads what `to_json` writes; all but name and type may be left out. Raises Malformed: post_bad."""
        if not said.keys() <= _NEED or said.get("type") not in model.TYPES:
            raise Malformed("post_bad", f"a need is of one of the types {', '.join(sorted(model.TYPES))}")
        says, days = said.get("says", {}), said.get("checked_days")
        if not isinstance(says, Mapping) or len(says) > VALUES_MAX:
            raise Malformed("post_bad", "says of a need is an object of claims")
        name = _text(said.get("name"))
        return cls(
            name=name,
            type=said["type"],
            label=_text(said.get("label", name)),
            places=_texts(said.get("places", [])),
            issuers=_texts(said.get("issuers", [])),
            says={_text(claim): _texts(values) for claim, values in says.items()},
            checked_ms=None if days is None else _days(days),
            rechecked_ms=_days(said.get("rechecked_days", RECHECK_AGE_MS // DAY_MS)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A kind of post. grants: capabilities, each with the names of the needs that it rests on."""

    name: str
    label: str
    needs: tuple[Need, ...]
    grants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [need.name for need in self.needs]
        assert len(set(names)) == len(names) <= NEEDS_MAX, "the needs of a post have names of their own"
        assert self.grants.keys() <= set(CAPABILITIES), "a post grants capabilities that there are"
        assert all(set(each) <= set(names) for each in self.grants.values()), "a capability rests on needs of its post"

    def to_json(self) -> dict[str, Any]:
        """For the file that is opened for it, and for other programs."""
        return {
            "name": self.name,
            "label": self.label,
            "needs": [need.to_json() for need in self.needs],
            "grants": {name: list(needs) for name, needs in self.grants.items()},
        }

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """Reads what `to_json` writes. Raises Malformed: post_bad."""
        needs, grants = said.get("needs"), said.get("grants", {})
        if not said.keys() <= {"name", "label", "needs", "grants"} or not isinstance(grants, Mapping):
            raise Malformed("post_bad", "a post has a name, a label, needs and grants")
        if (
            not isinstance(needs, list)
            or not 0 < len(needs) <= NEEDS_MAX
            or not all(isinstance(n, Mapping) for n in needs)
        ):
            raise Malformed("post_bad", f"a post has between 1 and {NEEDS_MAX} needs")
        found = tuple(Need.read(each) for each in needs)
        names = {need.name for need in found}
        rests = {str(name): tuple(sorted(_texts(each))) for name, each in grants.items()}
        if len(names) != len(found) or not rests.keys() <= set(CAPABILITIES):
            raise Malformed("post_bad", f"needs have names of their own, and grants are of {', '.join(CAPABILITIES)}")
        if not all(each and set(each) <= names for each in rests.values()):
            raise Malformed("post_bad", "a capability rests on at least one need of its post")
        name = _text(said.get("name"))
        return cls(name=name, label=_text(said.get("label", name)), needs=found, grants=rests)

    def need(self, name: str) -> Need:
        """Raises NotFound: need_unknown."""
        for each in self.needs:
            if each.name == name:
                return each
        raise NotFound("need_unknown", f"a {self.label} needs no such thing")


def usual(place: str) -> Mapping[str, Post]:
    """The usual posts of a hospital in a jurisdiction, such as "US-CA", by name."""
    here = frozenset({place})
    posts = (
        Post(
            name="registered-nurse",
            label="Registered nurse",
            needs=(_licence(here, "Registered nurse"), _DEGREE, _LIFE_SUPPORT, *_HEALTH, _BACKGROUND, _WORKED),
            grants={BREAK_GLASS: ("licence", "background")},
        ),
        Post(
            name="physician",
            label="Physician who prescribes controlled substances",
            needs=(
                _licence(here, "Physician"),
                _DEGREE,
                Need(name="board", type="BoardCertification", label="Board certification", checked_ms=CHECK_AGE_MS),
                Need(
                    name="dea", type="DEARegistration", label="DEA registration", places=here, checked_ms=CHECK_AGE_MS
                ),
                Need(name="privilege", type="Privilege", label="Clinical privileges"),
                _LIFE_SUPPORT,
                *_HEALTH,
                _BACKGROUND,
                _WORKED,
            ),
            grants={
                PRESCRIBER: ("licence", "dea"),
                BREAK_GLASS: ("licence", "privilege", "background"),
                SIGN: ("licence", "privilege"),
            },
        ),
        Post(
            name="pharmacist",
            label="Pharmacist",
            needs=(_licence(here, "Pharmacist"), _DEGREE, *_HEALTH, _BACKGROUND, _WORKED),
            grants={TRADING_PARTNER: ("licence", "background"), BREAK_GLASS: ("licence", "background")},
        ),
        Post(
            name="home-carer",
            label="Home carer",
            needs=(
                Need(name="training", type="Training", label="Training as a home carer"),
                *_HEALTH,
                _BACKGROUND,
            ),
        ),
        Post(
            name="technician",
            label="Laboratory technician",
            needs=(_DEGREE, Need(name="training", type="Training", label="Training at the device"), *_HEALTH),
        ),
    )
    return {each.name: each for each in posts}


_DEGREE = Need(name="degree", type="Degree", label="Degree")
_LIFE_SUPPORT = Need(
    name="life-support",
    type="Training",
    label="Training in life support",
    says={"programme": frozenset({"Basic life support", "Advanced life support"})},
)
_HEALTH = (Need(name="immunisation", type="ImmunisationRecord", label="Immunisation"),)
_BACKGROUND = Need(
    name="background",
    type="ComplianceRecord",
    label="Background check",
    says={"compliance": frozenset({"background-check"})},
)
_WORKED = Need(name="employment", type="EmploymentRecord", label="Last employment")


def _licence(here: frozenset[str], kind: str) -> Need:
    says = {"licenceType": frozenset({kind})}
    label = f"Licence: {kind.lower()}"
    return Need(name="licence", type="StateLicence", label=label, places=here, says=says, checked_ms=CHECK_AGE_MS)


_NEED = frozenset({"name", "type", "label", "places", "issuers", "says", "checked_days", "rechecked_days"})


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX or not value.isprintable():
        raise Malformed("post_bad", f"names and values are printable texts of at most {TEXT_MAX} characters")
    return value


def _texts(values: object) -> frozenset[str]:
    if not isinstance(values, list) or len(values) > VALUES_MAX:
        raise Malformed("post_bad", f"a list of at most {VALUES_MAX} texts")
    return frozenset(_text(each) for each in values)


def _days(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= AGE_MAX_DAYS:
        raise Malformed("post_bad", f"an age is a whole number of days up to {AGE_MAX_DAYS}")
    return value * DAY_MS
