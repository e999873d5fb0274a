"""The types of credentials that institutions issue to staff, field by field.

Degrees and trainings have the shape of Open Badges 3.0 AchievementCredential; the others are ours, with the words of the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import contexts
from protocol.errors import Malformed

TEXT, DATE, NPI, DEA, JURISDICTION = "text", "date", "npi", "dea", "jurisdiction"  # kinds of fields
VALUE_MAX = 512  # characters of a field


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. kind: what its text must be; label: for people; hidden: the holder may keep it back where the form lets them."""

    name: str
    kind: str = TEXT
    label: str
    required: bool = True
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """One type. label: for people; days: how long it is valid when nobody says; achievement: the achievementType of Open Badges,
    empty for the types that are ours."""

    name: str
    label: str
    days: int
    fields: tuple[Field, ...]
    achievement: str = ""

    @property
    def types(self) -> tuple[str, ...]:
        """The types that a credential of this one names; the most specific last."""
        badge = ("OpenBadgeCredential",) if self.achievement else ()
        return ("VerifiableCredential", *badge, self.name)

    @property
    def contexts(self) -> tuple[str, ...]:
        """The contexts that define them."""
        badge = (contexts.OPEN_BADGES,) if self.achievement else ()
        return (contexts.V2, *badge, contexts.OURS)

    @property
    def hidden(self) -> frozenset[str]:
        """The fields that a holder may keep back."""
        return frozenset(each.name for each in self.fields if each.hidden)


_WHO = (
    Field(name="givenName", label="Given name", hidden=True),
    Field(name="familyName", label="Family name", hidden=True),
)
_WHERE = Field(name="jurisdiction", kind=JURISDICTION, label="Where it holds")
_NPI = Field(name="npi", kind=NPI, label="National Provider Identifier", required=False, hidden=True)


def _field(name: str, label: str, **more: Any) -> Field:
    return Field(name=name, label=label, **more)


CATALOGUE: Mapping[str, Type] = {
    each.name: each
    for each in (
        Type(
            name="Degree",
            label="Degree",
            days=36_500,
            achievement="Degree",
            fields=(
                *_WHO,
                _WHERE,
                _field("programme", "Programme"),
                _field("conferredAt", "Conferred on", kind=DATE),
            ),
        ),
        Type(
            name="Training",
            label="Training",
            days=730,
            achievement="Certification",
            fields=(*_WHO, _WHERE, _field("programme", "Course"), _field("conferredAt", "Completed on", kind=DATE)),
        ),
        Type(
            name="StateLicence",
            label="State licence",
            days=730,
            fields=(
                *_WHO,
                _WHERE,
                _field("licenceNumber", "Licence number", hidden=True),
                _field("licenceType", "Profession"),
                _NPI,
            ),
        ),
        Type(
            name="BoardCertification",
            label="Board certification",
            days=3650,
            fields=(*_WHO, _WHERE, _field("board", "Board"), _field("specialty", "Specialty")),
        ),
        Type(
            name="DEARegistration",
            label="Registration for controlled substances",
            days=1095,
            fields=(
                *_WHO,
                _WHERE,
                _field("deaNumber", "DEA number", kind=DEA, hidden=True),
                _field("schedules", "Schedules"),
            ),
        ),
        Type(
            name="EmploymentRecord",
            label="Employment",
            days=3650,
            fields=(
                *_WHO,
                _WHERE,
                _field("employer", "Employer"),
                _field("position", "Position"),
                _field("startDate", "From", kind=DATE),
                _field("endDate", "Until", kind=DATE, required=False),
            ),
        ),
        Type(
            name="Privilege",
            label="Clinical privilege",
            days=730,
            fields=(*_WHO, _WHERE, _field("privilege", "Privilege"), _field("site", "Site"), _NPI),
        ),
        Type(
            name="ImmunisationRecord",
            label="Immunisation",
            days=3650,
            fields=(
                *_WHO,
                _WHERE,
                _field("vaccineCode", "Vaccine (CVX)", hidden=True),
                _field("conferredAt", "Given on", kind=DATE),
                _field("lotNumber", "Lot", required=False, hidden=True),
            ),
        ),
        Type(
            name="ComplianceRecord",
            label="Compliance",
            days=365,
            fields=(
                *_WHO,
                _WHERE,
                _field("compliance", "What was complied with"),
                _field("checkedAt", "On", kind=DATE),
            ),
        ),
        Type(
            name="PrimarySourceVerification",
            label="Primary source verification",
            days=365,
            fields=(
                *_WHO,
                _WHERE,
                _field("source", "Source that was asked"),
                _field("claim", "What was asked"),
                _field("result", "What it said"),
                _field("checkedAt", "Asked on", kind=DATE),
                _field("checkedBy", "Asked by"),
            ),
        ),
    )
}


def draft(name: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """What a credential of a type says, before anybody issues it: contexts, types and subject. The holder, the issuer and the
    period come with issuing.

    Raises Malformed: type_unknown, field_unknown, field_missing, field_size.
    """
    found = CATALOGUE.get(name)
    if found is None:
        raise Malformed("type_unknown", f"a credential is one of: {', '.join(CATALOGUE)}")
    known = {each.name: each for each in found.fields}
    for each in fields:
        if each not in known:
            raise Malformed("field_unknown", f"a {found.label} has no field {each[:40]!r}")
    for field in found.fields:
        value = fields.get(field.name, "")
        if field.required and not value:
            raise Malformed("field_missing", f"a {found.label} says: {field.label} ({field.name})")
        if len(value) > VALUE_MAX:
            raise Malformed("field_size", f"{field.name} has at most {VALUE_MAX} characters")
    subject: dict[str, Any] = {each: value for each, value in fields.items() if value}
    if found.achievement:
        subject |= {"type": ["AchievementSubject"], "achievement": _achievement(found, fields["programme"])}
    return {"@context": list(found.contexts), "type": list(found.types), "credentialSubject": subject}


def _achievement(found: Type, programme: str) -> dict[str, Any]:
    """Source: Open Badges 3.0 §B.1.2 Achievement."""
    return {
        "id": "urn:vigil:achievement:" + "".join(each if each.isalnum() else "-" for each in programme.lower()),
        "type": ["Achievement"],
        "achievementType": found.achievement,
        "name": programme,
        "description": f"{found.label}: {programme}",
        "criteria": {"narrative": "As the issuing institution asks for it."},
    }
