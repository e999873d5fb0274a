"""Anchors: the hash of what a gateway says about one batch of messages, which itself stays with the gateway.

Pure. State: `anchors/<thumbprint>` with how many a gateway has registered, and the hash in the newest.
"""

from ledger import registry
from ledger.rules import Changes, State, check_form, check_signer
from protocol import cbor, documents
from protocol.statement import Statement

PREFIX = b"anchors/"
TALLY_SIZE_MAX = 64  # bytes of [count, hash] in CBOR


def apply(state: State, found: Statement, now_ms: int) -> Changes:
    """One anchor by a gateway. Raises Refused: issuer_unknown, issuer_not_allowed; as the checks of ledger.rules do."""
    check_signer(found, registry.holder(state, found.kid, "gateway"))
    check_form(found, hashed=True, subject=documents.anchor_subject(found.kid))
    count, _ = tally(state, found.kid)
    return Changes(puts={PREFIX + found.kid: cbor.encode([count + 1, found.payload])})


def tally(state: State, thumbprint: bytes) -> tuple[int, bytes]:
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
