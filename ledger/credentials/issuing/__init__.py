"""An institution that issues: its keys, what it has issued, and the lists that take it back."""

from ledger.credentials.issuing.issuer import Issued, Issuer

__all__ = ["Issued", "Issuer"]
