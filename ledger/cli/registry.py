"""`vigil ledger admit` and `trust`: what the registry root says about keys, and whom verifiers have to trust."""

import contextlib
import json
from pathlib import Path

import click

from ledger import registry
from ledger.cli import common
from ledger.log import engine, keyring
from ledger.log.store import FILE, Store
from protocol import statement
from protocol.answer import Answer, Host
from protocol.documents import ROLES
from protocol.errors import ConfigError, NotFound


@click.command()
@common.STATE
@click.option("--role", type=click.Choice(sorted(ROLES)), required=True, help="What the key may do.")
@click.option("--key", "key_hex", required=True, metavar="HEX", help="The Ed25519 public key, 64 hex digits.")
@click.option("--name", required=True, help="The name of the institution; never of a person.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the statement.")
@click.pass_obj
def admit(host: Host, state: Path | None, role: str, key_hex: str, name: str, out: Path) -> Answer:
    """Sign that a key has a role, with the registry root; whoever holds the file may register it."""
    folder = common.chosen(host.env, {"state": state}).state
    try:
        key = bytes.fromhex(key_hex)
    except ValueError as error:
        raise ConfigError("admission_bad", "--key is the public key as 64 hex digits") from error
    raw = keyring.admission(keyring.load(folder, keyring.REGISTRY_KEY), role=role, key=key, name=name)
    common.write(out, raw)
    entry = statement.entry(raw).hex()
    return Answer(data={"out": str(out), "entry": entry, "role": role}, text=f"{out}: {role} {name}, entry {entry}")


@click.command()
@common.STATE
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the trust file; else it is printed.")
@click.pass_obj
def trust(host: Host, state: Path | None, out: Path | None) -> Answer:
    """Write the file that verifiers bring: the log's key, a policy without witnesses, the registry root."""
    folder = common.chosen(host.env, {"state": state}).state
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
    common.write(out, text.encode() + b"\n")
    return Answer(data={"out": str(out), **value}, text=f"{out}: hand it to verifiers by a way that they trust")
