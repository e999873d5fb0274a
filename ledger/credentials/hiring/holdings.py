"""What a hiring file holds: credentials as they were judged, and whether each counts for a need at a time, or why it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.credentials import model
from ledger.credentials.hiring.posts import Need, Post
from ledger.credentials.types.catalogue import CONFIRMED, DENIED
from ledger.credentials.vc import secured
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict import Verdict

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
OF_THE_CLOCK = "period"  # the step that is made again at every question, by the times that are kept
OF_THE_SHOWING = "holder"  # the step that is made once: nobody is there to sign when a file is looked at again
COUNTS = "counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One credential in a file. id: SHA-256 of its bytes; subject: whom it is about, who has shown that it is theirs.

    anchor: urn:vigil:credential:..., its name on the ledger; claims: what it says; checked_ms: of a primary source verification,
    when the source was asked; came_ms: since when it is watched; outcome, code: of the last look at it, beside its period.
    """

    id: bytes
    type: str
    jurisdiction: str
    issuer: str
    subject: str
    anchor: str
    claims: Mapping[str, Any]
    from_ms: int | None
    until_ms: int | None
    checked_ms: int | None
    came_ms: int
    outcome: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a credential does not count for a need."""

    held: bytes
    outcome: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A need that nothing fills. code: of the nearest reason, or nothing_sent; reasons: what was sent for it, and why not."""

    need: Need
    outcome: str
    code: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A need that is met. by: the credential; until_ms: when that ends by itself, None: never; by_source: because its source was
    asked too long ago by then."""

    need: Need
    by: Held
    until_ms: int | None
    by_source: bool = False


def held_of(
    found: Secured,
    outcome: tuple[str, str],
    *,
    id: bytes,  # noqa: A002
    checked_ms: int | None,
    came_ms: int,
) -> Held:
    """A credential that somebody showed to be theirs, as a file holds it. outcome: as `judged`."""
    return Held(
        id=id,
        type=found.type,
        jurisdiction=found.jurisdiction,
        issuer=found.issuer,
        subject=found.subject or "",
        anchor="" if found.anchor is None else name_of(found.anchor.id),
        claims=said(found),
        from_ms=found.from_ms,
        until_ms=found.until_ms,
        checked_ms=checked_ms,
        came_ms=came_ms,
        outcome=outcome[0],
        code=outcome[1],
    )


def said(found: Secured) -> Mapping[str, Any]:
    """The claims of a credential that are about its subject."""
    return {name: value for name, value in secured.said(found.claims).items() if name not in _FRAME}


def name_of(identity: bytes) -> str:
    """How a credential is named by its anchor."""
    return f"urn:vigil:credential:{identity.hex()}"


def judged(verdict: Verdict) -> tuple[str, str]:
    """(outcome, code) over the steps that do not depend on the clock or on who is there: of a step that fails, else of one that
    is not known."""
    steps = [step for step in verdict.steps if step.name not in (OF_THE_CLOCK, OF_THE_SHOWING)]
    for outcome in (FAIL, UNKNOWN):
        for step in steps:
            if step.outcome == outcome:
                return outcome, step.code
    return PASS, COUNTS


def stands(held: Held, *, now_ms: int) -> tuple[str, str]:
    """(outcome, code) of a credential by itself, now."""
    if held.outcome == FAIL:
        return FAIL, held.code
    if held.from_ms is not None and now_ms < held.from_ms:
        return FAIL, "not_yet_valid"
    if held.until_ms is not None and now_ms >= held.until_ms:
        return FAIL, "expired"
    return held.outcome, held.code


def answers(held: Held, need: Need, others: Sequence[Held], *, now_ms: int, at_work: bool) -> Filled | Reason:
    """Whether a credential of a need's type meets it. others: all of the file; at_work: by the ages after hiring."""
    outcome, code = stands(held, now_ms=now_ms)
    if outcome != PASS:
        return Reason(held=held.id, outcome=outcome, code=code)
    if need.places and not any(place in need.places for place in _covered(held.jurisdiction, need.places)):
        return Reason(held=held.id, outcome=FAIL, code="other_place")
    if need.issuers and held.issuer not in need.issuers:
        return Reason(held=held.id, outcome=FAIL, code="other_issuer")
    for name, wanted in need.says.items():
        if name not in held.claims:
            return Reason(held=held.id, outcome=UNKNOWN, code="claim_kept_back")
        if not wanted & _values(held.claims[name]):
            return Reason(held=held.id, outcome=FAIL, code="claim_other")
    if need.checked_ms is None:
        return Filled(need=need, by=held, until_ms=held.until_ms)
    limit_ms = need.rechecked_ms if at_work else need.checked_ms
    return _sourced(held, need, others, now_ms=now_ms, limit_ms=limit_ms)


def fill(post: Post, helds: Sequence[Held], *, now_ms: int, at_work: bool) -> tuple[dict[str, Filled], tuple[Gap, ...]]:
    """(what is met, by the need's name; what is not). Of several that meet a need, the one that lasts longest."""
    met: dict[str, Filled] = {}
    gaps: list[Gap] = []
    for need in post.needs:
        reasons: list[Reason] = []
        for held in helds:
            if held.type != need.type:
                continue
            match answers(held, need, helds, now_ms=now_ms, at_work=at_work):
                case Filled() as found:
                    met[need.name] = max(met.get(need.name, found), found, key=_lasting)
                case Reason() as reason:
                    reasons.append(reason)
        if need.name not in met:
            gaps.append(_gap(need, reasons))
    return met, tuple(gaps)


def _gap(need: Need, reasons: list[Reason]) -> Gap:
    """What is not known may be known soon, so it is the nearest; then the last that came."""
    nearest = next((each for each in reasons if each.outcome == UNKNOWN), reasons[-1] if reasons else None)
    if nearest is None:
        return Gap(need=need, outcome=FAIL, code="nothing_sent", reasons=())
    return Gap(need=need, outcome=nearest.outcome, code=nearest.code, reasons=tuple(reasons))


def _sourced(held: Held, need: Need, others: Sequence[Held], *, now_ms: int, limit_ms: int) -> Filled | Reason:
    """Whether the source of a credential confirmed it lately enough, by a primary source verification that counts itself."""
    best: int | None = None
    reason = Reason(held=held.id, outcome=FAIL, code="source_not_asked")
    for other in others:
        if other.type != model.CHECKED_TYPE or other.checked_ms is None or other.subject != held.subject:
            continue
        if other.claims.get("claim") not in (held.anchor, held.type) or not _same_place(other, held):
            continue
        outcome, code = stands(other, now_ms=now_ms)
        if outcome != PASS:
            reason = Reason(held=held.id, outcome=outcome, code=f"source_{code}")
        elif other.claims.get("result") == DENIED:
            return Reason(held=held.id, outcome=FAIL, code="source_denied")
        elif other.claims.get("result") != CONFIRMED:
            continue
        elif now_ms - other.checked_ms >= limit_ms:
            reason = reason if reason.outcome == UNKNOWN else Reason(held=held.id, outcome=FAIL, code="source_too_old")
        else:
            ends = min(end for end in (other.checked_ms + limit_ms, other.until_ms) if end is not None)
            best = ends if best is None else max(best, ends)
    if best is None:
        return reason
    by_source = held.until_ms is None or best < held.until_ms
    return Filled(need=need, by=held, until_ms=best if by_source else held.until_ms, by_source=by_source)


def _same_place(source: Held, held: Held) -> bool:
    return source.claims.get("claim") == held.anchor or held.jurisdiction in _covered(
        source.jurisdiction, {held.jurisdiction}
    )


def _covered(jurisdiction: str, places: frozenset[str] | set[str]) -> set[str]:
    """Those of some places that a jurisdiction covers."""
    return {place for place in places if jurisdiction in model.covering(place)}


def _values(value: object) -> frozenset[str]:
    """The texts in a claim: one, or a list of them."""
    listed = value if isinstance(value, list) else [value]
    return frozenset(each for each in listed if isinstance(each, str))


def _lasting(found: Filled) -> tuple[float, bytes]:
    return (float("inf") if found.until_ms is None else found.until_ms, found.by.id)


_FRAME = frozenset(
    {"id", "type", "iss", "vct", "nbf", "exp", "iat", "cnf", "status", "credentialStatus", "ledger", "_sd_alg"}
)
