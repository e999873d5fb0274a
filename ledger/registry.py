"""Who may do what: genesis names the log's key and the registry root; the root's admissions give roles to other keys.

Pure. State: `root`, `log`, `genesis`, and `key/<thumbprint>` with the newest admission of that key.
"""

from ledger.rules import KEY_PREFIX, LOG, ROOT, Changes, Refused, State, check_form, check_signer
from protocol import documents
from protocol.documents import Admission, Genesis
from protocol.keys import PublicKey
from protocol.statement import Statement

GENESIS = b"genesis"  # state key: the genesis document


def genesis_subject(origin: str) -> str:
    """The subject of the first statement of the log with this name."""
    return f"vigil:log:{origin}"


def genesis_of(state: State) -> Genesis:
    """The genesis document of a log that has one."""
    return Genesis.decode(state[GENESIS])


def apply_genesis(state: State, found: Statement, now_ms: int) -> Changes:
    """The first statement, by the log about itself. Raises Refused: genesis_exists; as check_form and check_signer do."""
    if GENESIS in state:
        raise Refused("genesis_exists", "a log begins once")
    document = Genesis.decode(found.payload)
    check_form(found, hashed=False, subject=genesis_subject(document.origin))
    check_signer(found, PublicKey(document.log_key))
    if document.log_key == document.registry_root:
        raise Refused("key_has_other_duty", "the log's key and the registry root are two keys")
    puts = {GENESIS: found.payload, LOG: document.log_key, ROOT: document.registry_root}
    return Changes(puts=puts)


def apply_admission(state: State, found: Statement, now_ms: int) -> Changes:
    """The root's word about a key; a later one about the same key takes its place. Source: RFC 9943 §6.

    Raises Malformed: document_bad; Refused: issuer_unknown, issuer_not_allowed, key_has_other_duty; as the checks do.
    """
    root = PublicKey(state[ROOT])
    if found.kid != root.thumbprint:
        if KEY_PREFIX + found.kid in state:
            raise Refused("issuer_not_allowed", "only the registry root admits keys")
        raise Refused("issuer_unknown", "this log knows no such key")
    check_signer(found, root)
    if found.hashed:
        raise Refused("form_not_allowed", "registered in full")
    admission = Admission.decode(found.payload)
    admitted = PublicKey(admission.key)
    check_form(found, hashed=False, subject=documents.registry_subject(admitted.thumbprint))
    if admission.key in (state[ROOT], state[LOG]):
        raise Refused("key_has_other_duty", "the keys of the log and of the registry have no other role")
    return Changes(puts={KEY_PREFIX + admitted.thumbprint: found.payload})


def holder(state: State, thumbprint: bytes, role: str) -> PublicKey:
    """The key with this thumbprint, if it has `role`. Raises Refused: issuer_unknown, issuer_not_allowed."""
    document = state.get(KEY_PREFIX + thumbprint)
    if document is None:
        if thumbprint in (PublicKey(state[ROOT]).thumbprint, PublicKey(state[LOG]).thumbprint):
            raise Refused("issuer_not_allowed", f"the key has another role than {role}")
        raise Refused("issuer_unknown", "this log knows no such key")
    admission = Admission.decode(document)
    if admission.role != role:
        raise Refused("issuer_not_allowed", f"the key has another role than {role}")
    return PublicKey(admission.key)
