"""What our statements say, each a CBOR map with text keys; by noun, and all of them under this name.

Genesis, admission and the like travel in full. Enrolment and anchor stay with the gateway, and the ledger has their hash; an
enrolment is salted, so that nobody can guess it from there.
"""

from protocol.documents.anchors import ANCHOR, ENTRY_SIZE_MAX, FIRST_PREV, Anchor, BatchEntry, anchor_subject
from protocol.documents.devices import ENROLMENT, Enrolment, enrolment_subject
from protocol.documents.fields import NAME_MAX, SIZE_MAX, TIME_MAX_MS
from protocol.documents.log import GENESIS, LOG_KEY, Genesis, LogKey, log_subject, read_key
from protocol.documents.policy import (
    ISSUER,
    LOG,
    MEMBER,
    MEMBERS,
    POLICY,
    PUBLIC,
    READERS,
    ROOT,
    Policy,
    Rule,
    policy_subject,
)
from protocol.documents.registry import (
    GATEWAY,
    PARTY_KEY,
    REGISTRY,
    REVOCATION,
    ROLES,
    Admission,
    PartyKey,
    Revocation,
    registry_subject,
)

__all__ = [
    "ANCHOR",
    "ENROLMENT",
    "ENTRY_SIZE_MAX",
    "FIRST_PREV",
    "GATEWAY",
    "GENESIS",
    "ISSUER",
    "LOG",
    "LOG_KEY",
    "MEMBER",
    "MEMBERS",
    "NAME_MAX",
    "PARTY_KEY",
    "POLICY",
    "PUBLIC",
    "READERS",
    "REGISTRY",
    "REVOCATION",
    "ROLES",
    "ROOT",
    "SIZE_MAX",
    "TIME_MAX_MS",
    "Admission",
    "Anchor",
    "BatchEntry",
    "Enrolment",
    "Genesis",
    "LogKey",
    "PartyKey",
    "Policy",
    "Revocation",
    "Rule",
    "anchor_subject",
    "enrolment_subject",
    "log_subject",
    "policy_subject",
    "read_key",
    "registry_subject",
]
