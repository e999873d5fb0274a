"""What a simulation found, counted, and as one answer. Pure."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of what happened.

    forged, caught, caught_late, missed: by the kind of attack, of which each is one application; caught_late: let in before
    anybody could know of the theft, and out of work since it was known. refused: of good papers and of who is fit, by where
    and why. worked: shifts of people who may not, by why. blocked: shifts that were rightly refused, likewise.
    """

    credentials: int = 0
    presentations: int = 0
    hires: int = 0
    rightly_not_hired: int = 0
    shifts: int = 0
    shifts_before_known: int = 0
    forged: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    caught_late: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    worked: Counter[str] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def seen(self, kind: str, codes: str) -> None:
        """Why an attack failed, by the first step that said so."""
        self.codes.setdefault(kind, Counter())[codes] += 1


def answer(
    tally: Tally, *, staff: int, institutions: int, years: int, seed: int, log: dict[str, object]
) -> dict[str, object]:
    """The report, but for how long it took. Every key is there whatever happened."""
    kinds = {
        kind: {
            "forged": tally.forged[kind],
            "caught": tally.caught[kind],
            "caught_late": tally.caught_late[kind],
            "missed": tally.missed[kind],
            "codes": dict(sorted(tally.codes.get(kind, Counter()).items())),
        }
        for kind in sorted(tally.forged)
    }
    return {
        "seed": seed,
        "institutions": institutions,
        "years": years,
        "staff": staff,
        "credentials": tally.credentials,
        "presentations": tally.presentations,
        "hires": tally.hires,
        "rightly_not_hired": tally.rightly_not_hired,
        "forged": tally.forged.total(),
        "caught": tally.caught.total() + tally.caught_late.total(),
        "caught_late": tally.caught_late.total(),
        "missed": tally.missed.total(),
        "wrongly_refused": tally.refused.total(),
        "wrongly_refused_by": dict(sorted(tally.refused.items())),
        "shifts": tally.shifts,
        "worked_while_suspended": tally.worked["suspended"],
        "worked_while": dict(sorted(tally.worked.items())),
        "shifts_before_known": tally.shifts_before_known,
        "shifts_blocked": dict(sorted(tally.blocked.items())),
        "events": dict(sorted(tally.events.items())),
        "by_kind": kinds,
        "log": log,
    }


def text(said: dict[str, object]) -> str:
    """The report for people."""
    lines = [
        f"{said['institutions']} institutions, {said['staff']} staff, {said['years']} years, seed {said['seed']}, "
        f"in {said['seconds']} s",
        f"  {said['credentials']} credentials, {said['presentations']} shown, {said['hires']} hires, {said['shifts']} shifts",
        f"  {said['forged']} forged: {said['caught']} caught ({said['caught_late']} only once the theft was known), "
        f"{said['missed']} missed",
        f"  {said['wrongly_refused']} wrongly refused, {said['worked_while_suspended']} shifts worked while suspended",
    ]
    kinds = said["by_kind"]
    assert isinstance(kinds, dict)
    for kind, each in kinds.items():
        late = f", {each['caught_late']} late" if each["caught_late"] else ""
        why = ", ".join(f"{code} {count}" for code, count in each["codes"].items())
        lines.append(f"  {kind:<22} {each['caught']} of {each['forged']} caught{late}, {each['missed']} missed  {why}")
    return "\n".join(lines)
