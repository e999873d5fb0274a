"""What a party knows of issuers: the ledger read up to its newest checkpoint, and the status lists that it names."""

from ledger.credentials.registry.following import Follower
from ledger.credentials.registry.lists import Lists
from ledger.credentials.registry.reading import Registry

__all__ = ["Follower", "Lists", "Registry"]
