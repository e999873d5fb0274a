"""The shape of the FHIR R4 resources that we write and read: which elements there are, which are lists, which are required.

Written down from the element tables of FHIR 4.0.1 for Practitioner, PractitionerRole and VerificationResult and the data types in
them. Elements of types that are not here are only asked to be objects.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

DEPTH_MAX = 16  # of nested elements; deeper ones are a problem, and not looked into
PROBLEMS_MAX = 64  # then nobody reads on

_DOMAIN = "id:id implicitRules:uri language:code text:Narrative contained*:Any extension*:Extension modifierExtension*:Extension"
_BACKBONE = "id:id extension*:Extension modifierExtension*:Extension"
_TABLE = {
    "Practitioner": f"{_DOMAIN} meta:Meta identifier*:Identifier active:boolean name*:HumanName telecom*:Any address*:Any "
    "gender:code birthDate:date photo*:Any qualification*:Qualification communication*:CodeableConcept",
    "Qualification": f"{_BACKBONE} identifier*:Identifier code!:CodeableConcept period:Period issuer:Reference",
    "PractitionerRole": f"{_DOMAIN} meta:Meta identifier*:Identifier active:boolean period:Period practitioner:Reference "
    "organization:Reference code*:CodeableConcept specialty*:CodeableConcept location*:Reference healthcareService*:Reference "
    "telecom*:Any availableTime*:Any notAvailable*:Any availabilityExceptions:string endpoint*:Reference",
    "VerificationResult": f"{_DOMAIN} meta:Meta target*:Reference targetLocation*:string need:CodeableConcept status!:code "
    "statusDate:dateTime validationType:CodeableConcept validationProcess*:CodeableConcept frequency:Any "
    "lastPerformed:dateTime nextScheduled:date failureAction:CodeableConcept primarySource*:PrimarySource "
    "attestation:Attestation validator*:Validator",
    "PrimarySource": f"{_BACKBONE} who:Reference type*:CodeableConcept communicationMethod*:CodeableConcept "
    "validationStatus:CodeableConcept validationDate:dateTime canPushUpdates:CodeableConcept pushTypeAvailable*:CodeableConcept",
    "Attestation": f"{_BACKBONE} who:Reference onBehalfOf:Reference communicationMethod:CodeableConcept date:date "
    "sourceIdentityCertificate:string proxyIdentityCertificate:string proxySignature:Any sourceSignature:Any",
    "Validator": f"{_BACKBONE} organization!:Reference identityCertificate:string attestationSignature:Any",
    "Meta": "id:id extension*:Extension versionId:id lastUpdated:instant source:uri profile*:uri security*:Coding tag*:Coding",
    "Narrative": "id:id extension*:Extension status!:code div!:string",
    "Identifier": "id:id extension*:Extension use:code type:CodeableConcept system:uri value:string period:Period "
    "assigner:Reference",
    "HumanName": "id:id extension*:Extension use:code text:string family:string given*:string prefix*:string suffix*:string "
    "period:Period",
    "CodeableConcept": "id:id extension*:Extension coding*:Coding text:string",
    "Coding": "id:id extension*:Extension system:uri version:string code:code display:string userSelected:boolean",
    "Reference": "id:id extension*:Extension reference:string type:uri identifier:Identifier display:string",
    "Period": "id:id extension*:Extension start:dateTime end:dateTime",
}
_ELEMENT = re.compile(r"(\w+)(\*?)(!?):(\w+)")
ELEMENTS: Mapping[str, Mapping[str, tuple[str, bool, bool]]] = {
    name: {found[1]: (found[4], bool(found[2]), bool(found[3])) for found in _ELEMENT.finditer(text)}
    for name, text in _TABLE.items()
}
"""By type and element: (its type, whether it is a list, whether it is required)."""

STATUSES = ("attested", "validated", "in-process", "req-revalid", "val-fail", "reval-fail")
_DATE = r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
_PRIMITIVES = {
    "date": re.compile(_DATE),
    "dateTime": re.compile(f"{_DATE}|{_TIME}"),
    "instant": re.compile(_TIME),
    "code": re.compile(r"\S+( \S+)*"),
    "id": re.compile(r"\S{1,64}"),
    "uri": re.compile(r"\S+"),
    "string": re.compile(r".*\S.*", re.DOTALL),
}


def problems(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a resource, as the path of each element and what it is not. Empty: nothing that is looked at here.

    Raises nothing: a resource of another type has one problem.
    """
    kind = resource.get("resourceType")
    if kind not in ("Practitioner", "PractitionerRole", "VerificationResult"):
        return ("resourceType: not a type that is read here",)
    rest = {name: value for name, value in resource.items() if name != "resourceType"}
    found = _element(str(kind), rest, str(kind), 0)
    listed = [each for each, _ in zip(found, range(PROBLEMS_MAX), strict=False)]
    if kind == "VerificationResult" and resource.get("status") not in STATUSES:
        listed.append("VerificationResult.status: not a code of verification-result-status")
    return tuple(listed)


def _element(kind: str, value: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:
        yield f"{path}: too deep"
        return
    table = ELEMENTS[kind]
    for name, (_, _, required) in table.items():
        if required and name not in value:
            yield f"{path}.{name}: missing"
    for name, each in value.items():
        if name.startswith("_") and name[1:] in table:  # extensions of a primitive
            continue
        if name not in table:
            yield f"{path}.{str(name)[:64]}: no such element"
            continue
        inner, many, _ = table[name]
        if many is not isinstance(each, list) or each == []:
            yield f"{path}.{name}: {'a list' if many else 'not a list'}"
            continue
        for one in each if many else [each]:
            yield from _value(inner, one, f"{path}.{name}", depth)


def _value(kind: str, value: object, path: str, depth: int) -> Iterator[str]:
    if kind == "boolean":
        if not isinstance(value, bool):
            yield f"{path}: not a boolean"
    elif kind in _PRIMITIVES:
        if not isinstance(value, str) or _PRIMITIVES[kind].fullmatch(value) is None:
            yield f"{path}: not a {kind}"
    elif not isinstance(value, Mapping) or not value:
        yield f"{path}: not an object"
    elif kind == "Extension":
        if not isinstance(value.get("url"), str):
            yield f"{path}: an extension without a url"
    elif kind in ELEMENTS:
        yield from _element(kind, value, path, depth + 1)
