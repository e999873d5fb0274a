"""What a log may say of itself: its genesis, and its next keys."""

from dataclasses import replace

from ledger.registry import records
from ledger.registry.parties import OVERLAP_MAX_MS
from ledger.registry.records import LogKey
from ledger.registry.standing import taken
from ledger.rules import Changes, Refused, View, check_form
from protocol import documents
from protocol.documents import Genesis
from protocol.keys import PublicKey
from protocol.statement import Statement

LOG_KEYS_MAX = 32  # keys of a log in one epoch; then a new epoch begins


def begin(state: View, found: Statement, now_ms: int) -> Changes:
    """The first statement, by the log about itself. Raises Refused: key_has_other_duty; as check_form does."""
    document = Genesis.decode(found.payload)
    check_form(found, hashed=False, subject=documents.log_subject(document.origin))
    if document.log_key == document.registry_root:
        raise Refused("key_has_other_duty", "the log's key and the registry root are two keys")
    keys = records.encode_log_keys((LogKey(key=PublicKey(document.log_key), index=state.index),))
    puts = {
        records.GENESIS: found.payload,
        records.LOG_KEYS: keys,
        records.ROOT_KEY: document.registry_root,
    }
    return Changes(puts=puts)


def add_key(state: View, found: Statement, now_ms: int) -> Changes:
    """Another key of the log, by its newest Ed25519 key; the key of the same kind before it stops at a stated time.

    Raises Malformed: document_bad, key_*; BadSignature: signature_bad; Refused: log_other, key_rotated, key_has_other_duty,
    overlap_missing, overlap_too_long, overlap_running, log_keys_full; as check_form does.
    """
    if found.hashed:
        raise Refused("form_not_allowed", "registered in full")
    document = documents.LogKey.decode(found.payload)
    origin = records.begun(state).origin
    check_form(found, hashed=False, subject=documents.log_subject(origin))
    if document.log != origin:
        raise Refused("log_other", "said for another log")
    keys = records.log_keys(state)
    if found.kid != _newest(keys, PublicKey):
        raise Refused("key_rotated", "this key of the log has handed over already")
    known = any(each.key == document.key for each in keys)
    if known or (isinstance(document.key, PublicKey) and taken(state, document.key)):
        raise Refused("key_has_other_duty", "the key is known already")
    if len(keys) >= LOG_KEYS_MAX:
        raise Refused("log_keys_full", "a log that has had so many keys begins a new epoch")
    before = _newest(keys, type(document.key))
    _check_overlap(keys, document, before=before, now_ms=now_ms)
    document.check_proof()
    ended = tuple(replace(each, until_ms=document.until_ms) if each.key.thumbprint == before else each for each in keys)
    added = (*ended, LogKey(key=document.key, index=state.index))
    return Changes(puts={records.LOG_KEYS: records.encode_log_keys(added)})


def _newest(keys: tuple[LogKey, ...], kind: type) -> bytes | None:
    """The thumbprint of the newest key of a kind."""
    found = [each.key.thumbprint for each in keys if isinstance(each.key, kind)]
    return found[-1] if found else None


def _check_overlap(keys: tuple[LogKey, ...], document: documents.LogKey, *, before: bytes | None, now_ms: int) -> None:
    if (document.until_ms is None) is not (before is None):
        raise Refused("overlap_missing", "a key that takes over says until when the one before signs, and no other key")
    if document.until_ms is None:
        return
    if document.until_ms - now_ms > OVERLAP_MAX_MS:
        raise Refused("overlap_too_long", "the old key ends within a year")
    kind = type(document.key)
    if any(isinstance(each.key, kind) and each.until_ms is not None and each.signs(now_ms) for each in keys):
        raise Refused("overlap_running", "the key before this one still signs: two at a time are enough")
