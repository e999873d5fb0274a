"""The rules run again: what a stored statement does to the state and to the head, if it is what it is said to be."""

from ledger import contracts
from ledger.contracts import STANDARD, Contracts
from ledger.log.store import Entry, Head
from protocol import statement
from protocol.errors import ProtocolError, VerificationFailed


def step(entry: Entry, head: Head, state: dict[bytes, bytes], rules: Contracts = STANDARD) -> Head:
    """The head after `entry`, judged anew by the contracts `rules`; its changes are made in `state`.

    Raises VerificationFailed: entry_missing, entry_digest, entry_time, entry_refused, entry_contract, genesis_missing.
    """
    where = f"entry {head.size}"
    if entry.place != head.size:
        raise VerificationFailed("entry_missing", f"{where} is not there")
    if entry.digest != statement.entry(entry.statement):
        raise VerificationFailed("entry_digest", f"{where} is not the hash of its statement")
    if entry.at_ms < head.at_ms:
        raise VerificationFailed("entry_time", f"{where} is older than the one before")
    try:
        contract, changes = rules.judge(state, statement.parse(entry.statement), entry.at_ms, index=head.size)
    except ProtocolError as error:
        if error.code == "genesis_missing":
            raise VerificationFailed(error.code, "the first entry is not a genesis") from error
        raise VerificationFailed("entry_refused", f"{where} would not be registered: {error}") from error
    if contract != entry.contract:
        raise VerificationFailed("entry_contract", f"{where} was judged by another contract")
    state.update(changes.puts)
    chain = contracts.next_head(head.chain, entry=entry.digest, contract=contract, at_ms=entry.at_ms, changes=changes)
    return Head(size=head.size + 1, root=head.root, chain=chain, at_ms=entry.at_ms)
