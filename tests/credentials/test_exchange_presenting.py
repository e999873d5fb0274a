"""Requests of a verifier and answers of a wallet: bound to each other, once, and for a short time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.credentials.exchange import dcql, oid4vp, store
from ledger.credentials.exchange.asking import Asked
from ledger.credentials.exchange.oid4vci import Refused
from ledger.credentials.exchange.oid4vp import Request
from protocol import base64text
from protocol.errors import BadSignature, Malformed, NotFound, Unavailable
from protocol.keys import SigningKey
from tests.support import exchanging
from tests.support.exchanging import START_MS, World

HOLDER = SigningKey.from_seed(bytes([7]) * 32)
QUERY = {
    "credentials": [
        {
            "id": "a",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [dcql.vct_of("Degree")]},
            "claims": [{"path": ["programme"]}],
        }
    ]
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = exchanging.opened(tmp_path)
    yield found
    found.store.close()


def request_of(asked: Asked) -> Request:
    found, _, _ = oid4vp.read_link(asked.link)
    assert found is not None
    return found


def presented(
    request: Request, *, form: str = "dc+sd-jwt", claims: tuple[str, ...] = ("programme",), **changed: Any
) -> Any:
    draft = {"type": "Degree", "claims": {"programme": "Medicine", "birthDate": "1980-02-03"}}
    credential: object = exchanging.issued(draft, form, HOLDER.public)
    if form == dcql.VC_COSE:
        credential = base64text.decode_url(str(credential), code="bad")
    shown = [dcql.Claim(id=None, path=(each,), values=()) for each in claims]
    given = {"key": HOLDER, "nonce": request.nonce, "audience": request.client_id, "now_s": START_MS // 1000}
    return oid4vp.presented(form, credential, shown, **(given | changed))


def answer(world: World, asked: Asked, presentation: object, **changed: str) -> dict[str, Any]:
    state = request_of(asked).state
    form = {"vp_token": json.dumps({"a": [presentation]}), "state": state}
    return world.asking.answer(asked.name, form | changed)


def test_an_answer_becomes_a_verdict_and_a_signed_acknowledgement(world: World) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    request = request_of(asked)
    given = answer(world, asked, presented(request))
    result = world.asking.result(asked.name)
    assert (result.state, result.outcome, result.verdicts) == ("answered", "valid", {"a": [{"code": "ok"}]})
    said = oid4vp.check_acknowledgement(given["acknowledgement"], request)
    assert (said["name"], said["purpose"], said["outcome"]) == ("B clinic", "Hiring", "valid")
    assert said["asked"] == QUERY and "Medicine" not in given["acknowledgement"]


def test_the_request_by_reference_is_the_same_request_and_unsigned(world: World) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    found, address, client = oid4vp.read_link(asked.short)
    assert found is None and address.endswith(f"/openid/requests/{asked.name}")
    assert oid4vp.read_object(world.asking.request(asked.name), client=client) == request_of(asked)
    with pytest.raises(Malformed, match="request_client"):
        oid4vp.read_object(world.asking.request(asked.name), client="redirect_uri:https://other.example")


def test_a_request_is_answered_once(world: World) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    presentation = presented(request_of(asked))
    answer(world, asked, presentation)
    with pytest.raises(NotFound, match="request_unknown"):
        answer(world, asked, presentation)
    assert len(world.judged) == 1


def test_a_request_ends_after_five_minutes(world: World) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    world.clock.ms += store.REQUEST_LIFE_MS
    with pytest.raises(NotFound, match="request_unknown"):
        answer(world, asked, presented(request_of(asked)))
    with pytest.raises(NotFound, match="request_unknown"):
        world.asking.request(asked.name)


def test_a_presentation_made_for_one_request_is_refused_at_another(world: World) -> None:
    first, second = (world.asking.ask(QUERY, purpose="Hiring") for _ in range(2))
    replayed = presented(request_of(first))
    answer(world, second, replayed)
    assert world.asking.result(second.name).outcome == "refused"
    third = world.asking.ask(QUERY, purpose="Hiring")
    answer(world, third, presented(request_of(third), audience="redirect_uri:https://other.example"))
    assert world.asking.result(third.name).outcome == "refused"


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "another"},
        {"vp_token": "{}"},
        {"vp_token": '{"a": []}'},
        {"vp_token": '{"a": ["x"]}'},
        {"vp_token": '{"b": ["x"]}'},
        {"vp_token": "not json"},
        {"vp_token": json.dumps({"a": ["x"] * 33})},
    ],
)
def test_what_is_no_answer_leaves_the_request_as_it_is(world: World, changed: dict[str, str]) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    with pytest.raises(Refused, match="invalid_request"):
        answer(world, asked, presented(request_of(asked)), **changed)
    answer(world, asked, presented(request_of(asked)))
    assert world.asking.result(asked.name).outcome == "valid"


def test_a_presentation_without_a_claim_that_was_asked_for_is_no_answer(world: World) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    with pytest.raises(Refused, match="invalid_request"):
        answer(world, asked, presented(request_of(asked), claims=()))


@pytest.mark.parametrize("form", ["ldp_vc", "vc+cose"])
def test_whole_credentials_are_asked_for_by_type(world: World, form: str) -> None:
    meta = {"type_values": [[dcql.type_iri("Degree")]]}
    claims = [{"path": ["credentialSubject", "programme"], "values": ["Medicine"]}]
    query = {"credentials": [{"id": "a", "format": form, "meta": meta, "claims": claims}]}
    asked = world.asking.ask(query, purpose="Hiring")
    answer(world, asked, presented(request_of(asked), form=form))
    assert world.asking.result(asked.name).outcome == "valid"


def test_two_people_cannot_pool_what_each_of_them_has(world: World) -> None:
    other = SigningKey.from_seed(bytes([8]) * 32)
    query = {"credentials": [*QUERY["credentials"], {**QUERY["credentials"][0], "id": "b"}]}
    for second, outcome in ((HOLDER, "valid"), (other, "refused")):
        asked = world.asking.ask(query, purpose="Hiring")
        request = request_of(asked)
        text = exchanging.issued({"type": "Degree", "claims": {"programme": "Law"}}, "dc+sd-jwt", second.public)
        claim = dcql.Claim(id=None, path=("programme",), values=())
        given = {"nonce": request.nonce, "audience": request.client_id, "now_s": START_MS // 1000}
        theirs = oid4vp.presented("dc+sd-jwt", text, [claim], key=second, **given)
        token = {"a": [presented(request)], "b": [theirs]}
        world.asking.answer(asked.name, {"vp_token": json.dumps(token), "state": request.state})
        assert world.asking.result(asked.name).outcome == outcome


def test_what_cannot_be_judged_now_is_unknown_and_spends_the_request(world: World) -> None:
    world.away = True
    asked = world.asking.ask(QUERY, purpose="Hiring")
    answer(world, asked, presented(request_of(asked)))
    assert world.asking.result(asked.name).outcome == "unknown"
    with pytest.raises(NotFound, match="request_unknown"):
        answer(world, asked, presented(request_of(asked)))


def test_a_holders_no_is_an_answer(world: World) -> None:
    asked = world.asking.ask(QUERY, purpose="Hiring")
    given = world.asking.answer(asked.name, {"error": "access_denied", "state": request_of(asked).state})
    assert world.asking.result(asked.name).state == "declined" and not world.judged
    assert oid4vp.check_acknowledgement(given["acknowledgement"], request_of(asked))["answered"] == []


def test_an_acknowledgement_about_another_request_is_refused(world: World) -> None:
    asked, other = (world.asking.ask(QUERY, purpose="Hiring") for _ in range(2))
    given = answer(world, asked, presented(request_of(asked)))["acknowledgement"]
    with pytest.raises(BadSignature, match="acknowledgement_other"):
        oid4vp.check_acknowledgement(given, request_of(other))
    head, body, signature = given.split(".")
    with pytest.raises(BadSignature):
        oid4vp.check_acknowledgement(".".join((head, body, signature[:-4] + "AAAA")), request_of(asked))


def test_a_response_code_leads_to_its_request_once(world: World) -> None:
    codes: list[str] = []
    world.asking._leads = lambda code: codes.append(code) or f"https://b.example/done?response_code={code}"  # type: ignore[func-returns-value]
    asked = world.asking.ask(QUERY, purpose="Hiring")
    given = answer(world, asked, presented(request_of(asked)))
    assert given["redirect_uri"].endswith(codes[0])
    assert world.asking.redeemed(codes[0]) == asked.name
    with pytest.raises(NotFound, match="request_unknown"):
        world.asking.redeemed(codes[0])


def test_requests_are_bounded_and_results_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "REQUESTS_MAX", 1)
    asked = world.asking.ask(QUERY, purpose="Hiring")
    with pytest.raises(Unavailable, match="requests_full"):
        world.asking.ask(QUERY, purpose="Hiring")
    answer(world, asked, presented(request_of(asked)))
    world.clock.ms += store.RESULT_LIFE_MS
    with pytest.raises(NotFound, match="request_unknown"):
        world.asking.result(asked.name)
    assert world.asking.ask(QUERY, purpose="Hiring")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"response_mode": "fragment"}, "request_mode"),
        ({"response_type": "code"}, "request_mode"),
        ({"response_uri": "https://other.example/answer"}, "request_client"),
        ({"client_id": "x509_san_dns:a.example"}, "request_client"),
        ({"transaction_data": ["x"]}, "request_bad"),
        ({"nonce": ""}, "request_bad"),
        ({"dcql_query": {}}, "dcql_bad"),
    ],
)
def test_a_wallet_takes_no_request_that_it_cannot_keep_to(world: World, changed: dict[str, Any], code: str) -> None:
    said = request_of(world.asking.ask(QUERY, purpose="Hiring")).to_json()
    with pytest.raises(Malformed, match=code):
        oid4vp.read_request({**said, **changed}, client=said["client_id"])
