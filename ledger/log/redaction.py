"""The last resort: one statement's body leaves the log by order of a court; its entry stays, and every proof stays valid.

Gone means that the bytes are in no file of the ledger any more. Copies elsewhere, backups and what a disk keeps of
overwritten blocks are the operator's.
"""

from collections.abc import Mapping

from ledger.contracts import Contracts
from ledger.log import snapshots
from ledger.log.keeping import MINIMUM, SCRUB
from ledger.log.store import Store
from protocol import cose, statement
from protocol.errors import ConfigError, Unavailable
from protocol.retention import Redaction


def check(raw: bytes, contracts: Contracts) -> None:
    """Raises ConfigError: not_redactable, unless the contract of the statement in `raw` can do without its body."""
    if not contracts.redactable(statement.parse(raw).content_type):
        raise ConfigError("not_redactable", "the rules of this log read statements of this type: its body stays")


def carry_out(
    store: Store, contracts: Contracts, keys: Mapping[bytes, cose.Verifier], orders: Mapping[int, Redaction]
) -> None:
    """Take away each body of this epoch that `orders` name, by index, and overwrite it; again after a stop.

    Raises sqlite3.Error; Unavailable: database_busy; VerificationFailed: snapshot_bad.
    """
    with store.keeping.overwriting():
        _carry_out(store, contracts, keys, orders)


def _carry_out(
    store: Store, contracts: Contracts, keys: Mapping[bytes, cose.Verifier], orders: Mapping[int, Redaction]
) -> None:
    sizes = {snapshots.name_of(signed): size for size, signed in store.keeping.snapshots()}
    for index, document in orders.items():
        body = store.statement(index)
        size = sizes.get(document.snapshot)
        if not body or index < store.keeping.mark(MINIMUM) or size is None or size <= index:
            continue  # gone already; or ordered elsewhere, without the state that a replay would need
        try:
            check(body, contracts)
        except ConfigError:
            continue
        snapshots.load(store, size, keys)
        with store.writing():
            store.keeping.erase(index)
        # Stop here: the row is empty, and the body may still lie in free pages and in the log beside the file.
    if store.keeping.mark(SCRUB):
        if not store.keeping.scrub():
            raise Unavailable(
                "database_busy",
                "something reads the ledger's files, and a body must leave them: end it, and start again",
            )
        # Stop here: nothing of the body is left; the next start looks once more.
        with store.writing():
            store.keeping.set_mark(SCRUB, 0)
