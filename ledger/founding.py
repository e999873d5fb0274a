"""What a log, or an epoch of it, begins with: its genesis, then its policy. Both are one transaction: no tree has one entry."""

from ledger.contracts import Contracts
from protocol import declarations
from protocol.documents import Genesis, Policy, Rule
from protocol.keys import SigningKey


def default_policy(origin: str, contracts: Contracts) -> Policy:
    """The policy of a log that is given none: each contract's own say about its content types, and nothing else."""
    rules = {
        content_type: Rule(roles=kind.roles, readers=kind.readers)
        for contract in contracts.all
        for content_type, kind in contract.kinds.items()
    }
    return Policy(log=origin, n=1, rules=rules)


def statements(
    *,
    origin: str,
    epoch: int,
    log_key: SigningKey,
    root: SigningKey,
    contracts: Contracts,
    policy: Policy | None = None,
    prior: str | None = None,
) -> list[bytes]:
    """Entries 0 and 1. policy: else the default; prior: the last checkpoint of the epoch before, as a note."""
    document = Genesis(origin=origin, epoch=epoch, log_key=log_key.public.x, registry_root=root.public.x, prior=prior)
    return [
        declarations.genesis(log_key, document),
        declarations.policy(root, policy or default_policy(origin, contracts)),
    ]
