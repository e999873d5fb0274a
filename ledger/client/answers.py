"""What a ledger answers, as values or as errors: receipts, problem details, batches, status. SCRAPI, RFC 9290.

Nothing here trusts a ledger: bytes are parsed within their bounds, and what is signed is for the caller to verify.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from protocol import cbor, receipt, statement
from protocol.errors import Malformed, ProtocolError, Unavailable, VerificationFailed

PROBLEM_TYPE = "application/concise-problem-details+cbor"
PROBLEM_KEY = "tag:vigil.example,2026:problem"  # of our own entry among problem details; RFC 9290 asks for a URI
DETAIL, CODE = -2, "code"
DETAIL_MAX = 200  # characters of a ledger's sentence that are shown
RETRY_AFTER_MAX_S = 3600  # a ledger that asks for a longer pause is asked again anyway
JUDGED = (400, 413)  # answers about a statement itself; any other may change without the statement changing
ASKED = (400, 401, 403, 404, 410)  # answers that say no to a question
BUSY = (408, 425, 429, 500, 502, 503, 504)
INDEX_MAX = (1 << 63) - 1  # of an entry; a size or a minimum beyond it is no ledger's

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")  # never "." or "..", which are places and not names
_SECONDS = re.compile(r"[0-9]{1,9}")


class LedgerRefused(ProtocolError):
    """The ledger will not do it, however often it is asked. code: the ledger's own."""


class LedgerBusy(Unavailable):
    """The ledger cannot do it now. retry_after_s: how long it asks to be left alone; None when it does not say."""

    def __init__(self, code: str, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the ledger answered. index, size: as the receipt says; the caller verifies it."""

    entry_id: str
    receipt: bytes
    index: int
    size: int


Verdict: TypeAlias = Registered | LedgerRefused | LedgerBusy | Malformed
"""What a batch says of one statement: where it is, that it never will be, that it cannot be judged now, or nothing that can be
read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a ledger says about itself, unsigned. epoch: first part of its entry ids; minimum: index of the first entry
    that it still serves, as tlog-tiles has it; facts: all that it said."""

    origin: str
    epoch: int
    size: int
    minimum: int
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A statement as a ledger hands it out with others. at_ms: when it says that it was registered; nothing is checked."""

    index: int
    at_ms: int
    statement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractEntries:
    """What one contract of an epoch was told, in order; nothing is checked, and what we may not read is left out.

    next: the index to ask from for what follows; size: of the tree, which `next` is once all was seen.
    """

    epoch: int
    entries: tuple[Told, ...]
    next: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer whose body was read to its end. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def registered(answer: Answer) -> Registered:
    """A statement's place and receipt. Raises LedgerRefused; LedgerBusy; Malformed."""
    if answer.status not in (200, 201):
        raise trouble(answer, refusals=JUDGED)
    found = receipt.read(answer.body)
    return Registered(entry_id=named(answer), receipt=answer.body, index=found.index, size=found.size)


def batch(answer: Answer, count: int) -> list[Verdict]:
    """The verdicts on a batch of `count` statements, in their order; one that says nothing takes no other with it.

    Raises LedgerBusy, when none of them could be judged now; Malformed, when they are not `count` verdicts.
    """
    if answer.status != 200:
        raise trouble(answer, refusals=())
    verdicts = cbor.decode(answer.body, size_max=len(answer.body))
    if not isinstance(verdicts, list) or len(verdicts) != count:
        raise Malformed("ledger_answer", f"a batch of {count} statements has {count} verdicts")
    return [_verdict(verdict) for verdict in verdicts]


def content(answer: Answer) -> bytes:
    """The body of what was asked for. Raises LedgerRefused; LedgerBusy; Malformed."""
    if answer.status != 200:
        raise trouble(answer, refusals=ASKED)
    return answer.body


def status(answer: Answer) -> Status:
    """What a ledger says about itself. Raises LedgerRefused; LedgerBusy; Malformed."""
    try:
        facts = json.loads(content(answer).decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("ledger_answer", "the ledger's status is no JSON object") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("origin"), str):
        raise Malformed("ledger_answer", "the ledger's status names no origin")
    epoch, size, minimum = (_count(facts, name) for name in ("epoch", "size", "minimum"))
    return Status(origin=facts["origin"], epoch=epoch, size=size, minimum=minimum, facts=facts)


def contract_entries(answer: Answer, name: str, first: int) -> ContractEntries:
    """What the contract `name` was told from index `first` on. Raises LedgerRefused; LedgerBusy; Malformed."""
    found = cbor.decode(content(answer), size_max=len(answer.body))
    if not isinstance(found, dict) or found.get("contract") != name or not isinstance(found.get("entries"), list):
        raise Malformed("ledger_answer", "these are no entries of the contract")
    told = tuple(_told_entry(each) for each in found["entries"])
    epoch, after, size = (_count(found, field) for field in ("epoch", "next", "size"))
    places = [each.index for each in told]
    if places != sorted(set(places)) or (told and not first <= places[0] <= places[-1] < after):
        raise Malformed("ledger_answer", "entries come in their order, and from where they were asked for")
    if after < first or (after == first < size) or after > max(first, size):
        raise Malformed("ledger_answer", "the ledger does not say where to look next")
    return ContractEntries(epoch=epoch, entries=told, next=after, size=size)


def named(answer: Answer) -> str:
    """The entry or operation that an answer names: the last part of its location. Raises Malformed: ledger_answer."""
    name = answer.headers.get("location", "").rsplit("/", 1)[-1]
    if not _NAME.fullmatch(name):
        raise Malformed("ledger_answer", "the ledger named no entry")
    return name


def is_name(text: str) -> bool:
    """Whether an entry can be called so."""
    return _NAME.fullmatch(text) is not None


def retry_after_s(answer: Answer) -> float | None:
    """How long the ledger asks to be left alone."""
    said = answer.headers.get("retry-after", "")
    return float(min(int(said), RETRY_AFTER_MAX_S)) if _SECONDS.fullmatch(said) else None


def trouble(answer: Answer, *, refusals: Sequence[int]) -> ProtocolError | Unavailable:
    """The error that an answer stands for. refusals: at which status a ledger's own problem refuses for good."""
    code, detail = _problem(answer)
    if answer.status in BUSY:
        reason = code or f"status {answer.status}"
        return LedgerBusy("ledger_busy", f"the ledger cannot answer now: {reason}", retry_after_s=retry_after_s(answer))
    if code is not None and answer.status in refusals:
        return LedgerRefused(code, detail)
    return Malformed("ledger_answer", f"status {answer.status} is no answer of a ledger: look at its address")


def _verdict(verdict: object) -> Verdict:
    if not isinstance(verdict, dict):
        return Malformed("ledger_answer", "a verdict is a map")
    code, name, raw = verdict.get("status"), verdict.get("entry"), verdict.get("receipt")
    if code in (200, 201) and isinstance(name, str) and _NAME.fullmatch(name) and isinstance(raw, bytes):
        try:
            found = receipt.read(raw)
        except (Malformed, VerificationFailed) as error:
            return Malformed("ledger_answer", f"a verdict comes with no receipt: {error.detail}")
        return Registered(entry_id=name, receipt=raw, index=found.index, size=found.size)
    said, detail = _told(verdict.get("problem"))
    if code in BUSY:
        return LedgerBusy("ledger_busy", f"the ledger cannot judge a statement of the batch now: {said or code}")
    if code in JUDGED and said is not None:
        return LedgerRefused(said, detail)
    return Malformed("ledger_answer", f"a verdict is a receipt or a problem, not {said or code!r:.32}")


def _problem(answer: Answer) -> tuple[str | None, str]:
    """The code of a problem that the ledger itself describes, None when it does not, and its sentence."""
    if answer.headers.get("content-type", "") != PROBLEM_TYPE:
        return None, ""
    try:
        return _told(cbor.decode_loosely(answer.body))
    except Malformed:
        return None, ""


def _told(problem: object) -> tuple[str | None, str]:
    ours = problem.get(PROBLEM_KEY) if isinstance(problem, dict) else None
    if not isinstance(problem, dict) or not isinstance(ours, dict):
        return None, ""
    code, detail = ours.get(CODE), problem.get(DETAIL)
    shown = detail[:DETAIL_MAX] if isinstance(detail, str) and detail.isprintable() else "it does not say why"
    return (code if isinstance(code, str) and _CODE.fullmatch(code) else None), shown


def _told_entry(each: object) -> Told:
    raw = each.get("statement") if isinstance(each, dict) else None
    if not isinstance(each, dict) or not isinstance(raw, bytes) or not 0 < len(raw) <= statement.SIZE_MAX:
        raise Malformed("ledger_answer", "an entry of a contract has an index, a time and a statement")
    return Told(index=_count(each, "index"), at_ms=_count(each, "at_ms"), statement=raw)


def _count(facts: Mapping[Any, object], name: str) -> int:
    value = facts.get(name)
    if type(value) is not int or not 0 <= value <= INDEX_MAX:
        raise Malformed("ledger_answer", f"the ledger's answer has no {name}")
    return value
