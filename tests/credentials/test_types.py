"""What a type of credential says: every type can be drafted, what cannot be is found by name, and numbers have their digits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.credentials import model, types
from ledger.credentials.types import catalogue, numbers
from ledger.credentials.vc import contexts, datamodel
from protocol.errors import Malformed

NOW_MS = 1_800_000_000_000  # 2027-01-15
WHO = {"givenName": "Ada", "familyName": "Lovelace", "birthDate": "1990-12-10", "jurisdiction": "US-CA"}
DRAFTS: dict[str, dict[str, str]] = {
    "Degree": {
        **WHO,
        "programme": "Doctor of Medicine",
        "conferredAt": "2015-05-20",
        "achievementType": "DoctoralDegree",
    },
    "Training": {**WHO, "programme": "Basic life support", "conferredAt": "2026-05-20"},
    "StateLicence": {**WHO, "licenceNumber": "RN-12345", "licenceType": "Registered nurse", "npi": "1245319599"},
    "BoardCertification": {**WHO, "board": "American Board of Surgery", "specialty": "Surgery"},
    "DEARegistration": {**WHO, "deaNumber": "BL1234563", "schedules": "2, 2N, 3"},
    "EmploymentRecord": {
        **WHO,
        "employer": "St Mary",
        "position": "Nurse",
        "startDate": "2020-01-01",
        "endDate": "2024-01-01",
        "lei": "213800KUD8LAJWSQ9D15",
    },
    "Privilege": {**WHO, "privilege": "Central venous access", "site": "St Mary"},
    "ImmunisationRecord": {**WHO, "vaccineCode": "207", "conferredAt": "2026-10-01"},
    "ComplianceRecord": {**WHO, "compliance": "background-check", "checkedAt": "2026-12-01"},
    "PrimarySourceVerification": {
        **WHO,
        "source": "Board of Nursing",
        "claim": "StateLicence",
        "result": "confirmed",
        "checkedAt": "2027-01-02",
        "checkedBy": "Verify Ltd",
    },
}


def said(name: str, **changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = types.draft(name, DRAFTS[name])["credentialSubject"]
    return {**found, **changed}


def codes(name: str, **changed: Any) -> list[tuple[str, str]]:
    return [(each.code, each.field) for each in types.check(name, said(name, **changed), from_ms=NOW_MS)]


def test_the_catalogue_has_the_types_of_the_ledger_and_no_other() -> None:
    assert types.CATALOGUE.keys() == model.TYPES == DRAFTS.keys()


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_of_every_type_is_a_credential_once_it_has_issuer_and_holder_and_says_nothing_that_cannot_be(
    name: str,
) -> None:
    draft = types.draft(name, DRAFTS[name])
    subject = {"id": "did:key:z6Mk", **draft["credentialSubject"]}
    datamodel.check_credential({**draft, "issuer": "did:web:a.example", "credentialSubject": subject})
    assert draft["type"][-1] == name and codes(name) == []


@pytest.mark.parametrize("name", DRAFTS)
def test_a_field_that_a_draft_needs_is_asked_for_by_name(name: str) -> None:
    for field in types.CATALOGUE[name].fields:
        fewer = {key: value for key, value in DRAFTS[name].items() if key != field.name}
        if field.required:
            with pytest.raises(Malformed, match=field.name):
                types.draft(name, fewer)
        else:
            types.draft(name, fewer)


@pytest.mark.parametrize("name", DRAFTS)
def test_every_field_of_ours_has_a_meaning_in_our_context(name: str) -> None:
    terms = contexts.TERMS[contexts.OURS]
    assert terms is not None
    outside = {each.name for each in types.CATALOGUE[name].fields} - terms
    assert outside <= set(catalogue.IN_ACHIEVEMENT)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"programme": "x" * 513}, "field_size"),
        ({"surprise": "x"}, "field_unknown"),
        ({"programme": ""}, "field_missing"),
    ],
)
def test_a_draft_takes_no_field_that_it_does_not_know_or_that_is_too_long(fields: dict[str, str], code: str) -> None:
    with pytest.raises(Malformed) as refused:
        types.draft("Degree", {**DRAFTS["Degree"], **fields})
    assert refused.value.code == code


def test_a_degree_is_an_achievement_of_open_badges_with_all_that_it_requires() -> None:
    draft = types.draft("Degree", {**DRAFTS["Degree"], "fieldOfStudy": "Medicine"})
    assert draft["@context"] == [contexts.V2, contexts.OPEN_BADGES, contexts.OURS]
    assert {"AchievementCredential", "OpenBadgeCredential"} < set(draft["type"])
    subject = draft["credentialSubject"]
    achievement = subject["achievement"]
    assert subject["type"] == ["AchievementSubject"] and "achievementType" not in subject
    assert achievement.keys() == {
        "id", "type", "name", "description", "criteria", "achievementType", "fieldOfStudy"
    }  # fmt: skip
    assert achievement["achievementType"] == "DoctoralDegree" and achievement["criteria"]["narrative"]


def test_the_same_achievement_has_the_same_name_and_another_one_another() -> None:
    first, again = (types.draft("Degree", DRAFTS["Degree"])["credentialSubject"]["achievement"] for _ in range(2))
    other = types.draft("Degree", {**DRAFTS["Degree"], "fieldOfStudy": "Surgery"})["credentialSubject"]["achievement"]
    assert first["id"] == again["id"] != other["id"]


WRONG: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "a licence number without a digit": ("StateLicence", {"licenceNumber": "none"}, ("licence_bad", "licenceNumber")),
    "an NPI with a wrong digit": ("StateLicence", {"npi": "1245319598"}, ("npi_bad", "npi")),
    "a DEA number with a wrong digit": ("DEARegistration", {"deaNumber": "BL1234564"}, ("dea_bad", "deaNumber")),
    "schedule 1": ("DEARegistration", {"schedules": "1, 2"}, ("schedules_bad", "schedules")),
    "an LEI with a wrong digit": ("EmploymentRecord", {"lei": "213800KUD8LAJWSQ9D16"}, ("lei_bad", "lei")),
    "an end before the start": ("EmploymentRecord", {"endDate": "2019-12-31"}, ("dates_crossed", "endDate")),
    "a day that is none": ("EmploymentRecord", {"startDate": "2020-02-30"}, ("date_bad", "startDate")),
    "a day in another form": ("EmploymentRecord", {"startDate": "20200229"}, ("date_bad", "startDate")),
    "a degree of tomorrow": ("Degree", {"conferredAt": "2028-01-01"}, ("date_ahead", "conferredAt")),
    "a degree before birth": ("Degree", {"conferredAt": "1990-12-09"}, ("dates_crossed", "conferredAt")),
    "another achievement": ("Degree", {"programme": "Master of Arts"}, ("achievement_bad", "achievement")),
    "no achievement": ("Degree", {"achievement": None}, ("achievement_bad", "achievement")),
    "a number for a text": ("Privilege", {"site": 7}, ("field_size", "site")),
    "an empty text": ("Privilege", {"site": ""}, ("field_size", "site")),
    "a text of two lines": ("Privilege", {"site": "a\nb"}, ("field_size", "site")),
    "no name": ("Privilege", {"familyName": None}, ("field_missing", "familyName")),
    "no place": ("Privilege", {"jurisdiction": "California"}, ("jurisdiction_bad", "jurisdiction")),
    "an answer that a source cannot give": (
        "PrimarySourceVerification", {"result": "yes"}, ("choice_bad", "result")
    ),
    "a vaccine by name": ("ImmunisationRecord", {"vaccineCode": "MMR"}, ("cvx_bad", "vaccineCode")),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_found_by_name(case: str) -> None:
    name, changed, problem = WRONG[case]
    assert problem in codes(name, **changed)


def test_an_achievement_of_a_type_that_open_badges_does_not_have_is_found() -> None:
    achievement = {**said("Degree")["achievement"], "achievementType": "Diploma mill"}
    assert ("achievement_bad", "achievement") in codes("Degree", achievement=achievement)


def test_a_field_that_was_kept_back_is_not_missing_but_one_that_cannot_be_is() -> None:
    shown = said("StateLicence")
    del shown["licenceNumber"], shown["familyName"]
    assert types.check("StateLicence", shown, in_part=True) == ()
    assert {each.field for each in types.check("StateLicence", shown)} == {"licenceNumber", "familyName"}
    del shown["jurisdiction"]
    assert [each.field for each in types.check("StateLicence", shown, in_part=True)] == ["jurisdiction"]


def test_a_type_that_is_not_in_the_catalogue_cannot_be() -> None:
    assert [each.code for each in types.check("Diploma", {})] == ["type_unknown"]


def test_a_time_beyond_all_calendars_is_no_crash() -> None:
    assert types.check("Degree", said("Degree"), from_ms=(1 << 43) * 1000) == ()


@given(
    st.sampled_from(sorted(DRAFTS)),
    st.dictionaries(
        st.sampled_from(["achievement", "birthDate", "npi", "schedules", "endDate", "lei", "jurisdiction", "deaNumber"]),
        st.one_of(st.none(), st.text(max_size=12), st.integers(), st.lists(st.text(max_size=3), max_size=3),
                  st.dictionaries(st.sampled_from(["id", "name", "type", "criteria", "achievementType"]), st.none())),
    ),
)  # fmt: skip
def test_whatever_a_credential_says_is_answered_with_codes_and_no_error(name: str, changed: dict[str, Any]) -> None:
    for each in types.check(name, said(name, **changed), from_ms=NOW_MS):
        assert each.code and each.field


NPIS = ["1245319599", "1234567893", "1679576722"]
"""1234567893: the example of the CMS for the check digit."""


@pytest.mark.parametrize("number", NPIS)
def test_every_changed_digit_of_an_npi_is_found(number: str) -> None:
    assert numbers.is_npi(number)
    for at in range(1, 10):
        for digit in "0123456789":
            changed = number[:at] + digit + number[at + 1 :]
            assert numbers.is_npi(changed) is (changed == number)
    assert not any(map(numbers.is_npi, (number[:-1], number + "0", " " + number, "9" + number[1:], "")))


def test_every_changed_digit_of_a_dea_number_in_an_odd_place_is_found() -> None:
    number = "AB1234563"
    assert numbers.is_dea(number)
    for at in (2, 4, 6, 8):  # the others count twice, so that a digit and the one five away are alike
        for digit in "0123456789":
            changed = number[:at] + digit + number[at + 1 :]
            assert numbers.is_dea(changed) is (changed == number)
    assert numbers.is_dea("A91234563") and not numbers.is_dea("IB1234563") and not numbers.is_dea("ab1234563")


@given(st.text(max_size=24))
def test_no_text_makes_a_number_check_fail_in_another_way(text: str) -> None:
    for check in (numbers.is_npi, numbers.is_dea, numbers.is_lei, numbers.is_licence, numbers.are_schedules):
        assert check(text) in (True, False)
