"""`vigil credentials accredit` and `withdraw`: what the registry root of a ledger says of who may vouch for what."""

import datetime
from pathlib import Path

import click

from ledger import registry
from ledger.cli import common
from ledger.credentials import model
from ledger.credentials.model import Accreditation
from ledger.credentials.rules import records
from ledger.log import keyring
from ledger.log.store import Store
from protocol import statement
from protocol.answer import Answer, Host
from protocol.errors import ConfigError, Malformed, NotFound
from protocol.keys import SigningKey

_DAY = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])
_HEX = 64  # digits of a party's thumbprint
_PARTY = click.option(
    "--party", "party_hex", required=True, metavar="HEX", help="The institution, as `vigil ledger parties` names it."
)
_TYPE = click.option(
    "--type",
    "kind",
    required=True,
    type=click.Choice(sorted(model.TYPES | model.LICENCE_TYPES)),
    help="What it may vouch for.",
)
_JURISDICTION = click.option(
    "--jurisdiction", required=True, help="Where: ISO 3166-1 (US), ISO 3166-2 (US-CA), or * for everywhere."
)
_OUT = click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where to write the statement, to be registered."
)


@click.command()
@common.STATE
@_PARTY
@click.option("--did", required=True, help="The DID under which it issues, for good: did:web:... or did:key:...")
@_TYPE
@_JURISDICTION
@click.option("--from", "begins", type=_DAY, help="From this day on, UTC; else from now on.")
@click.option("--until", "ends", type=_DAY, required=True, help="The first day, UTC, on which it may not any more.")
@_OUT
@click.pass_obj
def accredit(
    host: Host,
    state: Path | None,
    party_hex: str,
    did: str,
    kind: str,
    jurisdiction: str,
    begins: datetime.datetime | None,
    ends: datetime.datetime,
    out: Path,
) -> Answer:
    """Sign that an institution may vouch for a type of credential, with the registry root.

    Whoever holds the file may register it; it holds from the next entry on. Said again for the same party, type and
    jurisdiction, it takes the place of what was said before.
    """
    folder, party = common.chosen(host.env, {"state": state}).state, _party(party_hex)
    from_ms = common.now_ms() if begins is None else _ms(begins)
    with common.newest(folder) as store:
        root = keyring.load(folder, keyring.REGISTRY_KEY)
        document = Accreditation(
            log=registry.genesis_of(store.state).origin,
            party=party,
            did=did,
            type=kind,
            jurisdiction=jurisdiction,
            from_ms=from_ms,
            until_ms=_ms(ends),
        )
        return _written(store, root, document, out)


@click.command()
@common.STATE
@_PARTY
@_TYPE
@_JURISDICTION
@_OUT
@click.pass_obj
def withdraw(host: Host, state: Path | None, party_hex: str, kind: str, jurisdiction: str, out: Path) -> Answer:
    """Sign that an institution may not vouch for a type any more, with the registry root.

    What it vouched for before stays, and a verdict about that time finds it. A key in other hands is another matter: its
    holder ends it, and says from when.
    """
    folder, party = common.chosen(host.env, {"state": state}).state, _party(party_hex)
    with common.newest(folder) as store:
        root, known = keyring.load(folder, keyring.REGISTRY_KEY), records.issuer_of(store.state, party)
        grants = records.grants_of(store.state, party, kind, jurisdiction)
        if known is None or not grants or grants[-1].withdrawn:
            raise NotFound("accreditation_unknown", "this institution has no such accreditation")
        document = Accreditation(
            log=registry.genesis_of(store.state).origin,
            party=party,
            did=known.did,
            type=kind,
            jurisdiction=jurisdiction,
            from_ms=grants[-1].from_ms,
            until_ms=grants[-1].until_ms,
            withdrawn=True,
        )
        return _written(store, root, document, out)


def _written(store: Store, root: SigningKey, document: Accreditation, out: Path) -> Answer:
    """Signed, judged as the log would, and in its file. Raises ConfigError, with the log's own code, when it would refuse."""
    payload = document.encode()
    try:
        Accreditation.decode(payload)
    except Malformed as error:
        raise ConfigError("accreditation_bad", error.detail) from error
    raw = statement.sign(
        root,
        iss=root.public.urn,
        sub=model.accreditation_subject(document.party),
        payload=payload,
        content_type=model.ACCREDITATION,
    )
    common.check_registrable(store, raw)
    common.write(out, raw)
    entry = statement.entry(raw).hex()
    data = {
        "out": str(out),
        "entry": entry,
        "party": document.party.hex(),
        "did": document.did,
        "type": document.type,
        "jurisdiction": document.jurisdiction,
        "from_ms": document.from_ms,
        "until_ms": document.until_ms,
        "withdrawn": document.withdrawn,
    }
    said = "may not vouch any more" if document.withdrawn else "may vouch"
    return Answer(
        data=data, text=f"{out}: {document.did} {said} for {document.type} in {document.jurisdiction}, entry {entry}"
    )


def _party(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != _HEX or len(found) != _HEX // 2:
        raise ConfigError("thumbprint_bad", "--party is a thumbprint of 64 hex digits, as `vigil ledger parties` shows")
    return found


def _ms(day: datetime.datetime) -> int:
    return int(day.replace(tzinfo=datetime.UTC).timestamp() * 1000)
