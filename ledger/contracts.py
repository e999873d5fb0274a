"""Which contract judges a statement: the one for its content type; a type without one is refused.

Pure. Also the head of the state: a chain of hashes over every entry and what it changed, so that two logs (or a log and
its replay) with the same head have the same history.
"""

import hashlib
from collections.abc import Callable, Mapping

from ledger import anchors, devices, registry
from ledger.rules import Changes, Refused, State
from protocol import cbor, cose, documents, receipt
from protocol.errors import Malformed
from protocol.statement import Statement

Contract = Callable[[State, Statement, int], Changes]

CONTRACTS: Mapping[str, tuple[str, Contract]] = {
    documents.GENESIS: ("genesis", registry.apply_genesis),
    documents.REGISTRY: ("registry", registry.apply_admission),
    documents.ENROLMENT: ("devices", devices.apply),
    documents.ANCHOR: ("anchors", anchors.apply),
}
CODES = frozenset(
    "cbor_size cbor_invalid cbor_not_deterministic cose_tag cose_shape statement_unprotected statement_payload "
    "statement_headers statement_kid statement_claims statement_content_type statement_hash statement_location "
    "kid_mismatch alg_unsupported crit_unsupported signature_size signature_bad key_size document_bad "
    "content_type_not_allowed issuer_unknown issuer_not_allowed issuer_mismatch form_not_allowed "
    "location_not_allowed subject_wrong genesis_exists key_has_other_duty storage_failed too_many".split()
)  # every reason why a statement is not registered, for counters
FIRST_HEAD = bytes(32)
_HEAD_LABEL = b"vigil-ledger-head/1"


def bare(raw: bytes) -> bytes:
    """The statement in `raw` with an empty unprotected header, as the log keeps it. Source: RFC 9943 §6.3.

    Raises Malformed: cbor_*, cose_*, statement_payload.
    """
    signed = cose.parse_sign1(raw, size_max=receipt.TRANSPARENT_SIZE_MAX)
    if not signed.unprotected:
        return raw
    if signed.payload is None:
        raise Malformed("statement_payload", "the payload is attached")
    body = cose.bstr(signed.payload) + cose.bstr(signed.signature)
    return b"\xd2\x84" + cose.bstr(signed.protected_bytes) + b"\xa0" + body


def judge(state: State, found: Statement, now_ms: int) -> tuple[str, Changes]:
    """The name of the contract for `found` and what it changes.

    Raises Refused: content_type_not_allowed and the contract's; Malformed; BadSignature.
    """
    entry = CONTRACTS.get(found.content_type)
    if entry is None:
        raise Refused("content_type_not_allowed", "this log has no contract for statements of this type")
    name, contract = entry
    return name, contract(state, found, now_ms)


def next_head(head: bytes, *, entry: bytes, contract: str, at_ms: int, changes: Changes) -> bytes:
    """32 bytes: the head of the state after an entry, from the head before it."""
    said = cbor.encode([entry, contract, at_ms, dict(changes.puts)])
    return hashlib.sha256(_HEAD_LABEL + head + said).digest()
