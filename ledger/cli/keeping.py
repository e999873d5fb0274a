"""`vigil ledger redact`, `prune`, `rotate-key`, `roll-over`: what leaves a log, and how it goes on; while it is not running."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from ledger.cli import common
from ledger.log import custody, epochs, keyring
from ledger.log.engine import Engine
from ledger.settings import Settings
from protocol import notes
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, NotFound
from protocol.keys import EDDSA, SigningKey
from protocol.notes import Checkpoint
from protocol.p256 import ES256
from protocol.retention import DAYS_MAX, REASONS

ALGS = {"EdDSA": EDDSA, "ES256": ES256}
DAY_MS = 86_400_000
OVERLAP_DAYS_MAX = 365  # as the log's rules have it

_YES = click.option("--yes", is_flag=True, help="Do not ask: what goes does not come back.")


@click.command()
@common.STATE
@click.argument("entry_id", metavar="ID")
@click.option("--reason", type=click.Choice(sorted(REASONS)), required=True, help="Why; it is said on the log.")
@_YES
@click.pass_obj
def redact(host: Host, state: Path | None, entry_id: str, reason: str, yes: bool) -> Answer:
    """Destroy the body of one statement, as a last resort; its entry and all proofs stay."""
    with _stopped(common.chosen(host.env, {"state": state})) as (log, root):
        shelf, index = log.locate(entry_id)
        shelf.statement(index)
        if not yes:
            click.confirm(f"Destroy the statement {entry_id} of {log.origin}?", abort=True, err=True)
        said = custody.redact(log, root, index=index, reason=reason, epoch=shelf.published.epoch)
    data = {"redacted": entry_id, "reason": reason, "statement": said.entry_id}
    return Answer(data=data, text=f"{entry_id} is in no file of the ledger any more; {said.entry_id} says so")


@click.command()
@common.STATE
@click.option("--before", type=click.IntRange(min=1), metavar="INDEX", help="The first index that stays.")
@click.option("--keep-days", type=click.IntRange(1, DAYS_MAX), metavar="N", help="Keep what is younger than N days.")
@_YES
@click.pass_obj
def prune(host: Host, state: Path | None, before: int | None, keep_days: int | None, yes: bool) -> Answer:
    """Destroy statements and tree nodes below a minimum index; what stays keeps its statements and proofs.

    Keep more days than any witness or gateway may be away: who saw the log last before the minimum index cannot be shown any
    more that it only grew.
    """
    if (before is None) is (keep_days is None):
        raise ConfigError("minimum_bad", "give either --before or --keep-days")
    with _stopped(common.chosen(host.env, {"state": state})) as (log, root):
        minimum = before or custody.aged(log, keep_days=keep_days or 0, now_ms=common.now_ms())
        if keep_days is not None and minimum <= log.minimum:
            return Answer(data={"minimum": log.minimum, "statement": None}, text="nothing is older: all of it stays")
        if not yes:
            click.confirm(f"Destroy what {log.origin} has below index {minimum}?", abort=True, err=True)
        said = custody.prune(log, root, minimum=minimum, keep_days=keep_days)
    data = {"minimum": minimum, "statement": said.entry_id}
    return Answer(data=data, text=f"the minimum index is {minimum}; {said.entry_id} says so")


@click.command("rotate-key")
@common.STATE
@click.option("--alg", type=click.Choice(sorted(ALGS)), default="EdDSA", help="EdDSA takes over; ES256 signs receipts.")
@click.option(
    "--overlap-days", type=click.IntRange(1, OVERLAP_DAYS_MAX), default=30, help="How long the old key signs too."
)
@click.pass_obj
def rotate_key(host: Host, state: Path | None, alg: str, overlap_days: int) -> Answer:
    """Give the log another key: the old one signs beside it for a while, and stays in the key set for ever."""
    settings = common.chosen(host.env, {"state": state})
    with _stopped(settings) as (log, _):
        said, thumbprint = custody.add_key(log, settings.state, alg=ALGS[alg], overlap_ms=overlap_days * DAY_MS)
        data = {"key": thumbprint.hex(), "alg": alg, "statement": said.entry_id, "overlap_days": overlap_days}
    text = f"{said.entry_id} declares the key {thumbprint.hex()}: hand out a new trust file within {overlap_days} days"
    return Answer(data=data, text=text if alg == "EdDSA" else f"{said.entry_id} declares the key {thumbprint.hex()}")


@click.command("roll-over")
@common.STATE
@click.option("--origin", help="The name of the next log; by default the number at the end of the name, one higher.")
@click.option("--without-witnesses", is_flag=True, help="End with a checkpoint that witnesses have not cosigned.")
@_YES
@click.pass_obj
def roll_over(host: Host, state: Path | None, origin: str | None, without_witnesses: bool, yes: bool) -> Answer:
    """End this epoch of the log and begin the next, with its state, a new name and a new key."""
    settings = common.chosen(host.env, {"state": state})
    with _stopped(settings) as (log, root):
        name = origin or epochs.next_origin(log.origin)
        note = _last(log, cosigned=bool(settings.witness_policy) and not without_witnesses)
        if not yes:
            click.confirm(f"End {log.origin} at {log.size} entries and go on as {name}?", abort=True, err=True)
        custody.roll_over(log, settings.state, root, origin=name, note=note, now_ms=common.now_ms)
        data = {"ended": log.origin, "size": log.size, "origin": name, "epoch": log.epoch + 1}
    text = f"{data['ended']} has ended with {data['size']} entries, and {name} begins: hand out a new trust file"
    return Answer(data=data, text=text)


@contextlib.contextmanager
def _stopped(settings: Settings) -> Iterator[tuple[Engine, SigningKey]]:
    """The ledger, which nobody runs meanwhile, and its registry root."""
    if not (settings.state / epochs.file_of(epochs.FIRST)).exists():
        raise NotFound("state_missing", f"there is no ledger in {settings.state}: run it once")
    root = keyring.load(settings.state, keyring.REGISTRY_KEY)
    with contextlib.closing(Engine.open(settings.state, now_ms=common.now_ms)) as log:
        yield log, root


def _last(log: Engine, *, cosigned: bool) -> str:
    """The checkpoint that ends the log: with its cosignatures, where the newest one has some."""
    note = log.cosigned()
    if note and Checkpoint.from_text(notes.parse(note).text).size == log.size:
        return note
    if cosigned:
        raise ConfigError(
            "epoch_not_cosigned",
            "witnesses have not cosigned the newest checkpoint: run the ledger until they have, or say --without-witnesses",
        )
    return log.signed()
