"""The VC Data Model: every published input accepted or refused as its name says."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials.vc import contexts, datamodel, times
from protocol.errors import Malformed

CREDENTIAL: dict[str, Any] = {
    "@context": [contexts.V2],
    "type": ["VerifiableCredential"],
    "issuer": "did:example:issuer",
    "credentialSubject": {"id": "did:example:subject"},
}


def published() -> list[str]:
    folder = Path(os.environ.get("VIGIL_VECTORS", "")) / "vcdm2-inputs"
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*.json"))


def judged(document: dict[str, Any]) -> str:
    """The code with which a document is refused; empty when it is taken."""
    try:
        if any("Presentation" in each for each in datamodel.types_of(document)):
            datamodel.check_presentation(document)
        else:
            datamodel.check_credential(document, issued=False)
    except Malformed as error:
        return error.code
    return ""


@pytest.mark.vectors
def test_every_published_input_is_judged_as_its_name_says(vectors_dir: Path) -> None:
    wrong = []
    names = published()
    assert len(names) > 60
    for name in names:
        document = json.loads((vectors_dir / "vcdm2-inputs" / name).read_text())
        if document.get("validFrom") == "FUTURE DATE":
            document |= {"validFrom": times.write(2_000_000_000_000), "validUntil": times.write(1_000_000_000_000)}
        refused = judged(document)
        # those called "mismatch" are well formed: who looks at signatures refuses them
        if bool(refused) is not ("-fail" in name) and "mismatch" not in name:
            wrong.append((name, refused))
    assert wrong == []


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another first context": ({"@context": [contexts.OURS, contexts.V2]}, "vc_context"),
    "a context nobody knows": ({"@context": [contexts.V2, "https://example.com/c"]}, "vc_context"),
    "a context that is a number": ({"@context": [contexts.V2, 1]}, "vc_context"),
    "no issuer": ({"issuer": None}, "vc_issuer"),
    "an issuer without an id": ({"issuer": {"name": "x"}}, "vc_issuer"),
    "no subject": ({"credentialSubject": None}, "vc_subject"),
    "an empty subject": ({"credentialSubject": {}}, "vc_subject"),
    "a subject with a bad id": ({"credentialSubject": {"id": "x"}}, "vc_subject"),
    "a type twice": ({"type": ["VerifiableCredential", "VerifiableCredential"]}, "vc_type"),
    "a status without a type": ({"credentialStatus": {"id": "urn:x:y"}}, "vc_typed"),
    "a time that is none": ({"validFrom": "2023-02-30T00:00:00Z"}, "vc_period"),
    "too many subjects": ({"credentialSubject": [{"id": "urn:a:b"}] * 65}, "vc_subject"),
    "too many statuses": ({"credentialStatus": [{"type": "BitstringStatusListEntry"}] * 65}, "vc_many"),
}


@pytest.mark.parametrize(("change", "code"), BAD.values(), ids=BAD)
def test_a_credential_that_is_none_is_refused(change: dict[str, Any], code: str) -> None:
    datamodel.check_credential(CREDENTIAL)
    document = {name: each for name, each in {**CREDENTIAL, **change}.items() if each is not None}
    with pytest.raises(Malformed) as refused:
        datamodel.check_credential(document)
    assert refused.value.code == code


TIMES = {
    "2023-02-26T01:02:58Z": 1_677_373_378_000,
    "2023-02-26T01:02:58.447Z": 1_677_373_378_447,
    "2023-02-25T19:21:29-06:00": 1_677_374_489_000,
    "1969-12-31T23:59:59.5Z": -500,
    "2023-02-25T24:00:00Z": 1_677_369_600_000,
}


@pytest.mark.parametrize(("text", "at_ms"), TIMES.items())
def test_times_are_read(text: str, at_ms: int) -> None:
    assert times.read(text) == at_ms
    assert times.read(times.write(at_ms)) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-26",
        "2023-02-26T01:02:58",
        "2023-13-26T01:02:58Z",
        "2023-02-26T25:00:00Z",
        "",
        None,
        1,
        "2023-02-26T01:02:58+15:00",
        "2023-02-26T01:02:60Z",
    ],
)
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(Malformed, match="time_bad"):
        times.read(text)
