"""What a log, or an epoch of it, begins with: its genesis, then its policy. Both are one transaction: no tree has one entry."""

import re

from ledger.contracts import Contracts
from protocol import declarations
from protocol.documents import Genesis, Policy, Rule
from protocol.errors import ConfigError
from protocol.keys import SigningKey

_ORIGIN = re.compile(r"[!-*,-~]{1,128}")  # visible ASCII without "+", which separates the parts of a verifier key


def check_origin(origin: str) -> None:
    """Raises ConfigError: origin_bad, unless a log may be called so."""
    if not _ORIGIN.fullmatch(origin):
        raise ConfigError("origin_bad", "the origin is a name like log.example.org/1, without spaces and plus signs")


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
    state: bytes | None = None,
) -> list[bytes]:
    """Entries 0 and 1. policy: else the default; prior: the last checkpoint of the epoch before, as a note; state: the name of
    the snapshot that the epoch begins with."""
    document = Genesis(
        origin=origin, epoch=epoch, log_key=log_key.public.x, registry_root=root.public.x, prior=prior, state=state
    )
    return [
        declarations.genesis(log_key, document),
        declarations.policy(root, policy or default_policy(origin, contracts)),
    ]
