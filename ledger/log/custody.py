"""What an operator who holds the registry root does to a log that is not being served: redact, prune, roll over."""

from collections.abc import Callable
from pathlib import Path

from ledger import founding
from ledger.log import epochs, pruning, upkeep
from ledger.log.engine import Engine
from ledger.log.registering import Registered
from protocol.errors import Unavailable
from protocol.keys import SigningKey


def redact(log: Engine, root: SigningKey, *, index: int, reason: str) -> Registered:
    """Take the body of one statement out of every file of the ledger, by a statement of the registry root.

    Raises NotFound: entry_unknown, entry_pruned, statement_redacted; ConfigError: not_redactable, reason_unknown;
    Unavailable: storage_failed, database_busy; VerificationFailed; as Engine.register does.
    """
    log.statement(index)
    with log.alone() as parts:
        raw = upkeep.order_redaction(parts, root, index=index, reason=reason)
    said = log.register(raw)
    # Stop here: ordered and not yet done; the next start does it.
    log.finish()
    return said


def prune(log: Engine, root: SigningKey, *, minimum: int, keep_days: int | None = None) -> Registered:
    """Let go of what is below `minimum`, by a statement of the registry root. keep_days: the rule that it follows from.

    Raises ConfigError: minimum_bad, minimum_unknown; Unavailable: storage_failed; VerificationFailed, as a check of the
    ledger does; as Engine.register does.
    """
    with log.alone() as parts:
        raw = upkeep.order_minimum(parts, root, minimum=minimum, keep_days=keep_days)
    said = log.register(raw)
    # Stop here: ordered and not yet done; the next start does it.
    log.finish()
    return said


def aged(log: Engine, *, keep_days: int, now_ms: int) -> int:
    """The minimum index that keeping statements for so many days leads to."""
    with log.alone() as parts:
        return pruning.aged(parts.store, keep_days=keep_days, now_ms=now_ms)


def roll_over(
    log: Engine, folder: Path, root: SigningKey, *, origin: str, note: str, now_ms: Callable[[], int]
) -> None:
    """End the epoch `log` with the checkpoint `note` and begin the next, a log called `origin`.

    Nothing is registered in `log` any more; whoever opens `folder` finds the next epoch.
    Raises ConfigError: epochs_full, origin_taken, origin_bad; Unavailable: storage_failed, database_busy.
    """
    founding.check_origin(origin)
    log.stop(Unavailable("epoch_ended", "this epoch of the log has ended: start the ledger again"))
    with log.alone() as parts:
        epochs.roll_over(folder, parts, root=root, origin=origin, note=note, now_ms=now_ms)
