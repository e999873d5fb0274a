"""What the log no longer keeps, by the registry root's word: one body that a court took away, or all below a minimum index.

Pure. State: `redacted/<epoch><index>` with the redaction of that entry, `redacted-before/<snapshot>` with one that a later one
took the place of, `retention/<minimum>` with the statement that made it one (numbers in 8 bytes). The statements order; the log
carries them out (ledger/log/redaction.py, ledger/log/pruning.py).
"""

from collections.abc import Iterable

from ledger.questions import LogEpoch
from ledger.rules import ROOT, Changes, Contract, Kind, Refused, View, carry_nothing, check_form
from protocol import retention
from protocol.retention import Redaction, Retention
from protocol.statement import Statement

REDACTED = b"redacted/"
REPLACED = b"redacted-before/"
RETAINED = b"retention/"
NEWEST = b"retained"  # state key: the highest minimum index there has been


def redact(view: View, found: Statement, now_ms: int) -> Changes:
    """One body goes; said again about the same entry, the later word counts. Raises Refused: redaction_index; Malformed."""
    _by_root(view)
    check_form(found, hashed=False, subject=retention.redaction_subject(view.issuer.key.thumbprint))
    document = Redaction.decode(found.payload)
    if (document.epoch, document.index) >= (view.ask(LogEpoch()), view.index):
        raise Refused("redaction_index", "a redaction is of an entry before it")
    place = REDACTED + document.epoch.to_bytes(8, "big") + document.index.to_bytes(8, "big")
    before = view.get(place)
    if before is None:
        return Changes(puts={place: found.payload})
    return Changes(puts={place: found.payload, REPLACED + Redaction.decode(before).snapshot: before})


def retain(view: View, found: Statement, now_ms: int) -> Changes:
    """A higher minimum index. Raises Refused: minimum_bad; Malformed."""
    _by_root(view)
    check_form(found, hashed=False, subject=retention.retention_subject(view.issuer.key.thumbprint))
    document = Retention.decode(found.payload)
    before = int.from_bytes(view.get(NEWEST) or b"", "big")
    if not before < document.minimum <= view.index:
        raise Refused("minimum_bad", "a minimum index only rises, and is not above the size of the log")
    minimum = document.minimum.to_bytes(8, "big")
    return Changes(puts={RETAINED + minimum: found.payload, NEWEST: minimum})


def _by_root(view: View) -> None:
    """Whatever a policy says: nobody else takes bodies away."""
    if view.issuer.role != ROOT:
        raise Refused("issuer_not_allowed", "the registry root alone says what a log no longer keeps")


def redactions(items: Iterable[tuple[bytes, bytes]], epoch: int) -> dict[int, Redaction]:
    """The redactions of entries of an epoch that a state knows, by index. items: its keys and values."""
    prefix = REDACTED + epoch.to_bytes(8, "big")
    return {_number(key): Redaction.decode(value) for key, value in items if key.startswith(prefix)}


def named(items: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The names of the snapshots in all redactions that a state has known: the body may have gone by one that was replaced."""
    return {Redaction.decode(value).snapshot for key, value in items if key.startswith((REDACTED, REPLACED))}


def retentions(items: Iterable[tuple[bytes, bytes]]) -> dict[int, Retention]:
    """The minimum indexes that a state has known, with who made them ones. items: its keys and values."""
    return {_number(key): Retention.decode(value) for key, value in items if key.startswith(RETAINED)}


def _number(key: bytes) -> int:
    return int.from_bytes(key[-8:], "big")


CONTRACT = Contract(
    name="retention",
    kinds={
        retention.REDACTION: Kind(apply=redact, roles=frozenset({ROOT})),
        retention.RETENTION: Kind(apply=retain, roles=frozenset({ROOT})),
    },
    keys=(REDACTED, REPLACED, RETAINED, NEWEST),
    codes=frozenset({"redaction_index", "minimum_bad"}),
    lasting=True,
    carry=carry_nothing,  # its numbers are indexes of the epoch that they were said in
)
