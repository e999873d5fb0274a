"""`vigil ledger policy`: who may register and read what, as it is and as it is to be."""

from dataclasses import replace
from pathlib import Path

import click

from ledger import founding, policyfile
from ledger import policy as rules
from ledger.cli import common
from ledger.contracts import STANDARD
from ledger.log import keyring
from protocol import declarations, statement
from protocol.answer import Answer, Host
from protocol.documents import Policy
from protocol.errors import ConfigError, NotFound


@click.command()
@common.STATE
@click.option(
    "--sign", "file", type=click.Path(path_type=Path), help="A policy in TOML or JSON to sign with the registry root."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the signed policy, to be registered.")
@click.option(
    "--new-types", is_flag=True, help="Show it with what this release's contracts say of types it does not name."
)
@click.option("--number", type=click.IntRange(min=0), help="Its number; else the one after the policy in force.")
@click.pass_obj
def policy(
    host: Host, state: Path | None, file: Path | None, out: Path | None, new_types: bool, number: int | None
) -> Answer:
    """Show who may register and read which statements; or sign what is to hold from the entry after it is registered.

    What is shown is a file that can be changed and signed: a table [rules."CONTENT TYPE"] with roles and readers (public,
    members or issuer). What a log stands on, such as admissions by the root, is not in it and always holds. A log of an earlier
    release takes the statements of newer contracts once a policy that was shown with --new-types is signed and registered.
    """
    folder = common.chosen(host.env, {"state": state}).state
    if (file is None) is not (out is None):
        raise ConfigError(
            "policy_out", "--sign needs --out, where the signed policy is written, and the other way round"
        )
    with common.newest(folder) as store:
        found = rules.in_force(store.state)
        if found is None:
            raise NotFound("policy_missing", "this log has no policy")
        if file is None or out is None:
            found = _with_new_types(found) if new_types else found
            return Answer(data=_told(found), text=policyfile.write(found).rstrip("\n"))
        after = policyfile.read(_text(file), log=found.log, n=found.n + 1 if number is None else number)
        raw = declarations.policy(keyring.load(folder, keyring.REGISTRY_KEY), after)
        common.check_registrable(store, raw)
    common.write(out, raw)
    entry = statement.entry(raw).hex()
    return Answer(
        data={"out": str(out), "entry": entry, **_told(after)},
        text=f"{out}: policy {after.n} of {after.log}, entry {entry}; it holds from the entry after it",
    )


def _with_new_types(found: Policy) -> Policy:
    given = founding.default_policy(found.log, STANDARD).rules
    return replace(found, rules={**given, **found.rules})


def _told(found: Policy) -> dict[str, object]:
    named = {name: {"roles": sorted(rule.roles), "readers": rule.readers} for name, rule in sorted(found.rules.items())}
    return {"log": found.log, "n": found.n, "rules": named}


def _text(file: Path) -> str:
    try:
        return common.read(file).decode()
    except UnicodeDecodeError as error:
        raise ConfigError("policy_file_syntax", f"{file} is not text") from error
