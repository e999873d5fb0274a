"""What a credential says, looked at for itself: fields that are missing, dates and numbers that cannot be."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials import model
from ledger.credentials.types import numbers
from ledger.credentials.types.catalogue import (
    ACHIEVEMENTS,
    CATALOGUE,
    CHOICE,
    CVX,
    DATE,
    DEA,
    IN_ACHIEVEMENT,
    JURISDICTION,
    LEI,
    LICENCE,
    NPI,
    SCHEDULES,
    VALUE_MAX,
    Field,
    Type,
)
from ledger.credentials.vc import secured
from ledger.credentials.vc.secured import Secured

ORDERED = (
    ("birthDate", "startDate"),
    ("birthDate", "conferredAt"),
    ("birthDate", "checkedAt"),
    ("startDate", "endDate"),
)
"""Dates of which the first is not after the second."""
PAST = ("birthDate", "conferredAt", "checkedAt")
"""Dates that had come when the credential was issued, somewhere on earth. An employment may begin later."""
TEXT_MAX = 2 * VALUE_MAX  # characters of a text in an achievement, which may be made of a field
TIME_MAX_MS = 253_402_214_400_000  # the last day of the year 9999; what is later is as good as this
ZONES_MS = 14 * 3_600_000  # a day begins by this much earlier in the easternmost time zone than in UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that cannot be. code: stable; field: where."""

    code: str
    field: str


def problems(found: Secured) -> tuple[str, ...]:
    """The codes of what is wrong with a credential, as the step `content` of a verdict has them; as `check`.

    A field that the holder may keep back, and has, is not missing.
    """
    said = secured.said(found.claims)
    in_part = found.format == secured.SD_JWT
    return tuple(each.code for each in check(found.type, said, in_part=in_part, from_ms=found.from_ms))


def check(
    name: str, said: Mapping[str, Any], *, in_part: bool = False, from_ms: int | None = None
) -> tuple[Problem, ...]:
    """What is wrong with what a credential of a type says about its subject, in the order of the fields.

    in_part: fields may have been kept back; from_ms: since when it is valid. Codes: type_unknown, field_missing, field_size,
    date_bad, npi_bad, dea_bad, lei_bad, licence_bad, cvx_bad, schedules_bad, choice_bad, jurisdiction_bad, achievement_bad,
    dates_crossed, date_ahead.
    """
    kind = CATALOGUE.get(name)
    if kind is None:
        return (Problem(code="type_unknown", field="type"),)
    found: list[Problem] = []
    for field in kind.fields:
        code = "" if field.name in IN_ACHIEVEMENT else _wrong(field, said.get(field.name), in_part=in_part)
        if code:
            found.append(Problem(code=code, field=field.name))
    if kind.achievement and not (in_part and "achievement" not in said) and not _is_achievement(kind, said):
        found.append(Problem(code="achievement_bad", field="achievement"))
    return (*found, *_dates(said, from_ms))


def can_be(kind: str, value: object) -> bool:
    """Whether a field of this kind can have a value. What a choice is between, its field knows."""
    return isinstance(value, str) and 0 < len(value) <= VALUE_MAX and _CHECKS.get(kind, _anything)(value)


def is_date(text: str) -> bool:
    """Whether this is a calendar date as ISO 8601 has it, YYYY-MM-DD."""
    return _day(text) is not None


def _wrong(field: Field, value: object, *, in_part: bool) -> str:
    """The code of what is wrong with a field, empty when nothing is."""
    if value is None:
        return "field_missing" if field.required and not (field.hidden and in_part) else ""
    if not isinstance(value, str) or not 0 < len(value) <= VALUE_MAX or not value.isprintable():
        return "field_size"
    if field.kind == CHOICE:
        return "" if value in field.values else "choice_bad"
    return "" if _CHECKS.get(field.kind, _anything)(value) else f"{field.kind}_bad"


def _is_achievement(kind: Type, said: Mapping[str, Any]) -> bool:
    """Whether the achievement has what Open Badges asks for, and is the one that the credential names. Open Badges 3.0 §B.1.1."""
    found = said.get("achievement")
    if not isinstance(found, Mapping) or found.get("name") != said.get("programme"):
        return False
    criteria = found.get("criteria")
    texts = all(
        isinstance(found.get(name), str) and 0 < len(found[name]) <= TEXT_MAX for name in ("id", "name", "description")
    )
    types = found.get("type")
    typed = "Achievement" in (types if isinstance(types, list) else [types])
    return (
        texts
        and typed
        and isinstance(criteria, Mapping)
        and bool(criteria.get("narrative") or criteria.get("id"))
        and found.get("achievementType", kind.achievement) in ACHIEVEMENTS
    )


def _dates(said: Mapping[str, Any], from_ms: int | None) -> list[Problem]:
    day = {name: _day(said.get(name)) for name in {*PAST, *(name for pair in ORDERED for name in pair)}}
    found = []
    for first, second in ORDERED:
        before, after = day[first], day[second]
        if before is not None and after is not None and before > after:
            found.append(Problem(code="dates_crossed", field=second))
    if from_ms is not None:
        began = datetime.datetime.fromtimestamp(min(from_ms + ZONES_MS, TIME_MAX_MS) // 1000, datetime.UTC).date()
        for name in PAST:
            on = day[name]
            if on is not None and on > began:
                found.append(Problem(code="date_ahead", field=name))
    return found


def _day(text: object) -> datetime.date | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.isoformat() == text else None


def _anything(_: str) -> bool:
    return True


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    NPI: numbers.is_npi,
    DEA: numbers.is_dea,
    LEI: numbers.is_lei,
    LICENCE: numbers.is_licence,
    CVX: numbers.is_vaccine,
    SCHEDULES: numbers.are_schedules,
    DATE: is_date,
    JURISDICTION: model.is_jurisdiction,
}
