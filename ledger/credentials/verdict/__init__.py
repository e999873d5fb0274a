"""Whether a credential counts: what a verifier knows, the steps it takes, and what came of each. Pure."""

from ledger.credentials.verdict.brought import Brought
from ledger.credentials.verdict.facts import Facts
from ledger.credentials.verdict.known import Held, Key, Known, Version
from ledger.credentials.verdict.steps import Ages, Possession, Step, Verdict, check, unreadable

__all__ = [
    "Ages",
    "Brought",
    "Facts",
    "Held",
    "Key",
    "Known",
    "Possession",
    "Step",
    "Verdict",
    "Version",
    "check",
    "unreadable",
]
