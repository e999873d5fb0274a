"""`vigil ledger`: run the service, admit a gateway's key, say whom to trust, check the log, verify a receipt."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import click

from ledger import contracts, registry, settings
from ledger.log import engine, fsck, keyring
from ledger.log.engine import Engine
from ledger.log.store import FILE, Store
from protocol import evidence, receipt, statement
from protocol.answer import Answer, Host
from protocol.documents import ROLES
from protocol.errors import ConfigError, NotFound, ProtocolError, Unavailable, VerificationFailed

FILE_SIZE_MAX = 1024 * 1024  # bytes of a file given to a command; a larger one is not what it is said to be
CONFIG_VARIABLE, CONFIG_NAME = "VIGIL_CONFIG", "vigil.toml"

_STATE = click.option("--state", type=click.Path(path_type=Path), help="The ledger's folder.")


@click.group()
def cli() -> None:
    """The transparency ledger: an append-only log of signed statements that anybody can check."""


@cli.command()
@_STATE
@click.option("--host", "address", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8090); 0 for any free one.")
@click.option("--metrics-port", type=int, help="Port of counters and health (9103); 0 for any free one.")
@click.option("--origin", help="The log's name, for the first run.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="A settings file; else VIGIL_CONFIG, else ./vigil.toml."
)
@click.pass_obj
def run(
    host: Host,
    state: Path | None,
    address: str | None,
    port: int | None,
    metrics_port: int | None,
    origin: str | None,
    file: Path | None,
) -> None:
    """Serve the ledger until SIGTERM or SIGINT; the first run makes its keys and its first entry."""
    flags = {"state": state, "host": address, "port": port, "metrics_port": metrics_port, "origin": origin}
    chosen = _settings(host.env, flags, file)
    from ledger import service  # the commands below work without an HTTP server

    def ready(found: service.Addresses) -> None:
        told = {"event": "ready", "url": found.url, "metrics": found.metrics, "origin": log.origin, "size": log.size}
        click.echo(json.dumps(told) if host.json else f"the ledger {log.origin} serves {found.url}")
        host.ready()

    opened = Engine.open(chosen.state, now_ms=_now_ms, origin=chosen.origin or None)
    with contextlib.closing(opened) as log:
        asyncio.run(service.serve(log, chosen, ready=ready))


@cli.command()
@_STATE
@click.option("--role", type=click.Choice(sorted(ROLES)), required=True, help="What the key may do.")
@click.option("--key", "key_hex", required=True, metavar="HEX", help="The Ed25519 public key, 64 hex digits.")
@click.option("--name", required=True, help="The name of the institution; never of a person.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the statement.")
@click.pass_obj
def admit(host: Host, state: Path | None, role: str, key_hex: str, name: str, out: Path) -> Answer:
    """Sign that a key has a role, with the registry root; whoever holds the file may register it."""
    folder = _settings(host.env, {"state": state}).state
    try:
        key = bytes.fromhex(key_hex)
    except ValueError as error:
        raise ConfigError("admission_bad", "--key is the public key as 64 hex digits") from error
    raw = keyring.admission(keyring.load(folder, keyring.REGISTRY_KEY), role=role, key=key, name=name)
    _write(out, raw)
    entry = statement.entry(raw).hex()
    return Answer(data={"out": str(out), "entry": entry, "role": role}, text=f"{out}: {role} {name}, entry {entry}")


@cli.command()
@_STATE
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the trust file; else it is printed.")
@click.pass_obj
def trust(host: Host, state: Path | None, out: Path | None) -> Answer:
    """Write the file that verifiers bring: the log's key, a policy without witnesses, the registry root."""
    folder = _settings(host.env, {"state": state}).state
    if not (folder / FILE).exists():
        raise NotFound("state_missing", f"there is no ledger in {folder}: run it once")
    with contextlib.closing(Store.reader(folder)) as store:
        try:
            value = engine.trust_of(registry.genesis_of(store.state))
        except KeyError as error:
            raise NotFound("state_missing", f"the ledger in {folder} has no genesis yet: run it once") from error
    text = json.dumps(value, indent=2)
    if out is None:
        return Answer(data=value, text=text)
    _write(out, text.encode() + b"\n")
    return Answer(data={"out": str(out), **value}, text=f"{out}: hand it to verifiers by a way that they trust")


@cli.command("fsck")
@_STATE
@click.pass_obj
def check(host: Host, state: Path | None) -> Answer:
    """Rebuild tree, state and checkpoint from the stored statements, and compare; the ledger may be at work."""
    folder = _settings(host.env, {"state": state}).state

    def progress(done: int, size: int) -> None:
        click.echo(f"{done} of {size} entries", err=True)

    found = fsck.check(folder, progress)
    data = {"whole": True, "origin": found.origin, "size": found.size}
    data |= {"root": found.root.hex(), "head": found.chain.hex()}
    return Answer(data=data, text=f"{found.origin} is whole: {found.size} entries, root {found.root.hex()}")


@cli.command()
@click.option("--receipt", "receipt_file", required=True, type=click.Path(path_type=Path), help="The log's receipt.")
@click.option("--statement", "file", required=True, type=click.Path(path_type=Path), help="The signed statement.")
@click.option("--trust", "trust_file", required=True, type=click.Path(path_type=Path), help="The logs you trust.")
def verify(receipt_file: Path, file: Path, trust_file: Path) -> Answer:
    """Check offline that a log you trust has a statement. Whether its issuer signed it is not asked here."""
    trusted = evidence.Trust.from_json(_read(trust_file))
    keys = {log.key.thumbprint: (origin, log.key) for origin, log in trusted.policy.logs.items()}
    try:
        proof = receipt.read(_read(receipt_file))
        entry = statement.entry(contracts.bare(_read(file)))
        origin, key = keys.get(proof.kid, ("", None))
        if key is None:
            raise VerificationFailed("log_unknown", "the trust file names no log with the key of this receipt")
        if proof.iss != origin:
            raise VerificationFailed("log_unknown", "the receipt names another log than its key's")
        root = receipt.verify(proof, entry=entry, key=key)
    except ProtocolError as error:
        raise VerificationFailed(error.code, error.detail) from error
    data = {"verified": True, "origin": origin, "entry": entry.hex(), "index": proof.index, "size": proof.size}
    text = f"verified: entry {proof.index} of {origin}, in its tree of {proof.size} with root {root.hex()}"
    return Answer(data={**data, "root": root.hex()}, text=text)


def _settings(env: Mapping[str, str], flags: Mapping[str, object], file: Path | None = None) -> settings.Settings:
    named = file or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    path = named or (Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None)
    return settings.read(text="" if path is None else _text(path), env=env, flags=flags)


def _text(path: Path) -> str:
    try:
        return _read(path).decode()
    except UnicodeDecodeError as error:
        raise ConfigError("settings_not_toml", f"the settings file {path} is not text") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise Unavailable("file_unreadable", f"cannot read {path}: {error.strerror}") from error
    if len(data) > FILE_SIZE_MAX:
        raise Unavailable("file_too_large", f"{path} is larger than {FILE_SIZE_MAX} bytes")
    return data


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Unavailable("file_unwritable", f"cannot write {path}: {error.strerror}") from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
