"""`vigil credentials issuer`: what an institution issues and takes back. All but `init` ask the party that runs."""

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ledger.credentials import types
from ledger.credentials.cli import common
from ledger.credentials.vc import secured
from ledger.party.peer import Peer
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, Malformed

_ID = click.argument("credential")
_REASON = click.option("--reason", required=True, help="Why; it stays at the issuer.")
_OUT = click.option("--out", type=click.Path(path_type=Path), help="Write the credential into this file.")
_DAYS = click.option(
    "--days", type=click.IntRange(1, 36_525), help="How long it is valid; else as long as its type usually is."
)


@click.group()
def issuer() -> None:
    """Issue credentials, take them back, bring status lists out, change keys."""


@issuer.command()
@common.STATE
@click.pass_obj
def init(host: Host, state: Path | None) -> Answer:
    """Make the issuer and its first key, while the party is at rest, and say how the ledger's registry accredits it."""
    from ledger.credentials.issuing import Issuer  # the other commands only ask
    from ledger.party import node, rotation

    chosen = common.chosen(host.env, state)
    with node.opened(chosen.state) as (key, _):
        party = rotation.name_of(chosen.state, key.public)
        made = Issuer.open(
            chosen.state,
            say=_nothing,
            base=str,
            log="",
            party=party,
            now_ms=common.now_ms,
            random_bytes=common.random_bytes,
            web=chosen.did,
        )
        with contextlib.closing(made):
            did = made.did
    accredit = f"vigil credentials accredit --party {party.hex()} --did {did}"
    accredit += " --type TYPE --jurisdiction WHERE --until DAY --out FILE"
    data = {"did": did, "party": party.hex(), "accredit": accredit}
    lines = [f"issues as {did}", f"at the ledger, for each type: {accredit}", f"types: {', '.join(types.CATALOGUE)}"]
    return Answer(data=data, text="\n".join(lines))


@issuer.command()
@common.STATE
@common.PARTY
@click.option("--type", "kind", required=True, type=click.Choice(list(types.CATALOGUE)), help="The kind of credential.")
@click.option(
    "--field", "fields", multiple=True, metavar="NAME=VALUE", help="What it says; once for each field of the type."
)
@click.option("--holder", required=True, help="The holder's did:key, from `vigil credentials wallet init`.")
@click.option(
    "--format",
    "form",
    type=click.Choice(secured.FORMATS),
    default=secured.DATA_INTEGRITY,
    show_default=True,
    help="Its form.",
)
@_DAYS
@_OUT
@click.pass_obj
def issue(
    host: Host,
    state: Path | None,
    party: str | None,
    kind: str,
    fields: Sequence[str],
    holder: str,
    form: str,
    days: int | None,
    out: Path | None,
) -> Answer:
    """Issue a credential; the field names of a type are said when one is missing."""
    body: dict[str, object] = {"type": kind, "fields": _fields(fields), "holder": holder, "format": form}
    found = _asked(host, state, party, "/issued", body if days is None else {**body, "days": days})
    return _shown(found, out)


@issuer.command("list")
@common.STATE
@common.PARTY
@click.option("--most", type=click.IntRange(1, 500), default=100, show_default=True, help="How many, the newest first.")
@click.pass_obj
def listed(host: Host, state: Path | None, party: str | None, most: int) -> Answer:
    """List what was issued, and how it stands."""
    found = _asked(host, state, party, f"/issued?most={most}")
    rows = [_line(one) for one in found["issued"]]
    return Answer(data=found, text="\n".join(rows) or "nothing was issued yet")


@issuer.command()
@common.STATE
@common.PARTY
@_ID
@_REASON
@click.pass_obj
def revoke(host: Host, state: Path | None, party: str | None, credential: str, reason: str) -> Answer:
    """Take a credential back for good."""
    return _shown(_asked(host, state, party, f"/issued/{credential}/revoke", {"reason": reason}), None)


@issuer.command()
@common.STATE
@common.PARTY
@_ID
@_REASON
@click.pass_obj
def suspend(host: Host, state: Path | None, party: str | None, credential: str, reason: str) -> Answer:
    """Take a credential back until it is reinstated."""
    return _shown(_asked(host, state, party, f"/issued/{credential}/suspend", {"reason": reason}), None)


@issuer.command()
@common.STATE
@common.PARTY
@_ID
@_REASON
@click.pass_obj
def reinstate(host: Host, state: Path | None, party: str | None, credential: str, reason: str) -> Answer:
    """Let a suspended credential hold again."""
    return _shown(_asked(host, state, party, f"/issued/{credential}/reinstate", {"reason": reason}), None)


@issuer.command()
@common.STATE
@common.PARTY
@_ID
@_DAYS
@_OUT
@click.pass_obj
def refresh(
    host: Host, state: Path | None, party: str | None, credential: str, days: int | None, out: Path | None
) -> Answer:
    """Issue the same again for a new period; the old one is revoked."""
    body = {} if days is None else {"days": days}
    return _shown(_asked(host, state, party, f"/issued/{credential}/refresh", body), out)


@issuer.command()
@common.STATE
@common.PARTY
@click.option("--again", is_flag=True, help="Lists too that nothing has changed in.")
@click.pass_obj
def publish(host: Host, state: Path | None, party: str | None, again: bool) -> Answer:
    """Bring out the status lists that are due; the running party does so by itself."""
    found = _asked(host, state, party, "/lists", {"again": again})
    return Answer(data=found, text=f"{found['published']} lists are out")


@issuer.command()
@common.STATE
@common.PARTY
@click.pass_obj
def rotate(host: Host, state: Path | None, party: str | None) -> Answer:
    """Sign with a new key from now on; what the old one signed stays valid. It takes a did:web."""
    found = _asked(host, state, party, "/keys", {})
    return Answer(data=found, text=f"signs with {found['method']} from now on")


@issuer.command()
@common.STATE
@common.PARTY
@click.option(
    "--since", required=True, metavar="EPOCH.INDEX", help="The first entry of the log that counts for nothing."
)
@click.option("--key", help="Thumbprint of the key that was stolen; else the newest one.")
@click.pass_obj
def compromised(host: Host, state: Path | None, party: str | None, since: str, key: str | None) -> Answer:
    """Say that a key was stolen: what was logged under it since an entry does not count, what was logged before stays."""
    epoch, _, index = since.partition(".")
    if not (epoch.isdecimal() and index.isdecimal()):
        raise ConfigError("since_bad", "--since is the number of an entry, such as 1.57")
    body: dict[str, object] = {"since": [int(epoch), int(index)]}
    found = _asked(host, state, party, "/keys/stolen", body if key is None else {**body, "key": key})
    return Answer(data=found, text=f"said; signs with {found['method']} from now on")


def _asked(host: Host, state: Path | None, party: str | None, path: str, body: object = None) -> dict[str, Any]:
    """What the party answers: to POST with a body, else to GET."""

    async def ask(peer: Peer) -> bytes:
        if body is None:
            return await peer.send("GET", f"/credentials{path}")
        content = json.dumps(body).encode()
        return await peer.send("POST", f"/credentials{path}", content, content_type="application/json")

    found: dict[str, Any] = json.loads(common.called(host, state, party, ask))
    return found


def _shown(found: Mapping[str, Any], out: Path | None) -> Answer:
    lines = [_line(found)]
    if out is not None:
        common.write(out, base64.b64decode(found["credential"]))
        lines.append(f"the credential is in {out}: hand it to its holder, and keep no other copy")
    return Answer(data=found, text="\n".join(lines))


def _line(one: Mapping[str, Any]) -> str:
    return f"{one['id']}  {one['state']:<9} {one['type']}  until {_day(one['until_ms'])}  ledger: {one['ledger']}"


def _fields(said: Sequence[str]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in said)
    if len(found) != len(said) or not all("=" in each for each in said):
        raise ConfigError("field_bad", "each --field is NAME=VALUE, and each name stands once")
    return found


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _nothing(*_: object) -> bytes:
    raise Malformed("say_early", "nothing is said while the party is at rest")
