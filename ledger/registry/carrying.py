"""What the next epoch begins with of the registry: parties and their keys; the log says anew who it and its root are."""

from dataclasses import replace

from ledger.registry.records import KEY, PARTY, Key, Party
from ledger.rules import State

REVOKED_BEFORE = 0  # a revocation of an earlier epoch holds from the first index of this one


def carry(part: State) -> State:
    """Parties and keys; an index at which one ended is of the epoch before, so that here it ended before everything."""
    found: dict[bytes, bytes] = {}
    for state_key, value in part.items():
        if state_key.startswith(PARTY):
            party = Party.decode(value)
            found[state_key] = value if party.revoked is None else replace(party, revoked=REVOKED_BEFORE).encode()
        elif state_key.startswith(KEY):
            key = Key.decode(value)
            found[state_key] = value if key.revoked is None else replace(key, revoked=REVOKED_BEFORE).encode()
    return found
