"""The registration policy: a statement by the registry root says who may register and read what, from the next entry on.

Pure. State: `policy` with the document in force. RFC 9943 §6.1: a policy, as every other change of trust, is on the log.
"""

import functools
from collections.abc import Mapping

from ledger.questions import IsAdmitted, LogName, PartyOf
from ledger.registry import GENESIS
from ledger.registry.standing import admitted_answer, party_answer
from ledger.rules import Changes, Contract, Kind, Readable, Refused, View, carry_nothing, check_form
from protocol import documents
from protocol.documents import ISSUER, LOG, MEMBER, MEMBERS, PUBLIC, ROOT, Policy, Rule
from protocol.statement import Statement

KEY = b"policy"  # state key
GIVEN: Mapping[str, frozenset[str]] = {
    documents.GENESIS: frozenset({LOG}),
    documents.LOG_KEY: frozenset({LOG}),
    documents.POLICY: frozenset({ROOT}),
    documents.REGISTRY: frozenset({ROOT}),
    documents.REVOCATION: frozenset({ROOT, MEMBER}),
}
"""What no policy may change, nor hide: without it nobody could mend a policy, admit, revoke, or check what was registered."""

_decoded = functools.lru_cache(maxsize=64)(Policy.decode)


def in_force(state: Readable) -> Policy | None:
    """The policy of a log. None: it has none yet, and nothing but its first policy is registered."""
    held = state.get(KEY)
    return None if held is None else _decoded(held)


def rule_for(state: Readable, content_type: str) -> Rule:
    """The rule for a content type. Raises Refused: content_type_not_allowed, genesis_missing, policy_missing."""
    policy = in_force(state)
    if policy is not None:
        rule = policy.rules.get(content_type)
        if rule is None:
            raise Refused("content_type_not_allowed", "this log's policy does not name statements of this type")
        return rule
    if content_type not in (documents.GENESIS, documents.POLICY):
        if state.get(GENESIS) is None:
            raise Refused("genesis_missing", "a log begins with its genesis")
        raise Refused("policy_missing", "the second statement of a log is its policy")
    return Rule(roles=GIVEN[content_type])


def check_read(state: Readable, found: Statement, thumbprint: bytes | None, *, now_ms: int) -> None:
    """Whether the key with this thumbprint (None: anybody) may read a registered statement now.

    A type that the policy does not name any more is its issuer's to read. An issuer may read with any key of its party.
    Raises Refused: statement_not_for_you.
    """
    policy = in_force(state)
    rule = None if policy is None else policy.rules.get(found.content_type)
    readers = ISSUER if rule is None else rule.readers
    if readers == PUBLIC:
        return
    if thumbprint is not None and admitted_answer(state, IsAdmitted(key=thumbprint), now_ms):
        reader = party_answer(state, PartyOf(key=thumbprint), now_ms)
        if readers == MEMBERS or reader == party_answer(state, PartyOf(key=found.kid), now_ms):
            return
    raise Refused("statement_not_for_you", f"statements of this type are read by: {readers}")


def _put(state: View, found: Statement, now_ms: int) -> Changes:
    """The next policy. Raises Malformed: document_bad; Refused: log_other, policy_old, policy_locks_out; as check_form does."""
    if found.hashed:
        raise Refused("form_not_allowed", "registered in full")
    policy = Policy.decode(found.payload)
    check_form(found, hashed=False, subject=documents.policy_subject(policy.log))
    if policy.log != state.ask(LogName()):
        raise Refused("log_other", "said for another log")
    before = in_force(state)
    if before is not None and policy.n <= before.n:
        raise Refused("policy_old", "a policy has a higher number than the one before it")
    for content_type, roles in GIVEN.items():
        if policy.rules.get(content_type) != Rule(roles=roles, readers=PUBLIC):
            raise Refused("policy_locks_out", f"a policy keeps the rule for {content_type} as it is")
    return Changes(puts={KEY: found.payload})


CONTRACT = Contract(
    name="policy",
    kinds={documents.POLICY: Kind(apply=_put, roles=GIVEN[documents.POLICY])},
    keys=(KEY,),
    codes=frozenset({"policy_old", "policy_locks_out", "log_other"}),
    lasting=True,
    carry=carry_nothing,
)
