"""Credentials as FHIR R4 resources: of the shape of the official examples, and the same fields when they are read again."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials.types import draft, fhir, fhir_shape
from ledger.credentials.types.fhir import Shown
from protocol.errors import Malformed
from tests.credentials.test_types import DRAFTS, NOW_MS

HOLDER, ISSUER = "did:key:z6MkHolder", "did:web:board.example"
NAME = "urn:vigil:credential:" + "ab" * 16
UNTIL_MS = NOW_MS + 86_400_000 * 365


def shown(name: str, **changed: Any) -> Shown:
    said = {**DRAFTS[name], **changed}
    return Shown(
        type=name, issuer=ISSUER, subject=HOLDER, name=NAME, said=said, from_ms=NOW_MS - 1000, until_ms=UNTIL_MS
    )


def examples() -> Iterator[dict[str, Any]]:
    folder = Path(os.environ["VIGIL_VECTORS"]) / "fhir-r4-examples"
    for name in ("Practitioner", "PractitionerRole"):
        for path in sorted((folder / name).glob("*.json")):
            yield json.loads(path.read_text())


needs_vectors = pytest.mark.skipif("VIGIL_VECTORS" not in os.environ, reason="the official examples are not here")


@needs_vectors
def test_the_official_examples_have_the_shape_that_is_asked_for() -> None:
    found = list(examples())
    assert len(found) >= 8
    for each in found:
        assert fhir_shape.problems(each) == (), each["id"]


@needs_vectors
def test_a_draft_is_made_of_no_example_for_none_says_what_it_is_in_our_words() -> None:
    assert [fhir.drafts(each) for each in examples()] == [[] for _ in examples()]


@pytest.mark.parametrize("name", fhir.QUALIFICATIONS)
def test_a_qualification_says_the_same_when_it_is_read_again(name: str) -> None:
    resource = fhir.practitioner([shown(name)])
    assert fhir_shape.problems(resource) == ()
    assert json.loads(json.dumps(resource)) == resource
    ((kind, fields),) = fhir.drafts(resource)
    assert (kind, fields) == (name, DRAFTS[name])
    draft(kind, fields)


@pytest.mark.parametrize("name", fhir.ROLES)
def test_a_role_says_the_same_when_it_is_read_again(name: str) -> None:
    resource = fhir.practitioner_role(shown(name), now_ms=NOW_MS)
    assert fhir_shape.problems(resource) == ()
    assert fhir.drafts(resource) == [(name, DRAFTS[name])]


def test_a_practitioner_has_number_name_and_birth_date_where_fhir_has_them() -> None:
    resource = fhir.practitioner([shown("StateLicence"), shown("Degree")])
    assert {"use": "official", "system": fhir.NPI_SYSTEM, "value": "1245319599"} in resource["identifier"]
    assert resource["name"] == [{"use": "official", "family": "Lovelace", "given": ["Ada"]}]
    assert resource["birthDate"] == "1990-12-10"
    first = resource["qualification"][0]
    assert first["code"]["text"] == "Registered nurse" and first["issuer"]["identifier"]["value"] == ISSUER
    assert first["period"] == {"start": "2027-01-15T07:59:59Z", "end": "2028-01-15T08:00:00Z"}
    assert {"system": fhir.URI, "value": NAME} in first["identifier"]


def test_two_people_are_no_practitioner() -> None:
    other = Shown(type="Degree", issuer=ISSUER, subject="did:key:zOther", name="", said=DRAFTS["Degree"])
    with pytest.raises(Malformed, match="one person"):
        fhir.practitioner([shown("StateLicence"), other])


def test_a_role_that_ended_is_not_active() -> None:
    assert fhir.practitioner_role(shown("EmploymentRecord"), now_ms=NOW_MS)["active"] is False
    assert fhir.practitioner_role(shown("Privilege"), now_ms=NOW_MS)["active"] is True
    assert fhir.practitioner_role(shown("Privilege"), now_ms=UNTIL_MS)["active"] is False


@pytest.mark.parametrize(
    ("outcome", "code", "again", "status"),
    [
        ("pass", "counts", False, "validated"),
        ("unknown", "status_stale", False, "in-process"),
        ("fail", "revoked", False, "val-fail"),
        ("fail", "revoked", True, "reval-fail"),
        ("fail", "source_too_old", True, "req-revalid"),
    ],
)
def test_a_verdict_is_a_verification_result(outcome: str, code: str, again: bool, status: str) -> None:
    found = fhir.verification_result(
        shown("StateLicence"),
        outcome=outcome,
        code=code,
        at_ms=NOW_MS,
        validator="did:web:hospital.example",
        source=shown("PrimarySourceVerification", method="portal"),
        checked_ms=NOW_MS - 86_400_000,
        next_ms=UNTIL_MS,
        again=again,
    )
    assert fhir_shape.problems(found) == ()
    assert found["status"] == status and found["nextScheduled"] == "2028-01-15"
    (source,) = found["primarySource"]
    assert source["who"]["display"] == "Board of Nursing" and source["validationDate"] == "2027-01-14T08:00:00Z"
    assert source["validationStatus"]["coding"][0]["code"] == "successful"
    assert found["validator"][0]["organization"]["identifier"]["value"] == "did:web:hospital.example"
    assert found["target"][0]["identifier"]["value"] == NAME


def test_a_result_without_a_source_says_so() -> None:
    found = fhir.verification_result(shown("Degree"), outcome="pass", code="counts", at_ms=NOW_MS, validator="St Mary")
    assert "primarySource" not in found and fhir_shape.problems(found) == ()


BREAKS: dict[str, Any] = {
    "an element that is none": lambda each: each.update(licence="RN"),
    "a list that is none": lambda each: each.update(name={"family": "L"}),
    "an empty list": lambda each: each.update(name=[]),
    "a qualification without a code": lambda each: each["qualification"][0].pop("code"),
    "a date that is none": lambda each: each.update(birthDate="10 December 1990"),
    "a text for a mark": lambda each: each.update(active="true"),
    "a text for an object": lambda each: each["qualification"][0].update(period="2020"),
    "another type": lambda each: each.update(resourceType="Patient"),
    "an extension without a url": lambda each: each["qualification"][0].update(extension=[{"valueString": "x"}]),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_resource_of_another_shape_makes_no_draft(case: str) -> None:
    resource = copy.deepcopy(fhir.practitioner([shown("StateLicence")]))
    BREAKS[case](resource)
    with pytest.raises(Malformed) as refused:
        fhir.drafts(resource)
    assert refused.value.code == "fhir_bad"


def test_a_status_that_fhir_does_not_have_is_found() -> None:
    assert fhir_shape.problems({"resourceType": "VerificationResult"})[-1].startswith("VerificationResult.status")
    assert fhir_shape.problems({"resourceType": "VerificationResult", "status": "valid"})
