"""Enrolments of devices: salted hashes by a gateway, so that nobody learns here who wears what.

Pure. State: `enrolments/<thumbprint>` with how many a gateway has registered.
"""

from ledger import registry
from ledger.rules import Changes, State, check_form, check_signer
from protocol import cbor, documents
from protocol.statement import Statement

PREFIX = b"enrolments/"
COUNT_SIZE_MAX = 9  # bytes of a count in CBOR


def apply(state: State, found: Statement, now_ms: int) -> Changes:
    """One enrolment by a gateway. Raises Refused: issuer_unknown, issuer_not_allowed; as the checks of ledger.rules do."""
    check_signer(found, registry.holder(state, found.kid, "gateway"))
    check_form(found, hashed=True, subject=documents.enrolment_subject(found.kid))
    return Changes(puts={PREFIX + found.kid: cbor.encode(count(state, found.kid) + 1)})


def count(state: State, thumbprint: bytes) -> int:
    """How many enrolments the gateway with this key thumbprint has registered."""
    held = cbor.decode(state.get(PREFIX + thumbprint, b"\x00"), size_max=COUNT_SIZE_MAX)
    if not isinstance(held, int):
        raise AssertionError("a count is a number")
    return held
