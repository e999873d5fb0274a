"""Anchors: the hash of what a gateway says about one batch of messages, which itself stays with the gateway.

Pure. State: `anchors/<thumbprint>` with how many a gateway has registered, and the hash in the newest.
"""

from ledger.questions import AnchorsOf
from ledger.rules import Changes, Contract, Kind, Readable, View, check_form
from protocol import cbor, documents
from protocol.statement import Statement

PREFIX = b"anchors/"
TALLY_SIZE_MAX = 64  # bytes of [count, hash] in CBOR


def tally(state: Readable, thumbprint: bytes) -> tuple[int, bytes]:
    """How many anchors the gateway with this key thumbprint has registered, and the hash in the newest (zeros for none)."""
    held = state.get(PREFIX + thumbprint)
    if held is None:
        return 0, documents.FIRST_PREV
    parts = cbor.decode(held, size_max=TALLY_SIZE_MAX)
    if not isinstance(parts, list) or len(parts) != 2:
        raise AssertionError("a tally is [count, hash]")
    count, newest = parts
    if not isinstance(count, int) or not isinstance(newest, bytes):
        raise AssertionError("a tally is [count, hash]")
    return count, newest


def _register(state: View, found: Statement, now_ms: int) -> Changes:
    """One anchor by a gateway. Raises Refused, as check_form does."""
    check_form(found, hashed=True, subject=documents.anchor_subject(found.kid))
    count, _ = tally(state, found.kid)
    return Changes(puts={PREFIX + found.kid: cbor.encode([count + 1, found.payload])})


def _count(state: Readable, question: AnchorsOf, now_ms: int) -> int:
    return tally(state, question.gateway)[0]


CONTRACT = Contract(
    name="anchors",
    kinds={documents.ANCHOR: Kind(apply=_register, roles=frozenset({"gateway"}), redactable=True)},
    keys=(PREFIX,),
    answers={AnchorsOf: _count},
)
