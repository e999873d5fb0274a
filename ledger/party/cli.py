"""`vigil party`: make the organisation's key, run its node, say how its statements stand."""

import asyncio
import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from ledger.cli import common
from ledger.party import settings
from ledger.party.mount import SLICES, commands
from ledger.party.node import KEY, load_key, opened
from ledger.party.settings import Settings
from ledger.party.store import Store
from protocol.answer import Answer, Host
from protocol.errors import Unavailable
from protocol.evidence import Trust

ROLE = "party"

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
        "name": chosen.name,
        "admitted": counts.receipted > 0,
        "waiting": counts.waiting,
        "receipted": counts.receipted,
        "refused": dict(counts.refused),
        "checkpoint": head,
        "conflicts": len(files),
    }
    return Answer(data=data, text="\n".join(_lines(data)))


for _name, _command in commands(SLICES).items():
    cli.add_command(_command, _name)


def _lines(data: Mapping[str, object]) -> list[str]:
    refused, head = data["refused"], data["checkpoint"]
    lines = [f"{data['name'] or 'a party without a name'}, public key {data['key']}"]
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
