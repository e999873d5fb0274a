"""What a verifier asks for, and which credentials are it."""

from typing import Any

import pytest

from ledger.credentials.exchange import dcql
from protocol.errors import Malformed, NotFound

OURS = "https://vigil.example/credentials#"


def one(**changed: Any) -> dict[str, Any]:
    return {"id": "a", "format": "ldp_vc", "meta": {"type_values": [[OURS + "Degree"]]}, **changed}


def held(*types: str, claims: dict[str, Any] | None = None) -> dcql.Held:
    return dcql.Held(
        format="ldp_vc", types=frozenset(dcql.type_iri(each) for each in types), vct=None, claims=claims or {}
    )


def shown(query: dict[str, Any], found: dcql.Held) -> tuple[dcql.Claim, ...] | None:
    return dcql.shown(dcql.parse({"credentials": [query]}).credentials[0], found)


def test_a_type_is_asked_for_by_its_iri() -> None:
    assert shown(one(), held("VerifiableCredential", "Degree")) == ()
    assert shown(one(), held("VerifiableCredential", "StateLicence")) is None
    w3c = "https://www.w3.org/2018/credentials#VerifiableCredential"
    both = one(meta={"type_values": [[w3c, OURS + "StateLicence"], [w3c, OURS + "Degree"]]})
    assert shown(both, held("VerifiableCredential", "Degree")) == ()
    assert shown(both, held("Degree")) is None


def test_a_credential_of_another_format_or_vct_is_not_what_is_asked_for() -> None:
    query = {"id": "a", "format": "dc+sd-jwt", "meta": {"vct_values": [dcql.vct_of("Degree")]}}
    right = dcql.Held(format="dc+sd-jwt", types=frozenset(), vct=dcql.vct_of("Degree"), claims={})
    assert shown(query, right) == ()
    other = dcql.Held(format="dc+sd-jwt", types=frozenset(), vct=dcql.vct_of("Training"), claims={})
    assert shown(query, other) is None
    assert shown(query, held("Degree")) is None


@pytest.mark.parametrize(
    ("path", "values", "fits"),
    [
        (["a"], None, True),
        (["a", "b"], [1], True),
        (["a", "b"], [True], False),
        (["a", "b"], ["1"], False),
        (["c", None, "d"], ["y"], True),
        (["c", 1, "d"], ["x"], False),
        (["c", 2], None, False),
        (["a", 0], None, False),
        (["c", "d"], None, False),
        (["z"], None, False),
    ],
)
def test_a_path_leads_to_a_claim_or_nowhere(path: list[Any], values: list[Any] | None, fits: bool) -> None:
    claims = {"a": {"b": 1}, "c": [{"d": "x"}, {"d": "y"}]}
    claim = {"path": path} | ({} if values is None else {"values": values})
    assert (shown(one(claims=[claim]), held("Degree", claims=claims)) is not None) == fits


def test_the_first_set_of_claims_that_is_there_is_shown_and_no_other() -> None:
    claims = [{"id": name, "path": [name]} for name in ("npi", "name", "born")]
    query = one(claims=claims, claim_sets=[["npi"], ["name", "born"]])
    found = shown(query, held("Degree", claims={"name": 1, "born": 2}))
    assert found is not None and [each.path for each in found] == [("name",), ("born",)]
    assert shown(query, held("Degree", claims={"name": 1})) is None


def test_an_option_of_every_set_that_is_required_is_enough() -> None:
    query = dcql.parse(dcql.query_for(["Degree", "StateLicence"]))
    assert dcql.chosen(query, {"q0_2", "q1_0", "q1_2"}) == ("q0_2", "q1_0")
    assert not dcql.satisfied(query, {"q0_0", "q0_2"})
    with pytest.raises(NotFound, match="dcql_unmatched"):
        dcql.chosen(query, {"q0_0"})
    loose = dcql.parse({"credentials": [one()], "credential_sets": [{"options": [["a"]], "required": False}]})
    assert dcql.satisfied(loose, ()) and dcql.chosen(loose, {"a"}) == ()


@pytest.mark.parametrize(
    "found",
    [
        [],
        {},
        {"credentials": []},
        {"credentials": [one(), one()]},
        {"credentials": [one(id="no spaces")]},
        {"credentials": [one(format="mso_mdoc")]},
        {"credentials": [one(meta={})]},
        {"credentials": [one(meta={"type_values": [[]]})]},
        {"credentials": [one(meta={"vct_values": ["x"]})]},
        {"credentials": [one(claims=[{"path": []}])]},
        {"credentials": [one(claims=[{"path": ["a", -1]}])]},
        {"credentials": [one(claims=[{"path": ["a", True]}])]},
        {"credentials": [one(claims=[{"path": ["a"], "values": []}])]},
        {"credentials": [one(claims=[{"path": ["a"]}], claim_sets=[["a"]])]},
        {"credentials": [one(trusted_authorities=[{"type": "aki", "values": ["x"]}])]},
        {"credentials": [one(require_cryptographic_holder_binding=False)]},
        {"credentials": [one()], "credential_sets": [{"options": [["b"]]}]},
        {"credentials": [one(id=f"a{n}") for n in range(dcql.QUERIES_MAX + 1)]},
    ],
)
def test_a_query_that_says_too_little_or_too_much_is_refused(found: object) -> None:
    with pytest.raises(Malformed, match="dcql_bad"):
        dcql.parse(found)
