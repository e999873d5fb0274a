"""The ledger service: an append-only log of signed statements that anyone can check."""
