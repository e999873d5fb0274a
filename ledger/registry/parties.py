"""What may be said of parties: the root admits them, they change their keys, both revoke."""

from dataclasses import replace

from ledger.registry import records
from ledger.registry.records import KEY, PARTY, Key, Party
from ledger.registry.standing import taken
from ledger.rules import Changes, Refused, View, check_form
from protocol import documents
from protocol.documents import GATEWAY, ROOT, Admission, PartyKey, Revocation
from protocol.keys import PublicKey
from protocol.statement import Statement

OVERLAP_MAX_MS = 366 * 24 * 3_600_000  # how long an old key may count beside the new one; a longer time is refused


def admit(state: View, found: Statement, now_ms: int) -> Changes:
    """The root's word about a party's first key; a later one about the same key takes its place. Source: RFC 9943 §6.

    Raises Malformed: document_bad; Refused: key_has_other_duty, issuer_revoked, rotation_not_allowed; as check_form does.
    """
    _in_full(found)
    admission = Admission.decode(found.payload)
    key = PublicKey(admission.key)
    name = key.thumbprint
    check_form(found, hashed=False, subject=documents.registry_subject(name))
    party = records.party_of(state, name)
    if party is None:
        if taken(state, key):
            raise Refused("key_has_other_duty", "the key is the log's, the registry's or a later one of another party")
        party = Party(role=admission.role, name=admission.name, newest=name)
        return Changes(puts={PARTY + name: party.encode(), KEY + name: Key(party=name, key=key).encode()})
    known = records.key_of(state, name)
    if party.revoked is not None or known is None or known.revoked is not None:
        raise Refused("issuer_revoked", "what was revoked stays so: a new key makes a new party")
    if admission.role == GATEWAY and party.newest != name:
        raise Refused("rotation_not_allowed", "a gateway is known by one key, and this party has changed its key")
    return Changes(puts={PARTY + name: replace(party, role=admission.role, name=admission.name).encode()})


def change_key(state: View, found: Statement, now_ms: int) -> Changes:
    """A party's newest key hands over to another, which proves itself; for a while both count.

    Raises Malformed: document_bad; BadSignature: signature_bad; Refused: log_other, party_other, rotation_not_allowed,
    key_rotated, overlap_running, overlap_too_long, key_has_other_duty; as check_form does.
    """
    _in_full(found)
    document = PartyKey.decode(found.payload)
    name = state.issuer.party
    check_form(found, hashed=False, subject=documents.registry_subject(name))
    _of_this_log(state, document.log)
    if document.party != name:
        raise Refused("party_other", "a party changes its own key")
    party = records.party_of(state, name)
    if party is None or state.issuer.role == GATEWAY:
        raise Refused(
            "rotation_not_allowed", "a gateway's next key is admitted by the registry root, as another gateway"
        )
    if party.newest != found.kid:
        raise Refused("key_rotated", "this key has handed over already")
    previous = None if party.previous is None else records.key_of(state, party.previous)
    if previous is not None and previous.acts(now_ms):
        raise Refused("overlap_running", "the key before this one still counts: two at a time are enough")
    if document.until_ms - now_ms > OVERLAP_MAX_MS:
        raise Refused("overlap_too_long", "the old key ends within a year")
    new = PublicKey(document.key)
    if taken(state, new):
        raise Refused("key_has_other_duty", "the key is known already")
    document.check_proof()
    old = Key(party=name, key=state.issuer.key, until_ms=document.until_ms)
    return Changes(
        puts={
            PARTY + name: replace(party, newest=new.thumbprint, previous=found.kid).encode(),
            KEY + found.kid: old.encode(),
            KEY + new.thumbprint: Key(party=name, key=new).encode(),
        }
    )


def revoke(state: View, found: Statement, now_ms: int) -> Changes:
    """A key, or a whole party, does not count from an entry on; nothing is registered under it from now on.

    The root may revoke all. A party's newest key may revoke whatever is the party's, an older one only itself.
    Raises Malformed: document_bad; Refused: log_other, party_unknown, party_other, issuer_not_allowed, revocation_early,
    revocation_exists; as check_form does.
    """
    _in_full(found)
    document = Revocation.decode(found.payload)
    check_form(found, hashed=False, subject=documents.registry_subject(document.party))
    _of_this_log(state, document.log)
    party = records.party_of(state, document.party)
    if party is None:
        raise Refused("party_unknown", "this log knows no such party")
    if state.issuer.role != ROOT:
        if state.issuer.party != document.party:
            raise Refused("issuer_not_allowed", "a party revokes itself and its own keys")
        if found.kid not in (party.newest, document.key):
            raise Refused("key_rotated", "a key that has handed over revokes itself and nothing else")
    index = _place(state, document)
    if document.key is None:
        _earlier(party.revoked, index)
        return Changes(puts={PARTY + document.party: replace(party, revoked=index).encode()})
    key = records.key_of(state, document.key)
    if key is None or key.party != document.party:
        raise Refused("party_other", "the key is not this party's")
    _earlier(key.revoked, index)
    return Changes(puts={KEY + document.key: replace(key, revoked=index).encode()})


def _place(state: View, document: Revocation) -> int:
    """The first entry of this log that does not count: 0 when it lies in an epoch before this one."""
    epoch = records.begun(state).epoch
    if (document.epoch, document.index) > (epoch, state.index):
        raise Refused("revocation_early", "a revocation begins at an entry that is there, or with itself")
    return document.index if document.epoch == epoch else 0


def _earlier(before: int | None, index: int) -> None:
    if before is not None and index >= before:
        raise Refused("revocation_exists", "revoked already, from there or from before")


def _in_full(found: Statement) -> None:
    if found.hashed:
        raise Refused("form_not_allowed", "registered in full")


def _of_this_log(state: View, log: str) -> None:
    if log != records.begun(state).origin:
        raise Refused("log_other", "said for another log")
