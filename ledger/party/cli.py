"""`vigil party`: make the organisation's key, run its node, say how its statements stand."""

import asyncio
import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from ledger.cli import common
from ledger.party import rotation, settings
from ledger.party.mount import commands
from ledger.party.node import KEY, load_key, opened
from ledger.party.settings import Settings
from ledger.party.slices import SLICES
from ledger.party.store import Store
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, Unavailable
from protocol.evidence import Trust
from protocol.keys import PublicKey

ROLE = "party"
DAY_MS = 86_400_000
OVERLAP_DAYS_MAX = 365  # as the log's rules have it

_STATE = click.option("--state", type=click.Path(path_type=Path), help="The party's folder.")


@click.group()
def cli() -> None:
    """One organisation's node: its own key, its statements, their receipts."""


@cli.command()
@_STATE
@click.option("--name", help="The name of the institution; never of a person.")
@click.pass_obj
def init(host: Host, state: Path | None, name: str | None) -> Answer:
    """Make the party's key, or find it again, and say how the ledger's operator admits it."""
    chosen = _chosen(host.env, {"state": state, "name": name})
    with opened(chosen.state) as (key, _):
        public = key.public
    admit = ["vigil", "ledger", "admit", "--role", ROLE, "--key", public.x.hex()]
    admit += ["--name", chosen.name or "NAME OF THE INSTITUTION", "--out", "party.admission"]
    facts = {"state": str(chosen.state), "key": public.x.hex(), "thumbprint": public.thumbprint.hex()}
    lines = [
        f"the key is in {chosen.state / KEY}: keep a copy where nobody else reads it",
        f"public key {public.x.hex()}",
        f"at the ledger: {shlex.join(admit)}",
        "then name the file party.admission in the setting admission, and run `vigil party run`",
    ]
    return Answer(data={**facts, "name": chosen.name, "admit": shlex.join(admit)}, text="\n".join(lines))


@cli.command()
@_STATE
@click.option("--host", "address", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8091); 0 for any free one.")
@click.option("--metrics-port", type=int, help="Port of counters and health (9104); 0 for any free one.")
@click.option("--name", help="The name of the institution; never of a person.")
@click.option("--ledger-url", help="The ledger's address.")
@click.option("--trust", help="The file with the ledger's keys.")
@click.option("--admission", help="The file with the registry's admission of this party's key.")
@click.option("--with-ledger", is_flag=True, default=None, help="Run the ledger of [ledger] in the same process.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="A settings file; else VIGIL_CONFIG, else ./vigil.toml."
)
@click.pass_obj
def run(host: Host, /, file: Path | None, address: str | None, **flags: object) -> None:
    """Serve the party until SIGTERM or SIGINT; the first run makes its key where `init` has not."""
    chosen = _chosen(host.env, {"host": address, **flags}, file)
    from ledger.party import service  # the other commands work without an HTTP server

    def ready(found: service.Addresses) -> None:
        told = {"event": "ready", "url": found.url, "metrics": found.metrics, "ledger": found.ledger}
        where = f" and sends to {found.ledger}" if found.ledger else ""
        click.echo(json.dumps(told) if host.json else f"the party serves {found.url}{where}")
        host.ready()

    trust = Trust.from_json(_read(chosen.trust)) if chosen.trust else None
    admission = _read(chosen.admission) if chosen.admission else None
    with opened(chosen.state) as (key, store), contextlib.ExitStack() as held:
        ledger = None
        if chosen.with_ledger:
            from ledger.party import beside  # and a party alone without a log

            ledger = held.enter_context(beside.opened(common.chosen(host.env, {}, file), now_ms=common.now_ms))
        asyncio.run(
            service.run(
                chosen,
                key=key,
                store=store,
                trust=trust,
                admission=admission,
                ready=ready,
                now_ms=common.now_ms,
                ledger=ledger,
            )
        )


@cli.command()
@_STATE
@click.option(
    "--conflicts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each proof that a log contradicted itself into this folder, for `vigil verify`.",
)
@click.pass_obj
def status(host: Host, state: Path | None, conflicts: Path | None) -> Answer:
    """Say how the party's statements stand; it may be at work."""
    chosen = _chosen(host.env, {"state": state})
    public = load_key(chosen.state).public
    declared = rotation.pending(chosen.state, public)
    with contextlib.closing(Store.reader(chosen.state)) as store:
        counts, heads, files = store.counts(), store.heads(), store.conflicts()
    if conflicts is not None:
        _made(conflicts)
        for number, each in enumerate(files, 1):
            common.write(conflicts / f"conflict-{number}.json", each)
    newest = max(heads, key=lambda each: each.seen.at_ms, default=None)
    head = newest and {
        "origin": newest.checkpoint.origin,
        "size": newest.checkpoint.size,
        "root": newest.checkpoint.root.hex(),
    }
    data: dict[str, object] = {
        "key": public.x.hex(),
        "thumbprint": public.thumbprint.hex(),
        "next": None if declared is None else declared.document.key.hex(),
        "name": chosen.name,
        "admitted": counts.receipted > 0,
        "waiting": counts.waiting,
        "receipted": counts.receipted,
        "refused": dict(counts.refused),
        "checkpoint": head,
        "conflicts": len(files),
    }
    return Answer(data=data, text="\n".join(_lines(data)))


@cli.command()
@_STATE
@click.option(
    "--overlap-days",
    type=click.IntRange(1, OVERLAP_DAYS_MAX),
    default=30,
    help="How long the old key counts too (30): longer than the ledger may be away.",
)
@click.pass_obj
def rotate(host: Host, state: Path | None, overlap_days: int) -> Answer:
    """Give the party another key, while it is not running; the next `vigil party run` takes it up once the log has receipted it.

    Those who call this party, or are called by it, write the new key into their settings beside the old one before that. Run
    it again when the log has refused.
    """
    chosen = _chosen(host.env, {"state": state})
    load_key(chosen.state)  # a party that is not there is not made
    with opened(chosen.state) as (key, store):
        newest = max(store.heads(), key=lambda each: each.seen.at_ms, default=None)
        if newest is None:
            raise ConfigError("party_not_admitted", "no log has receipted a statement of this party: run it first")
        now_ms = common.now_ms()
        until_ms = now_ms + overlap_days * DAY_MS
        found = rotation.begin(chosen.state, key, store, log=newest.checkpoint.origin, until_ms=until_ms, now_ms=now_ms)
    following = PublicKey(found.document.key)
    data: dict[str, object] = {"key": following.x.hex(), "thumbprint": following.thumbprint.hex()}
    data |= {"old": key.public.x.hex(), "until_ms": found.document.until_ms, "statement": found.digest.hex()}
    lines = [
        f"next public key {following.x.hex()}, in {chosen.state / rotation.NEXT} until it takes over: keep a copy of it too",
        f"the declaration {found.digest.hex()} waits for {found.document.log}: run the party",
    ]
    return Answer(data=data, text="\n".join(lines))


for _name, _command in commands(SLICES).items():
    cli.add_command(_command, _name)


def _lines(data: Mapping[str, object]) -> list[str]:
    refused, head = data["refused"], data["checkpoint"]
    lines = [f"{data['name'] or 'a party without a name'}, public key {data['key']}"]
    if data["next"]:
        lines.append(f"next public key {data['next']}, once the ledger has receipted that")
    lines.append(
        "the ledger has receipted statements" if data["admitted"] else "no ledger has receipted a statement yet"
    )
    lines.append(f"{data['waiting']} wait, {data['receipted']} have a receipt")
    if isinstance(refused, dict):
        lines += [f"{number} refused: {code}" for code, number in refused.items()]
    if isinstance(head, dict):
        lines.append(f"newest checkpoint: {head['origin']}, {head['size']} entries, root {head['root']}")
    if data["conflicts"]:
        lines.append(f"THE LOG CONTRADICTED ITSELF: {data['conflicts']} proofs, see --conflicts")
    return lines


def _read(name: str) -> bytes:
    return common.read(Path(name).expanduser())


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot make {folder}: {error.strerror}") from error


def _chosen(env: Mapping[str, str], flags: Mapping[str, object], file: Path | None = None) -> Settings:
    return settings.read(text=common.settings_text(env, file), env=env, flags=flags)
