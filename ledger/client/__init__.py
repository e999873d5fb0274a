"""A ledger's client in protocol terms: registers statements, reads checkpoints, computes proofs from tiles.

It trusts nothing that it reads: whoever holds the log's key verifies receipts and checkpoints, and proofs are checked
against a checkpoint. Answers are bounded in size and time and redirects are not followed, so that a hostile ledger costs
little; SCRAPI's 303 and 302 only name what to ask the same ledger for next. Only a ledger's own problem details refuse a
statement for good: what a proxy or a wrong address says does not.

`exchanges` says what is asked and in which order, `answers` what is answered; `Client` and `AsyncClient` carry it.
"""

from ledger.client.answers import (
    PROBLEM_KEY,
    PROBLEM_TYPE,
    ContractEntries,
    LedgerBusy,
    LedgerRefused,
    Registered,
    Status,
    Told,
    Verdict,
)
from ledger.client.asynchronous import AsyncClient
from ledger.client.blocking import Client
from ledger.client.exchanges import BATCH_MAX, BATCH_SIZE_MAX, BODY_MAX

__all__ = [
    "BATCH_MAX",
    "BATCH_SIZE_MAX",
    "BODY_MAX",
    "PROBLEM_KEY",
    "PROBLEM_TYPE",
    "AsyncClient",
    "Client",
    "ContractEntries",
    "LedgerBusy",
    "LedgerRefused",
    "Registered",
    "Status",
    "Told",
    "Verdict",
]
