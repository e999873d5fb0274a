"""@openid4vc's openid4vci and openid4vp and dcql, which are not ours, as a wallet, an issuer and a verifier against ours."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ledger.credentials.exchange import dcql, oid4vci, oid4vp
from ledger.credentials.vc import did, sdjwt
from ledger.credentials.wallet import Wallet
from protocol.keys import SigningKey
from tests.support import exchanged, exchanging, parties
from tests.support.exchanged import Served
from tests.support.outside import ask_node

pytestmark = pytest.mark.outside

HOLDER = SigningKey.from_seed(bytes([7]) * 32)
DRAFT = {"type": "Degree", "claims": {"programme": "Medicine"}}
QUERY = {
    "credentials": [
        {
            "id": "a",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [dcql.vct_of("Degree")]},
            "claims": [{"path": ["programme"], "values": ["Medicine"]}],
        }
    ]
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with exchanged.serving(tmp_path_factory.mktemp("openid")) as found:
        yield found


@pytest.fixture
def now(served: Served) -> None:
    served.world.clock.ms = parties.now_ms()


def asked(**case: Any) -> Any:
    found = ask_node("ask_openid.mjs", [case])
    assert isinstance(found, list)
    return found[0]


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
@pytest.mark.parametrize("by_reference", [False, True])
def test_their_wallet_takes_our_offer_and_answers_our_request(served: Served, alg: str, by_reference: bool) -> None:
    offer = served.world.offering.offer("Degree", "dc+sd-jwt", DRAFT)
    request = served.world.asking.ask(QUERY, purpose="Hiring")
    link = offer.short if by_reference else offer.link
    found = asked(ask="wallet", offer=link, tx_code=offer.tx_code, request=request.link, alg=alg)
    assert found == {"draft": "V1", "version": 100, "satisfied": True, "status": 200}
    assert served.world.offering.state(offer.name) == "credential_accepted"
    assert served.world.asking.result(request.name).outcome == "valid"


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("form", dcql.FORMATS)
def test_their_wallet_receives_every_format(served: Served, form: str) -> None:
    offer = served.world.offering.offer("Degree", form, DRAFT, tx_code=False)
    assert asked(ask="receive", offer=offer.link, alg="EdDSA")["credential"] == served.world.issued[-1]


@pytest.mark.usefixtures("now")
def test_their_wallet_hears_that_the_tx_code_is_wrong(served: Served) -> None:
    offer = served.world.offering.offer("Degree", "dc+sd-jwt", DRAFT)
    found = asked(ask="receive", offer=offer.link, tx_code="x", alg="EdDSA")
    assert "refused" in found and served.world.offering.state(offer.name) == "offered"


@pytest.mark.usefixtures("now")
def test_their_issuer_takes_our_wallets_request_and_proof(served: Served) -> None:
    sent: list[dict[str, Any]] = []
    wallet = Wallet(HOLDER, now_ms=parties.now_ms)

    def kept(request: httpx.Request) -> None:
        if request.url.path.endswith("/credential"):
            sent.append(json.loads(request.read()))

    offer = served.world.offering.offer("Degree", "ldp_vc", DRAFT)
    with httpx.Client(event_hooks={"request": [kept]}) as web:
        wallet.receive(offer.link, web, tx_code=offer.tx_code)
    ((proof,),) = (each["proofs"]["jwt"] for each in sent)
    _, nonce = oid4vci.check_proof(proof, issuer=served.world.base, now_s=parties.now_s())
    case = {
        "metadata": served.world.offering.metadata(),
        "server": served.world.offering.authorization_metadata(),
        "request": sent[0],
        "jwk": did.to_jwk(HOLDER.public),
    }
    assert asked(ask="issuer", nonce=nonce, **case) == {"configuration": "Degree_ldp_vc", "aud": served.world.base}
    assert "refused" in asked(ask="issuer", nonce="another", **case)


def test_our_wallet_answers_their_request_and_they_read_it() -> None:
    address = "http://127.0.0.1:9/answer"
    link = asked(ask="ask", address=address, query=QUERY)
    request, _, _ = oid4vp.read_link(link)
    assert request is not None and request.nonce == "their-nonce" and request.query == QUERY
    taken: list[dict[str, str]] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        taken.append(dict(httpx.QueryParams(sent.read().decode())))
        return httpx.Response(200, json={})

    wallet = Wallet(HOLDER, now_ms=parties.now_ms)
    text = exchanging.issued(DRAFT, "dc+sd-jwt", HOLDER.public)
    wallet.keep(exchanging.kept("dc+sd-jwt", text))
    with httpx.Client(transport=httpx.MockTransport(answer)) as web:
        assert wallet.present(request, web).outcome == ""
    (form,) = taken
    token = json.loads(form["vp_token"])
    credentials = {name: [dict(sdjwt.read(each).claims) for each in shown] for name, shown in token.items()}
    found = asked(
        ask="verifier",
        request=request.to_json(),
        response={"vp_token": token, "state": form["state"]},
        query=QUERY,
        credentials=credentials,
    )
    assert found == {"type": "dcql", "satisfied": True}


@pytest.mark.parametrize(
    ("claims", "fits"),
    [
        ([{"path": ["programme"]}], True),
        ([{"path": ["programme"], "values": ["Law"]}], False),
        ([{"path": ["schools", None, "name"], "values": ["B"]}], True),
        ([{"path": ["schools", 1, "name"], "values": ["A"]}], False),
        ([{"path": ["schools", 2]}], False),
        ([{"path": ["missing"]}], False),
    ],
)
def test_they_and_we_agree_what_a_query_asks_for(claims: list[Any], fits: bool) -> None:
    query = {"credentials": [{**QUERY["credentials"][0], "claims": claims}]}
    held = {"vct": dcql.vct_of("Degree"), "programme": "Medicine", "schools": [{"name": "A"}, {"name": "B"}]}
    ours = dcql.shown(
        dcql.parse(query).credentials[0],
        dcql.Held(format="dc+sd-jwt", types=frozenset(), vct=str(held["vct"]), claims=held),
    )
    assert (ours is not None) == fits
    assert asked(ask="query", query=query, credentials=[held]) is fits
