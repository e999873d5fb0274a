"""Anchors: the hash of what a gateway says about one batch of messages, which itself stays with the gateway.

Pure. State: `anchors/<thumbprint>` with how many a gateway has registered, and the hash in the newest.
"""

from ledger.questions import AnchorsOf
from ledger.rules import Changes, Contract, Kind, Readable, View, check_form
from protocol import cbor, cose, documents
from protocol.statement import Statement

PREFIX = b"anchors/"


def tally(state: Readable, thumbprint: bytes) -> tuple[int, bytes]:
    """How many anchors the gateway with this key thumbprint has registered, and the hash in the newest (zeros for none)."""
    held = state.get(PREFIX + thumbprint)
    if held is None:
        return 0, documents.FIRST_PREV
    match cbor.decode_loosely(held):
        case [int(count), bytes(newest)]:
            return count, newest
    raise AssertionError("a tally is [count, hash]")


def _register(state: View, found: Statement, now_ms: int) -> Changes:
    """One anchor by a gateway. Raises Refused, as check_form does."""
    check_form(found, hashed=True, subject=documents.anchor_subject(found.kid))
    count, _ = tally(state, found.kid)
    return Changes(puts={PREFIX + found.kid: b"\x82" + cbor.uint(count + 1) + cose.bstr(found.payload)})


def _count(state: Readable, question: AnchorsOf, now_ms: int) -> int:
    return tally(state, question.gateway)[0]


CONTRACT = Contract(
    name="anchors",
    kinds={documents.ANCHOR: Kind(apply=_register, roles=frozenset({"gateway"}), redactable=True)},
    keys=(PREFIX,),
    answers={AnchorsOf: _count},
)
