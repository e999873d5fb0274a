"""Who may sign now, and which signatures count: the registry's answers, to the judge and to other contracts."""

from collections.abc import Collection

from ledger.questions import HasRole, IsAdmitted, IsTrusted, LogEpoch, LogName, Party, PartyOf
from ledger.registry import records
from ledger.registry.records import Key
from ledger.rules import Issuer, Readable, Refused
from protocol.documents import LOG, MEMBER, ROOT, Genesis
from protocol.keys import PublicKey
from protocol.statement import Statement


def beginner(state: Readable, found: Statement) -> Issuer:
    """The log itself, by the key that its genesis names. Raises Refused: genesis_exists; Malformed: document_bad."""
    if state.get(records.GENESIS) is not None:
        raise Refused("genesis_exists", "a log begins once")
    key = PublicKey(Genesis.decode(found.payload).log_key)
    return Issuer(key=key, party=key.thumbprint, role=LOG, name="")


def issuer(state: Readable, thumbprint: bytes, now_ms: int) -> Issuer:
    """Who may sign with the key of this thumbprint now.

    Raises Refused: genesis_missing, issuer_unknown, issuer_revoked, key_ended.
    """
    key = records.key_of(state, thumbprint)
    if key is not None:
        party = records.party_with(state, key)
        if key.revoked is not None or party.revoked is not None:
            raise Refused("issuer_revoked", "the key, or the party whose it is, is revoked")
        if not key.acts(now_ms):
            raise Refused("key_ended", "another key has taken the place of this one")
        return Issuer(key=key.key, party=key.party, role=party.role, name=party.name)
    root = records.root_of(state)
    if root is None:
        raise Refused("genesis_missing", "a log begins with its genesis")
    if root.thumbprint == thumbprint:
        return Issuer(key=root, party=thumbprint, role=ROOT, name="")
    for each in records.log_keys(state):
        if each.key.thumbprint == thumbprint and isinstance(each.key, PublicKey):
            if not each.signs(now_ms):
                raise Refused("key_ended", "another key of the log has taken the place of this one")
            return Issuer(key=each.key, party=thumbprint, role=LOG, name="")
    raise Refused("issuer_unknown", "this log knows no such key")


def in_roles(found: Issuer, roles: Collection[str]) -> bool:
    """Whether an issuer is one of `roles`; MEMBER stands for every party."""
    return found.role in roles or (MEMBER in roles and found.role not in (ROOT, LOG))


def taken(state: Readable, key: PublicKey) -> bool:
    """Whether a key is the root's, the log's, or a party's already."""
    known = records.key_of(state, key.thumbprint) is not None
    return known or key == records.root_of(state) or any(key == each.key for each in records.log_keys(state))


def name_answer(state: Readable, question: LogName, now_ms: int) -> str:
    """The origin."""
    return records.begun(state).origin


def epoch_answer(state: Readable, question: LogEpoch, now_ms: int) -> int:
    """The number of the epoch."""
    return records.begun(state).epoch


def party_answer(state: Readable, question: PartyOf, now_ms: int) -> Party | None:
    """Whose key it is."""
    key = records.key_of(state, question.key)
    if key is None:
        return None
    party = records.party_with(state, key)
    return Party(thumbprint=key.party, name=party.name, role=party.role, acting=_acts(state, key.party, now_ms))


def admitted_answer(state: Readable, question: IsAdmitted, now_ms: int) -> bool:
    """Whether the key may sign now."""
    key = records.key_of(state, question.key)
    return key is not None and key.acts(now_ms) and records.party_with(state, key).revoked is None


def role_answer(state: Readable, question: HasRole, now_ms: int) -> bool:
    """Whether the party acts in the role now."""
    party = records.party_of(state, question.party)
    return party is not None and party.role == question.role and _acts(state, question.party, now_ms)


def trusted_answer(state: Readable, question: IsTrusted, now_ms: int) -> bool:
    """Whether the signature under an entry still counts: by a key that was not revoked from there, or from before, on."""
    key = records.key_of(state, question.key)
    if key is not None:
        ends = (key.revoked, records.party_with(state, key).revoked)
        return all(end is None or question.index < end for end in ends)
    root, log = records.root_of(state), records.log_keys(state)
    known = () if root is None else (root.thumbprint, *(each.key.thumbprint for each in log))
    return question.key in known


def _acts(state: Readable, name: bytes, now_ms: int) -> bool:
    party = records.party_of(state, name)
    if party is None or party.revoked is not None:
        return False
    keys: list[Key | None] = [records.key_of(state, party.newest)]
    if party.previous is not None:
        keys.append(records.key_of(state, party.previous))
    return any(key is not None and key.acts(now_ms) for key in keys)
