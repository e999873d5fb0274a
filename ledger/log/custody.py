"""What an operator who holds the registry root does to a log that is not being served: redact, prune, change keys, roll over."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ledger import founding
from ledger.log import epochs, pruning, redaction, signer, upkeep
from ledger.log.engine import Engine
from ledger.log.registering import Registered
from protocol import declarations
from protocol.errors import ConfigError, ProtocolError, Unavailable
from protocol.keys import SigningKey
from protocol.p256 import P256PublicKey


def redact(log: Engine, root: SigningKey, *, index: int, reason: str, epoch: int | None = None) -> Registered:
    """Take the body of one statement out of every file of the ledger, by a statement of the registry root in the newest epoch.

    epoch: whose entry it is, by default the newest.

    Raises NotFound: entry_unknown, entry_pruned, statement_redacted; ConfigError: not_redactable, reason_unknown;
    Unavailable: storage_failed, database_busy; VerificationFailed; as Engine.register does.
    """
    named = epoch or log.epoch
    redaction.check(log.shelf(named).statement(index), log.contracts)
    with log.alone() as parts:
        try:
            name = parts.take_newest() if named == parts.epoch else epochs.keep_last(parts, named)
        except sqlite3.Error as error:
            raise Unavailable("storage_failed", f"the snapshot could not be stored: {error}") from error
        raw = upkeep.order_redaction(root, epoch=named, index=index, reason=reason, snapshot=name)
    said = log.register(raw)
    # Stop here: ordered and not yet done; the next start does it.
    log.finish()
    return said


def prune(log: Engine, root: SigningKey, *, minimum: int, keep_days: int | None = None) -> Registered:
    """Let go of what is below `minimum`, by a statement of the registry root. keep_days: the rule that it follows from.

    Raises ConfigError: minimum_bad, minimum_unknown, minimum_not_cosigned; Unavailable: storage_failed; VerificationFailed, as
    a check of the ledger does; as Engine.register does.
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
        return pruning.aged(parts.store, epoch=parts.epoch, keep_days=keep_days, now_ms=now_ms)


def add_key(log: Engine, folder: Path, *, alg: int, overlap_ms: int) -> tuple[Registered, bytes]:
    """A new key for the log: an Ed25519 key takes over after `overlap_ms`, an ES256 key signs receipts for who asks for that.

    Returns also its thumbprint. Raises ConfigError: key_not_taken, when the rules do not let it; as Engine.register does.
    """
    with log.alone() as parts:
        now_ms, origin, old = parts.store.head().at_ms, parts.origin, parts.key
        replaces = alg == old.alg or any(isinstance(key, P256PublicKey) for key in parts.keys.values())
        new = signer.make(folder, alg=alg)
    raw = declarations.log_key(old, new, log=origin, until_ms=now_ms + overlap_ms if replaces else None)
    try:
        # Stop here: a key that nobody declared and that signs nothing.
        return log.register(raw), new.thumbprint
    except ProtocolError as error:
        (folder / signer.name_of(new.thumbprint)).unlink()
        raise ConfigError("key_not_taken", f"the log does not take another key now: {error.detail}") from error


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
