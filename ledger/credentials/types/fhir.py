"""Credentials as FHIR R4 resources, and back: Practitioner, PractitionerRole and VerificationResult.

What FHIR has an element for stands there; other fields of a type are extensions named by our vocabulary, so that a draft that is
made of a resource says the same again. A resource is never signed or hashed: what counts is the credential that it came from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ledger.credentials.types import fhir_shape
from ledger.credentials.types.catalogue import CATALOGUE, CONFIRMED, DENIED, IN_ACHIEVEMENT
from ledger.credentials.vc import secured
from ledger.credentials.vc.secured import Secured
from protocol.errors import Malformed

VOCABULARY = "https://vigil.example/credentials#"
URI, NPI_SYSTEM = "urn:ietf:rfc:3986", "http://hl7.org/fhir/sid/us-npi"
IDENTIFIERS = "http://terminology.hl7.org/CodeSystem/v2-0203"
QUALIFICATIONS = ("Degree", "Training", "StateLicence", "BoardCertification", "DEARegistration")
ROLES = ("EmploymentRecord", "Privilege")
_NUMBERS = {"licenceNumber": "LN", "deaNumber": "DEA"}  # of table 0203
_TITLES = {
    "Degree": "programme",
    "Training": "programme",
    "StateLicence": "licenceType",
    "BoardCertification": "specialty",
    "DEARegistration": "schedules",
    "EmploymentRecord": "position",
    "Privilege": "privilege",
}
_PLACES = {"EmploymentRecord": "employer", "Privilege": "site"}
_PERSON = ("givenName", "familyName", "birthDate", "npi")
_STATUS = {"pass": "validated", "fail": "val-fail", "unknown": "in-process"}
_AGED = frozenset({"check_too_old", "source_too_old"})
_CHECKS = {CONFIRMED: "successful", DENIED: "failed", "unknown": "unknown"}
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A credential as it was shown. said: its fields, those of an achievement among them; name: on the ledger, or empty."""

    type: str
    issuer: str
    subject: str
    name: str
    said: Mapping[str, str]
    from_ms: int | None = None
    until_ms: int | None = None


def shown(found: Secured) -> Shown:
    """A credential that was read. Fields that are no texts are left out."""
    said = secured.said(found.claims)
    achievement = said.get("achievement")
    whole = {**(achievement if isinstance(achievement, Mapping) else {}), **said}
    criteria = whole.get("criteria")
    if isinstance(criteria, Mapping):
        whole["criteria"] = criteria.get("narrative")
    names = {each.name for each in CATALOGUE[found.type].fields} if found.type in CATALOGUE else set()
    return Shown(
        type=found.type,
        issuer=found.issuer,
        subject=found.subject or "",
        name="" if found.anchor is None else f"urn:vigil:credential:{found.anchor.id.hex()}",
        said={name: value for name, value in whole.items() if name in names and isinstance(value, str)},
        from_ms=found.from_ms,
        until_ms=found.until_ms,
    )


def practitioner(found: Sequence[Shown]) -> dict[str, Any]:
    """A Practitioner with a qualification for each credential that is one. Raises Malformed: fhir_subject, of two people."""
    if len({each.subject for each in found}) > 1:
        raise Malformed("fhir_subject", "a Practitioner is one person")
    person: dict[str, str] = {}
    for each in found:
        person = {**{name: each.said[name] for name in _PERSON if each.said.get(name)}, **person}
    identifiers = [{"use": "official", "system": NPI_SYSTEM, "value": person["npi"]}] if "npi" in person else []
    identifiers += [_uri(each.subject) for each in found[:1] if each.subject]
    name = {"family": person.get("familyName"), "given": [person["givenName"]] if "givenName" in person else None}
    qualifications = [_qualification(each) for each in found if each.type in QUALIFICATIONS]
    return _whole(
        resourceType="Practitioner",
        identifier=identifiers,
        name=[_whole(use="official", **name)] if any(name.values()) else None,
        birthDate=person.get("birthDate"),
        qualification=qualifications,
    )


def practitioner_role(found: Shown, *, now_ms: int) -> dict[str, Any]:
    """A PractitionerRole of an employment or a privilege. Raises Malformed: fhir_type."""
    if found.type not in ROLES:
        raise Malformed("fhir_type", f"a PractitionerRole is made of: {', '.join(ROLES)}")
    said, title = found.said, _TITLES[found.type]
    period = _period(found)
    if found.type == "EmploymentRecord":
        period = _whole(start=said.get("startDate"), end=said.get("endDate"))
    over = found.until_ms is not None and now_ms >= found.until_ms
    ended = period.get("end", "9999") < _day(now_ms) or over
    used = (title, _PLACES[found.type], "specialty", "startDate", "endDate")
    return _whole(
        resourceType="PractitionerRole",
        identifier=[_uri(found.name)] if found.name else None,
        active=not ended,
        period=period,
        practitioner={"type": "Practitioner", "identifier": _uri(found.subject)} if found.subject else None,
        organization=_organisation(found.issuer, said.get(_PLACES[found.type], "")),
        code=[_kind(found.type, said.get(title, ""))],
        specialty=[{"text": said["specialty"]}] if said.get("specialty") else None,
        extension=_extensions(found, used=used, with_person=True),
    )


def verification_result(
    target: Shown,
    *,
    outcome: str,
    code: str,
    at_ms: int,
    validator: str,
    source: Shown | None = None,
    checked_ms: int | None = None,
    next_ms: int | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """What a verdict found of a credential, and what its primary source said, as a VerificationResult.

    outcome, code: of the verdict, pass, fail or unknown; validator: the DID or name of who made it; source: a
    PrimarySourceVerification; checked_ms: when that source was asked; next_ms: when it will be again; again: it was valid before.
    """
    status = "req-revalid" if code in _AGED else _STATUS[outcome]
    status = "reval-fail" if again and status == "val-fail" else status
    return _whole(
        resourceType="VerificationResult",
        target=[{"identifier": _uri(target.name or target.subject), "display": CATALOGUE[target.type].label}],
        need=_term("need", "periodic" if next_ms is not None else "initial"),
        status=status,
        statusDate=_instant(at_ms),
        validationType=_term("validation-type", "primary"),
        validationProcess=[_term("validation-process", "primary")] if source else None,
        lastPerformed=_instant(at_ms),
        nextScheduled=None if next_ms is None else _day(next_ms),
        failureAction=_term("failure-action", "fatal"),
        primarySource=[_primary_source(source, checked_ms)] if source else None,
        attestation=_whole(
            who={"type": "Organization", "identifier": _uri(target.issuer)},
            date=None if target.from_ms is None else _day(target.from_ms),
        ),
        validator=[{"organization": _organisation(validator, "")}],
        extension=[{"url": f"{VOCABULARY}code", "valueString": code}],
    )


def drafts(resource: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """(type, fields) of each qualification of a Practitioner, or of a PractitionerRole, that says in our words what it is.

    The fields may be too few for a draft: who issues it fills in the rest. Raises Malformed: fhir_bad, with the first problem.
    """
    wrong = fhir_shape.problems(resource)
    if wrong:
        raise Malformed("fhir_bad", wrong[0])
    if resource["resourceType"] == "Practitioner":
        person = _person(resource)
        return [found for each in resource.get("qualification", []) if (found := _draft(each, person))]
    if resource["resourceType"] == "PractitionerRole":
        found = _draft({**resource, "code": next(iter(resource.get("code", [])), {})}, {})
        return [found] if found else []
    raise Malformed("fhir_bad", "a draft is made of a Practitioner or a PractitionerRole")


def _qualification(found: Shown) -> dict[str, Any]:
    title = _TITLES[found.type]
    numbers = [
        {"type": {"coding": [{"system": IDENTIFIERS, "code": code}]}, "value": found.said[name]}
        for name, code in _NUMBERS.items()
        if found.said.get(name)
    ]
    return _whole(
        extension=_extensions(found, used=(title, *_NUMBERS), with_person=False),
        identifier=[*([_uri(found.name)] if found.name else []), *numbers],
        code=_kind(found.type, found.said.get(title, "")),
        period=_period(found),
        issuer={"type": "Organization", "identifier": _uri(found.issuer)},
    )


def _draft(found: Mapping[str, Any], person: Mapping[str, str]) -> tuple[str, dict[str, str]] | None:
    code = found.get("code", {})
    kind = next((each.get("code") for each in code.get("coding", []) if each.get("system") == VOCABULARY), None)
    if kind not in _TITLES:
        return None
    known = {each.name for each in CATALOGUE[kind].fields}
    fields = dict(person)
    for each in found.get("extension", []):
        if each["url"].startswith(VOCABULARY) and isinstance(each.get("valueString"), str):
            fields[each["url"].removeprefix(VOCABULARY)] = each["valueString"]
    fields |= dict(_read_numbers(found))
    if code.get("text"):
        fields[_TITLES[kind]] = code["text"]
    if kind in ROLES:
        fields |= _read_role(kind, found)
    return kind, {name: value for name, value in fields.items() if name in known}


def _read_numbers(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {code: name for name, code in _NUMBERS.items()}
    for each in found.get("identifier", []):
        for coding in each.get("type", {}).get("coding", []):
            if coding.get("system") == IDENTIFIERS and coding.get("code") in names and each.get("value"):
                yield names[coding["code"]], each["value"]


def _read_role(kind: str, found: Mapping[str, Any]) -> dict[str, str]:
    fields = {_PLACES[kind]: found.get("organization", {}).get("display", "")}
    if kind == "EmploymentRecord":
        period = found.get("period", {})
        fields |= {"startDate": period.get("start", ""), "endDate": period.get("end", "")}
    for each in found.get("specialty", [])[:1]:
        fields["specialty"] = each.get("text", "")
    return {name: value for name, value in fields.items() if value}


def _person(resource: Mapping[str, Any]) -> dict[str, str]:
    name: Mapping[str, Any] = next(iter(resource.get("name", [])), {})
    npi = next(
        (each.get("value", "") for each in resource.get("identifier", []) if each.get("system") == NPI_SYSTEM), ""
    )
    found = {
        "familyName": name.get("family", ""),
        "givenName": " ".join(name.get("given", [])),
        "birthDate": resource.get("birthDate", ""),
        "npi": npi,
    }
    return {key: value for key, value in found.items() if value}


def _extensions(found: Shown, *, used: Sequence[str], with_person: bool) -> list[dict[str, str]]:
    """The fields that have no element of their own."""
    skip = {*used, *(() if with_person else _PERSON)}
    order = [each.name for each in CATALOGUE[found.type].fields]
    named = [name for name in order if name not in skip and found.said.get(name)]
    assert set(IN_ACHIEVEMENT).isdisjoint(used)
    return [{"url": VOCABULARY + name, "valueString": found.said[name]} for name in named]


def _primary_source(found: Shown, checked_ms: int | None) -> dict[str, Any]:
    how = found.said.get("method")
    return _whole(
        who={"type": "Organization", "display": found.said.get("source", "")} if found.said.get("source") else None,
        communicationMethod=[_term("verificationresult-communication-method", how)] if how else None,
        validationStatus=_term("validation-status", _CHECKS.get(found.said.get("result", ""), "unknown")),
        validationDate=found.said.get("checkedAt") if checked_ms is None else _instant(checked_ms),
        canPushUpdates=_term("can-push-updates", "undetermined"),
    )


def _kind(name: str, text: str) -> dict[str, Any]:
    coding = [{"system": VOCABULARY, "code": name, "display": CATALOGUE[name].label}]
    return _whole(coding=coding, text=text)


def _organisation(name: str, display: str) -> dict[str, Any]:
    named = _uri(name) if name.startswith("did:") else None
    return _whole(type="Organization", identifier=named, display=display or (None if named else name))


def _term(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": _TERMINOLOGY + system, "code": code}]}


def _uri(value: str) -> dict[str, str]:
    return {"system": URI, "value": value}


def _period(found: Shown) -> dict[str, str]:
    start = None if found.from_ms is None else _instant(found.from_ms)
    return _whole(start=start, end=None if found.until_ms is None else _instant(found.until_ms))


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(at_ms: int) -> str:
    return _instant(at_ms)[:10]


def _whole(**elements: Any) -> dict[str, Any]:
    """An element without the members that are empty, which FHIR does not allow."""
    return {name: value for name, value in elements.items() if value not in (None, "", [], {})}
