"""Who may do what: genesis names the log's key and the registry root; the root admits parties and gives them roles.

Pure. State: `genesis`, `root`, `log-keys`; `party/<thumbprint>` with a party's role, name and newest keys;
`key/<thumbprint>` with whose key it is and when it ends. A party is called by the thumbprint of its first key, for life.
"""

from ledger.questions import HasRole, IsAdmitted, IsTrusted, LogEpoch, LogName, PartyOf
from ledger.registry import carrying, logs, parties, records, standing
from ledger.registry.records import GENESIS, LogKey, genesis_of, log_keys
from ledger.registry.standing import beginner, in_roles, issuer
from ledger.rules import Contract, Kind
from protocol import documents
from protocol.documents import LOG, MEMBER, ROOT

__all__ = ["CONTRACT", "GENESIS", "LogKey", "beginner", "genesis_of", "in_roles", "issuer", "log_keys"]

CONTRACT = Contract(
    name="registry",
    kinds={
        documents.GENESIS: Kind(apply=logs.begin, roles=frozenset({LOG})),
        documents.LOG_KEY: Kind(apply=logs.add_key, roles=frozenset({LOG})),
        documents.REGISTRY: Kind(apply=parties.admit, roles=frozenset({ROOT})),
        documents.PARTY_KEY: Kind(apply=parties.change_key, roles=frozenset({MEMBER})),
        documents.REVOCATION: Kind(apply=parties.revoke, roles=frozenset({ROOT, MEMBER})),
    },
    keys=(records.GENESIS, records.ROOT_KEY, records.LOG_KEYS, records.PARTY, records.KEY),
    codes=frozenset(
        "genesis_exists key_has_other_duty issuer_revoked key_ended rotation_not_allowed log_other party_other "
        "party_unknown key_rotated overlap_running overlap_too_long overlap_missing revocation_early revocation_exists "
        "log_keys_full key_point".split()
    ),
    lasting=True,
    carry=carrying.carry,
    answers={
        LogName: standing.name_answer,
        LogEpoch: standing.epoch_answer,
        PartyOf: standing.party_answer,
        IsAdmitted: standing.admitted_answer,
        HasRole: standing.role_answer,
        IsTrusted: standing.trusted_answer,
    },
)
