"""Enrolments of devices: salted hashes by a gateway, so that nobody learns here who wears what.

Pure. State: `enrolments/<thumbprint>` with how many a gateway has registered.
"""

from ledger.questions import EnrolmentsOf
from ledger.rules import Changes, Contract, Kind, Readable, View, check_form
from protocol import cbor, documents
from protocol.statement import Statement

PREFIX = b"enrolments/"
COUNT_SIZE_MAX = 9  # bytes of a count in CBOR


def count(state: Readable, thumbprint: bytes) -> int:
    """How many enrolments the gateway with this key thumbprint has registered."""
    held = cbor.decode(state.get(PREFIX + thumbprint) or b"\x00", size_max=COUNT_SIZE_MAX)
    if not isinstance(held, int):
        raise AssertionError("a count is a number")
    return held


def _register(state: View, found: Statement, now_ms: int) -> Changes:
    """One enrolment by a gateway. Raises Refused, as check_form does."""
    check_form(found, hashed=True, subject=documents.enrolment_subject(found.kid))
    return Changes(puts={PREFIX + found.kid: cbor.encode(count(state, found.kid) + 1)})


def _count(state: Readable, question: EnrolmentsOf, now_ms: int) -> int:
    return count(state, question.gateway)


CONTRACT = Contract(
    name="devices",
    kinds={documents.ENROLMENT: Kind(apply=_register, roles=frozenset({"gateway"}), redactable=True)},
    keys=(PREFIX,),
    answers={EnrolmentsOf: _count},
)
