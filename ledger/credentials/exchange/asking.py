"""A verifier's side of an exchange: what staff ask for, and what comes of a wallet's answer. OpenID4VP 1.0."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.credentials.exchange import dcql, oid4vp
from ledger.credentials.exchange.oid4vci import Refused
from ledger.credentials.exchange.oid4vp import REFUSED, UNKNOWN, VALID, Request
from ledger.credentials.exchange.store import ANSWERED, DECLINED, REQUEST_LIFE_MS, Store
from ledger.credentials.vc import jcs
from protocol import base64text
from protocol.errors import BadSignature, Malformed, Unavailable

TEXT_MAX = 256  # characters of a purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a verifier makes of one presentation. outcome: one of oid4vp.OUTCOMES; verdict: its steps and facts, as JSON; holder:
    the DID whose key signed for the request, None when none did."""

    outcome: str
    verdict: Any
    holder: str | None


Judge = Callable[[bytes, str, str], Judged]
"""Judges a presentation (its bytes, the nonce, the audience) with all steps, its holder's proof among them. It may block."""
Acknowledge = Callable[[str, Mapping[str, Any]], str]
"""Signs a token of a type with claims, as the party."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that was made. name: for who made it; link: has the request in it; short: says where it is."""

    name: str
    link: str
    short: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Where a request stands. state: of the store; outcome: None until it is answered; verdicts: by query."""

    state: str
    outcome: str | None
    verdicts: Mapping[str, Any]


class Asking:
    """base: the address under which wallets reach this use case; name: the institution, as the holder reads it; leads: where a
    holder's browser goes when all is done, for a response code, "" for nowhere."""

    def __init__(
        self,
        store: Store,
        judge: Judge,
        acknowledge: Acknowledge,
        *,
        base: Callable[[], str],
        name: str,
        leads: Callable[[str], str] = lambda _: "",
        random_bytes: Callable[[int], bytes],
        now_ms: Callable[[], int],
    ) -> None:
        self._store, self._judge, self._acknowledge = store, judge, acknowledge
        self._base, self._name, self._leads = base, name, leads
        self._random, self._now_ms = random_bytes, now_ms

    def ask(self, query: Mapping[str, Any], *, purpose: str) -> Asked:
        """Ask whoever has the link, once, within five minutes. It blocks. query: DCQL; purpose: why, as the holder reads it.

        Raises Malformed: dcql_bad, request_purpose; Unavailable: requests_full, exchange_failing.
        """
        dcql.parse(query)
        if not 0 < len(purpose) <= TEXT_MAX:
            raise Malformed("request_purpose", f"say why, in at most {TEXT_MAX} characters")
        name, nonce, state = (base64text.encode_url(self._random(16)) for _ in range(3))
        request = Request(
            address=f"{self._base()}/openid/requests/{name}/answer",
            nonce=nonce,
            state=state,
            query=query,
            name=self._name,
            purpose=purpose,
        )
        now_ms = self._now_ms()
        self._store.ask(name, jcs.canonical(request.to_json()).decode(), now_ms=now_ms)
        return Asked(
            name=name,
            link=request.link(),
            short=request.link_to(f"{self._base()}/openid/requests/{name}"),
            until_ms=now_ms + REQUEST_LIFE_MS,
        )

    def request(self, name: str) -> str:
        """The request object. Raises NotFound: request_unknown; Unavailable."""
        return self._read(self._store.asked(name, now_ms=self._now_ms())).to_object()

    def answer(self, name: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Take a wallet's answer and judge it. It blocks.

        Raises NotFound: request_unknown; Refused: invalid_request; Unavailable.

        What is no answer to this request leaves it as it is. What is one spends it, whatever it is worth: nobody tries twice.
        """
        now_ms = self._now_ms()
        request = self._read(self._store.asked(name, now_ms=now_ms))
        try:
            answers = oid4vp.read_answer(form, state=request.state)
            if answers:
                oid4vp.matched(request.query, answers)
        except (Malformed, BadSignature) as error:
            raise Refused("invalid_request", error.detail) from error
        self._store.take(name, now_ms=now_ms)
        # Stop here: the request is spent and has no verdict. The verifier sees that it was cut off, and asks again.
        judged = {
            query: [self._judged(raw, request) for raw in presentations] for query, presentations in answers.items()
        }
        outcome = _outcome([each for some in judged.values() for each in some]) if answers else REFUSED
        came = {
            "outcome": outcome,
            "verdicts": {query: [each.verdict for each in some] for query, some in judged.items()},
        }
        code = self._store.answer(name, ANSWERED if answers else DECLINED, json.dumps(came), now_ms=now_ms)
        said = oid4vp.acknowledgement(request, answered=tuple(answers), outcome=outcome, now_s=now_ms // 1000)
        found: dict[str, Any] = {"acknowledgement": self._acknowledge(oid4vp.ACKNOWLEDGED, said)}
        leads = self._leads(code)
        return found | ({"redirect_uri": leads} if leads else {})

    def result(self, name: str) -> Result:
        """What came of a request. Raises NotFound: request_unknown; Unavailable."""
        state, came = self._store.result(name, now_ms=self._now_ms())
        found = json.loads(came) if came is not None else {}
        return Result(state=state, outcome=found.get("outcome"), verdicts=found.get("verdicts", {}))

    def redeemed(self, code: str) -> str:
        """The name of the request that a response code is of; the code is used up. Raises NotFound: request_unknown."""
        return self._store.redeem(code, now_ms=self._now_ms())

    def _judged(self, raw: bytes, request: Request) -> Judged:
        """What cannot be judged now is unknown, and so not valid: the request is spent all the same."""
        try:
            return self._judge(raw, request.nonce, request.client_id)
        except Unavailable as error:
            return Judged(outcome=UNKNOWN, verdict={"code": error.code}, holder=None)

    def _read(self, said: str) -> Request:
        found = jcs.parse(said)
        return oid4vp.read_request(found, client=str(found.get("client_id")))


def _outcome(judged: list[Judged]) -> str:
    """Of all presentations together: of one holder, or two people could pool what each of them has."""
    outcomes = {each.outcome for each in judged}
    if REFUSED in outcomes or not outcomes or len({each.holder for each in judged if each.holder is not None}) > 1:
        return REFUSED
    return VALID if outcomes == {VALID} else UNKNOWN
