"""`vigil ledger admit`, `revoke`, `parties` and `trust`: what the registry root says of keys, and whom verifiers trust."""

import json
from pathlib import Path

import click

from ledger import registry
from ledger.cli import common
from ledger.log import epochs, keyring
from ledger.registry.listing import Listed, parties
from protocol import declarations, statement
from protocol.answer import Answer, Host
from protocol.documents import ROLES, Revocation
from protocol.errors import ConfigError, NotFound

_HEX = 64  # digits of a key or a thumbprint
_OUT = click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where to write the statement, to be registered."
)


@click.command()
@common.STATE
@click.option("--role", type=click.Choice(sorted(ROLES)), required=True, help="What the key may do.")
@click.option("--key", "key_hex", required=True, metavar="HEX", help="The Ed25519 public key, 64 hex digits.")
@click.option("--name", required=True, help="The name of the institution; never of a person.")
@_OUT
@click.pass_obj
def admit(host: Host, state: Path | None, role: str, key_hex: str, name: str, out: Path) -> Answer:
    """Sign that a key has a role, with the registry root; whoever holds the file may register it.

    What each role may register is said in the policy: `vigil ledger policy`.
    """
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
@click.option("--party", "party_hex", required=True, metavar="HEX", help="The party's thumbprint, as in `parties`.")
@click.option("--key", "key_hex", metavar="HEX", help="The thumbprint of one key of it; else the whole party.")
@click.option(
    "--from", "entry_id", metavar="ID", help="The first entry that does not count; else nothing is taken back."
)
@_OUT
@click.pass_obj
def revoke(
    host: Host, state: Path | None, party_hex: str, key_hex: str | None, entry_id: str | None, out: Path
) -> Answer:
    """Sign that a party, or one key of it, does not count from an entry on, with the registry root.

    Once it is registered, nothing more is taken from that party or key, for ever. With --from, signatures under that entry
    and later ones count no more: say since when the key was in other hands.
    """
    folder = common.chosen(host.env, {"state": state}).state
    party, key = _thumbprint("--party", party_hex), None if key_hex is None else _thumbprint("--key", key_hex)
    with common.newest(folder) as store:
        root = keyring.load(folder, keyring.REGISTRY_KEY)
        genesis, size = registry.genesis_of(store.state), store.head().size
        known = registry.records.party_of(store.state, party)
        if known is None:
            raise NotFound("party_unknown", "this log has no such party: see `vigil ledger parties`")
        epoch, index = (genesis.epoch, size) if entry_id is None else _entry(entry_id, (genesis.epoch, size))
        document = Revocation(log=genesis.origin, party=party, key=key, epoch=epoch, index=index)
        raw = declarations.revocation(root, document)
        common.check_registrable(store, raw)
    common.write(out, raw)
    entry = statement.entry(raw).hex()
    data = {"out": str(out), "entry": entry, "party": party_hex, "key": key_hex, "from": f"{epoch}.{index}"}
    return Answer(data=data, text=f"{out}: {known.name} does not count from entry {epoch}.{index} on, entry {entry}")


@click.command("parties")
@common.STATE
@click.pass_obj
def listed(host: Host, state: Path | None) -> Answer:
    """List the parties of the log: names, roles, keys, and what ended; the ledger may be at work."""
    folder = common.chosen(host.env, {"state": state}).state
    with common.newest(folder) as store:
        now_ms = max(common.now_ms(), store.head().at_ms)
        found = [_told(each, now_ms) for each in parties(store.state.under)]
    lines = [f"{each['party']}  {each['standing']:<8}  {each['role']:<12}  {each['name']}" for each in found]
    return Answer(data={"parties": found}, text="\n".join(lines) or "no party is admitted yet")


@click.command()
@common.STATE
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the trust file; else it is printed.")
@click.pass_obj
def trust(host: Host, state: Path | None, out: Path | None) -> Answer:
    """Write the file that verifiers bring: the log's keys, a policy without witnesses, the registry root."""
    folder = common.chosen(host.env, {"state": state}).state
    value = epochs.trust(folder)
    text = json.dumps(value, indent=2)
    if out is None:
        return Answer(data=value, text=text)
    common.write(out, text.encode() + b"\n")
    return Answer(data={"out": str(out), **value}, text=f"{out}: hand it to verifiers by a way that they trust")


def _told(each: Listed, now_ms: int) -> dict[str, object]:
    acting = each.acting(now_ms)
    keys = [
        {
            "thumbprint": thumbprint.hex(),
            "key": key.key.x.hex(),
            "acting": thumbprint in acting,
            "until_ms": key.until_ms,
            "revoked_from": key.revoked,
        }
        for thumbprint, key in each.keys.items()
    ]
    return {
        "party": each.thumbprint.hex(),
        "name": each.party.name,
        "role": each.party.role,
        "standing": "acting" if acting else "ended",
        "revoked_from": each.party.revoked,
        "keys": keys,
    }


def _thumbprint(option: str, text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != _HEX or len(found) != _HEX // 2:
        raise ConfigError(
            "thumbprint_bad", f"{option} is a thumbprint of 64 hex digits, as `vigil ledger parties` shows"
        )
    return found


def _entry(text: str, ends: tuple[int, int]) -> tuple[int, int]:
    epoch, _, index = text.partition(".")
    if not (epoch.isascii() and epoch.isdecimal() and index.isascii() and index.isdecimal()):
        raise ConfigError("entry_bad", "--from is an entry like 1.5")
    found = int(epoch), int(index)
    if found > ends:
        raise NotFound("entry_unknown", "--from is an entry that is there, or the next one")
    return found
