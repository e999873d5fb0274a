"""Verdicts as JSON, the same for programs, pages and files; and what OpenID4VP asks of a verifier. Pure."""

from collections.abc import Callable, Mapping, Set
from typing import Any

from ledger.credentials import types
from ledger.credentials.exchange import oid4vp
from ledger.credentials.exchange.asking import Judge, Judged
from ledger.credentials.vc import did, jcs, secured
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict import Step, Verdict
from ledger.credentials.verdict.steps import FAIL, PASS, UNKNOWN
from ledger.credentials.verifying import Answer, Verifier
from ledger.credentials.verifying import Judged as One
from protocol import base64text
from protocol.errors import Malformed
from protocol.keys import PublicKey

OUTCOMES = {PASS: oid4vp.VALID, FAIL: oid4vp.REFUSED}


def described(answer: Answer) -> dict[str, Any]:
    """What was judged: whether all of it is valid, by whose key it was shown, and each credential with its steps."""
    return {
        "valid": answer.valid,
        "outcome": outcome(answer),
        "holder": answer.holder,
        "credentials": [_one(each) for each in answer.judged],
    }


def outcome(answer: Answer) -> str:
    """fail when a credential fails, else unknown when one is not known; never pass without one."""
    return _whole({each.verdict.outcome for each in answer.judged})


def without(found: Mapping[str, Any], step: str) -> dict[str, Any]:
    """What `described` wrote, judged without one of the steps."""
    credentials = []
    for each in found["credentials"]:
        steps = [one for one in each["steps"] if one["name"] != step]
        whole = _whole({one["outcome"] for one in steps})
        credentials.append({**each, "steps": steps, "outcome": whole, "valid": whole == PASS})
    whole = _whole({each["outcome"] for each in credentials})
    return {**found, "credentials": credentials, "outcome": whole, "valid": whole == PASS}


def verdict(found: Mapping[str, Any]) -> Verdict:
    """The verdict of one credential that `described` wrote. Raises Malformed: verdict_bad."""
    try:
        steps = tuple(Step(**each) for each in found["steps"])
        return Verdict(steps=steps, at_ms=int(found["at_ms"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed("verdict_bad", "no verdict of ours") from error


def says(found: Secured) -> dict[str, str]:
    """What a credential says, by the labels of its type; of another type, nothing."""
    kind = types.CATALOGUE.get(found.type)
    subject = secured.said(found.claims)
    return {} if kind is None else {each.label: str(subject[each.name]) for each in kind.fields if each.name in subject}


def label(kind: str) -> str:
    """A type's name for people."""
    return types.CATALOGUE[kind].label if kind in types.CATALOGUE else kind or "What was shown"


def judge(verifier: Verifier, taken: Callable[[str, Answer], None] = lambda _, __: None) -> Judge:
    """What judges the answers of wallets. taken: told for which audience each was made, and what was in it."""

    def judged(raw: bytes, nonce: str, audience: str) -> Judged:
        answer = verifier.shown(raw, nonce=nonce, audience=audience)
        taken(audience, answer)
        found = OUTCOMES.get(outcome(answer), oid4vp.UNKNOWN)
        return Judged(outcome=found, verdict=described(answer), holder=answer.holder)

    return judged


def acknowledge(attest: Callable[[Callable[[PublicKey], str]], str]) -> Callable[[str, Mapping[str, Any]], str]:
    """What signs for a holder who asked what, as the party. attest: of the party's node."""

    def signed(typ: str, claims: Mapping[str, Any]) -> str:
        def said(key: PublicKey) -> str:
            head = jcs.canonical({"alg": "EdDSA", "typ": typ, "jwk": did.to_jwk(key)})
            body = jcs.canonical({**claims, "iss": key.urn})
            return f"{base64text.encode_url(head)}.{base64text.encode_url(body)}"

        return attest(said)

    return signed


def _whole(outcomes: Set[str]) -> str:
    if FAIL in outcomes:
        return FAIL
    return PASS if outcomes == {PASS} else UNKNOWN


def _one(found: One) -> dict[str, Any]:
    steps = [
        {"name": each.name, "outcome": each.outcome, "code": each.code, "age_ms": each.age_ms}
        for each in found.verdict.steps
    ]
    read = found.found
    return {
        "type": "" if read is None else read.type,
        "issuer": "" if read is None else read.issuer,
        "says": {} if read is None else says(read),
        "until_ms": None if read is None else read.until_ms,
        "at_ms": found.verdict.at_ms,
        "valid": found.verdict.valid,
        "outcome": found.verdict.outcome,
        "steps": steps,
    }
