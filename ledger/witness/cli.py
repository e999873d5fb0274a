"""`vigil ledger witness`: make a witness, say for which logs it cosigns, run it, and take out what it holds against them."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from ledger.cli import common
from ledger.witness import settings
from ledger.witness import witness as witnesses
from ledger.witness.store import Log, Store
from protocol import notes, witnessing
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, Malformed, Unavailable
from protocol.notes import NoteKey

_STATE = click.option("--state", type=click.Path(path_type=Path), help="The witness's folder.")
_CONFIG = click.option(
    "--config", "file", type=click.Path(path_type=Path), help="A settings file; else VIGIL_CONFIG, else ./vigil.toml."
)


@click.group("witness")
def cli() -> None:
    """A witness: cosigns checkpoints of other logs, once it has seen that they only grew."""


@cli.command()
@_STATE
@click.option("--name", required=True, help="Its name, like witness.example.org/1; it cannot change.")
@click.pass_obj
def init(host: Host, state: Path | None, name: str) -> Answer:
    """Make the witness's key and database; the same command again changes nothing."""
    key = witnesses.make(_settings(host.env, {"state": state}).state, name=name)
    return Answer(data={"name": name, "vkey": key.vkey()}, text=key.vkey())


@cli.command()
@_STATE
@click.pass_obj
def key(host: Host, state: Path | None) -> Answer:
    """Print the witness's verifier key, for the policies of others."""
    found = witnesses.key_of(_settings(host.env, {"state": state}).state)
    return Answer(data={"name": found.name, "vkey": found.vkey()}, text=found.vkey())


@cli.command("add-log")
@_STATE
@click.option("--url", default="", help="Where the log serves its tiles, for people who look into evidence.")
@click.argument("vkey")
@click.pass_obj
def add_log(host: Host, state: Path | None, url: str, vkey: str) -> Answer:
    """Cosign for the log with this verifier key from now on, also while the witness runs; its name is the log's origin."""
    found = _log_key(vkey)
    with contextlib.closing(Store.open(_settings(host.env, {"state": state}).state)) as store, _storing():
        new = store.add_log(found, url=url, path=witnessing.checkpoint_path(found.name))
    data = {"origin": found.name, "new": new, "path": witnessing.checkpoint_path(found.name)}
    return Answer(data=data, text=f"{found.name} is {'new here' if new else 'known'}")


@cli.command("remove-log")
@_STATE
@click.argument("vkey")
@click.pass_obj
def remove_log(host: Host, state: Path | None, vkey: str) -> Answer:
    """Cosign nothing more for this key, whose time is over or whose epoch has ended; what was cosigned is not forgotten."""
    found = _log_key(vkey)
    with contextlib.closing(Store.open(_settings(host.env, {"state": state}).state)) as store, _storing():
        gone = store.remove_log(found)
    return Answer(
        data={"origin": found.name, "gone": gone}, text=f"{found.name} {'is gone' if gone else 'was not here'}"
    )


@cli.command()
@_STATE
@click.pass_obj
def logs(host: Host, state: Path | None) -> Answer:
    """List the logs and how far each was cosigned."""
    with contextlib.closing(Store.open(_settings(host.env, {"state": state}).state)) as store, _storing():
        found = store.logs()
    rows = [{"origin": log.key.name, "vkey": log.key.vkey(), "url": log.url, "size": log.size} for log in found]
    return Answer(data={"logs": rows}, text="\n".join(map(_row, found)) or "no logs yet")


@cli.command()
@_STATE
@click.option("--host", "address", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8092); 0 for any free one.")
@click.option("--metrics-port", type=int, help="Port of counters and health (9105); 0 for any free one.")
@_CONFIG
@click.pass_obj
def run(
    host: Host,
    state: Path | None,
    address: str | None,
    port: int | None,
    metrics_port: int | None,
    file: Path | None,
) -> None:
    """Serve logs until SIGTERM or SIGINT."""
    flags = {"state": state, "host": address, "port": port, "metrics_port": metrics_port}
    chosen = _settings(host.env, flags, file)
    from ledger.witness import service  # the other commands work without an HTTP server

    def ready(found: service.Addresses) -> None:
        told = {"event": "ready", "url": found.url, "metrics": found.metrics, "vkey": witness.key.vkey()}
        click.echo(json.dumps(told) if host.json else f"the witness {witness.key.name} serves {found.url}")
        host.ready()

    opened = witnesses.Witness.open(
        chosen.state, now_s=time.time, monotonic_s=time.monotonic, rate_per_s=chosen.log_rate_per_s
    )
    with contextlib.closing(opened) as witness:
        asyncio.run(service.serve(witness, chosen, ready=ready))


@cli.command()
@_STATE
@click.option("--out", type=click.Path(path_type=Path), help="A folder to write both notes of each contradiction to.")
@click.pass_obj
def evidence(host: Host, state: Path | None, out: Path | None) -> Answer:
    """Show checkpoints that a log signed and that contradict what was cosigned, and write them for others to check."""
    with contextlib.closing(Store.open(_settings(host.env, {"state": state}).state)) as store, _storing():
        found = store.evidence()
    if out is not None:
        _make(out)
        for each in found:
            common.write(out / f"{each.number}-{each.kind}-cosigned.note", each.cosigned.encode())
            common.write(out / f"{each.number}-{each.kind}-refused.note", each.refused.encode())
    rows = [
        {"number": each.number, "origin": each.origin, "kind": each.kind, "at_s": each.at_s}
        | {"cosigned": each.cosigned, "refused": each.refused}
        for each in found
    ]
    lines = [f"{each.number}  {each.kind}  {each.origin}\n{each.cosigned}\n{each.refused}" for each in found]
    data = {"evidence": rows, "out": None if out is None else str(out)}
    return Answer(data=data, text="\n".join(lines) or "nothing is held against any log")


def _row(log: Log) -> str:
    size = "nothing cosigned yet" if log.size is None else f"cosigned up to {log.size} entries"
    return f"{log.key.name}: {size}"


def _log_key(text: str) -> NoteKey:
    try:
        found = NoteKey.from_vkey(text)
    except Malformed as error:
        raise ConfigError("vkey_bad", f"not the verifier key of a log: {error.detail}") from error
    if found.kind != notes.SIGNATURE:
        raise ConfigError("vkey_bad", "that is the key of a witness, not of a log")
    return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot make {folder}: {error.strerror}") from error


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable("storage_failed", f"the witness's database does not work: {error}") from error


def _settings(env: Mapping[str, str], flags: Mapping[str, object], file: Path | None = None) -> settings.Settings:
    return settings.read(text=common.settings_text(env, file), env=env, flags=flags)
