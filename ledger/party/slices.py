"""Which use cases a party has."""

from ledger.credentials.slice import SLICE as CREDENTIALS
from ledger.party.mount import Slice

SLICES: tuple[Slice, ...] = (CREDENTIALS,)
