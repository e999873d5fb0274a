"""The types of credentials that institutions issue to staff, field by field.

Degrees and trainings have the shape of Open Badges 3.0 AchievementCredential; the others are ours, with the words of the field.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials.vc import contexts, secured
from protocol.errors import Malformed

TEXT, DATE, JURISDICTION, CHOICE = "text", "date", "jurisdiction", "choice"
NPI, DEA, LEI, LICENCE, CVX, SCHEDULES = "npi", "dea", "lei", "licence", "cvx", "schedules"
"""Kinds of fields, which say what a text must be."""
VALUE_MAX = 512  # characters of a field

ACHIEVEMENTS = (
    "Achievement ApprenticeshipCertificate Assessment Assignment AssociateDegree Award Badge BachelorDegree Certificate "
    "CertificateOfCompletion Certification CommunityService Competency Course CoCurricular Degree Diploma DoctoralDegree "
    "Fieldwork GeneralEducationDevelopment JourneymanCertificate LearningProgram License Membership ProfessionalDoctorate "
    "QualityAssuranceCredential MasterCertificate MasterDegree MicroCredential ResearchDoctorate SecondarySchoolDiploma"
).split()
"""AchievementType of Open Badges 3.0."""
CONFIRMED, DENIED, UNDECIDED = "confirmed", "denied", "unknown"  # what a primary source says
IN_ACHIEVEMENT = ("achievementType", "criteria", "description", "fieldOfStudy")
"""Fields that stand in the achievement and not beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. kind: what its text must be; label: for people; hidden: the holder may keep it back where the form lets them.

    hint: how it is written; values: of a choice.
    """

    name: str
    kind: str = TEXT
    label: str
    required: bool = True
    hidden: bool = False
    hint: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """One type. label: for people; days: how long it is valid when nobody says; achievement: the achievementType of Open Badges
    when nobody says, empty for the types that are ours."""

    name: str
    label: str
    days: int
    fields: tuple[Field, ...]
    achievement: str = ""

    @property
    def types(self) -> tuple[str, ...]:
        """The types that a credential of this one names; the most specific last."""
        badge = ("AchievementCredential", "OpenBadgeCredential") if self.achievement else ()
        return ("VerifiableCredential", *badge, self.name)

    @property
    def contexts(self) -> tuple[str, ...]:
        """The contexts that define them."""
        badge = (contexts.OPEN_BADGES,) if self.achievement else ()
        return (contexts.V2, *badge, contexts.OURS)

    @property
    def vct(self) -> str:
        """What an SD-JWT VC of this type names itself."""
        return secured.VCT + self.name

    @property
    def hidden(self) -> frozenset[str]:
        """The fields that a holder may keep back."""
        return frozenset(each.name for each in self.fields if each.hidden)


def draft(name: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """What a credential of a type says, before anybody issues it: contexts, types and subject. The holder, the issuer and the
    period come with issuing.

    Raises Malformed: type_unknown, field_unknown, field_missing, field_size.
    """
    found = CATALOGUE.get(name)
    if found is None:
        raise Malformed("type_unknown", f"a credential is one of: {', '.join(CATALOGUE)}")
    known = {each.name for each in found.fields}
    for each in fields:
        if each not in known:
            raise Malformed("field_unknown", f"a {found.label} has no field {each[:40]!r}")
    for field in found.fields:
        value = fields.get(field.name, "")
        if field.required and not value:
            raise Malformed("field_missing", f"a {found.label} says: {field.label} ({field.name})")
        if len(value) > VALUE_MAX:
            raise Malformed("field_size", f"{field.name} has at most {VALUE_MAX} characters")
    subject: dict[str, Any] = {each: value for each, value in fields.items() if value and each not in IN_ACHIEVEMENT}
    if found.achievement:
        subject |= {"type": ["AchievementSubject"], "achievement": _achievement(found, fields)}
    return {"@context": list(found.contexts), "type": list(found.types), "credentialSubject": subject}


def _achievement(found: Type, fields: Mapping[str, str]) -> dict[str, Any]:
    """Its id is the same for the same achievement, whoever has it. Source: Open Badges 3.0 §B.1.1 Achievement."""
    said = {
        "achievementType": fields.get("achievementType") or found.achievement,
        "name": fields["programme"],
        "description": fields.get("description") or f"{found.label}: {fields['programme']}",
        "criteria": {"narrative": fields.get("criteria") or "As the issuing institution asks for it."},
    }
    if fields.get("fieldOfStudy"):
        said["fieldOfStudy"] = fields["fieldOfStudy"]
    words = "\n".join([*(str(said[name]) for name in sorted(said)), found.name])
    name = hashlib.sha256(words.encode()).hexdigest()[:32]
    return {"id": f"urn:vigil:achievement:{name}", "type": ["Achievement"], **said}


def _field(name: str, label: str, **more: Any) -> Field:
    return Field(name=name, label=label, **more)


def _may(name: str, label: str, **more: Any) -> Field:
    return Field(name=name, label=label, required=False, **more)


_WHO = (
    _field("givenName", "Given name", hidden=True),
    _field("familyName", "Family name", hidden=True),
    _may("birthDate", "Birth date", kind=DATE, hidden=True),
    _field("jurisdiction", "Where it holds", kind=JURISDICTION),
)
_NPI = _may("npi", "National Provider Identifier", kind=NPI, hidden=True)
_BADGE = (
    _may("achievementType", "Kind of achievement", kind=CHOICE, values=tuple(ACHIEVEMENTS), hint="Of Open Badges 3.0"),
    _may("fieldOfStudy", "Field of study"),
    _may("criteria", "What it was given for"),
    _may("description", "Description"),
)
_TYPES = (
    Type(
        name="Degree",
        label="Degree",
        days=36_500,
        achievement="Degree",
        fields=(*_WHO, _field("programme", "Programme"), _field("conferredAt", "Conferred on", kind=DATE), *_BADGE),
    ),
    Type(
        name="Training",
        label="Training",
        days=730,
        achievement="CertificateOfCompletion",
        fields=(*_WHO, _field("programme", "Course"), _field("conferredAt", "Completed on", kind=DATE), *_BADGE),
    ),
    Type(
        name="StateLicence",
        label="State licence",
        days=730,
        fields=(
            *_WHO,
            _field("licenceNumber", "Licence number", kind=LICENCE, hidden=True),
            _field("licenceType", "Profession", hint="As Registered nurse, Physician or Pharmacist"),
            _NPI,
            _may("board", "Licensing board"),
            _may("scope", "What it is limited to"),
        ),
    ),
    Type(
        name="BoardCertification",
        label="Board certification",
        days=3650,
        fields=(
            *_WHO,
            _field("board", "Board"),
            _field("specialty", "Specialty"),
            _may("licenceNumber", "Number of the certificate", kind=LICENCE, hidden=True),
            _NPI,
        ),
    ),
    Type(
        name="DEARegistration",
        label="Registration for controlled substances",
        days=1095,
        fields=(
            *_WHO,
            _field("deaNumber", "DEA number", kind=DEA, hidden=True),
            _field("schedules", "Schedules", kind=SCHEDULES, hint="As 2, 2N, 3, 3N, 4, 5"),
            _NPI,
        ),
    ),
    Type(
        name="EmploymentRecord",
        label="Employment",
        days=3650,
        fields=(
            *_WHO,
            _field("employer", "Employer"),
            _field("position", "Position"),
            _field("startDate", "From", kind=DATE),
            _may("endDate", "Until", kind=DATE),
            _may("employmentType", "Kind of employment", hint="As full-time"),
            _may("department", "Department"),
            _may("lei", "The employer's Legal Entity Identifier", kind=LEI),
        ),
    ),
    Type(
        name="Privilege",
        label="Clinical privilege",
        days=730,
        fields=(
            *_WHO,
            _field("privilege", "Privilege"),
            _field("site", "Site"),
            _NPI,
            _may("specialty", "Specialty"),
            _may("department", "Department"),
            _may("supervision", "Under whose supervision"),
            _may("scope", "What it is limited to"),
        ),
    ),
    Type(
        name="ImmunisationRecord",
        label="Immunisation",
        days=3650,
        fields=(
            *_WHO,
            _field("vaccineCode", "Vaccine (CVX)", kind=CVX, hidden=True, hint="A code of the CDC, as 207"),
            _field("conferredAt", "Given on", kind=DATE),
            _may("lotNumber", "Lot", hidden=True),
            _may("performer", "Given by", hidden=True),
        ),
    ),
    Type(
        name="ComplianceRecord",
        label="Compliance",
        days=365,
        fields=(
            *_WHO,
            _field("compliance", "What was complied with", hint="As background-check or fit-test"),
            _field("checkedAt", "On", kind=DATE),
            _may("checkedBy", "Checked by"),
        ),
    ),
    Type(
        name="PrimarySourceVerification",
        label="Primary source verification",
        days=1096,  # as long as a file may rest on it after hiring; how old it may be is asked of when the source was
        fields=(
            *_WHO,
            _field("source", "Source that was asked"),
            _field(
                "claim",
                "What was asked about",
                hint="A type, as StateLicence, or one credential's number on the ledger",
            ),
            _field("result", "What it said", kind=CHOICE, values=(CONFIRMED, DENIED, UNDECIDED)),
            _field("checkedAt", "Asked on", kind=DATE),
            _field("checkedBy", "Asked by"),
            _may("method", "How it was asked", kind=CHOICE, values=("manual", "portal", "pull", "push")),
        ),
    ),
)
CATALOGUE: Mapping[str, Type] = {each.name: each for each in _TYPES}
