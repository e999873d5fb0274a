"""`vigil credentials access`: lets a member of staff sign in to the party's pages."""

import contextlib
from pathlib import Path

import click

from ledger.credentials.cli import common
from ledger.credentials.pages.access import CODE_LIFE_MS, ROLES, Access
from protocol.answer import Answer, Host
from protocol.errors import NotFound


@click.command()
@common.STATE
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    required=True,
    help="What they may do; give it twice for both.",
)
@click.pass_obj
def access(host: Host, state: Path | None, roles: tuple[str, ...]) -> Answer:
    """Make a code with which somebody signs in once, within ten minutes; the party may be running."""
    folder = common.chosen(host.env, state).state
    if not folder.is_dir():
        raise NotFound("state_missing", f"there is no party in {folder}: run `vigil party init`")
    now_ms = common.now_ms()
    with contextlib.closing(Access.open(folder, random_bytes=common.random_bytes)) as doors:
        code = doors.make_code(roles, now_ms=now_ms)
    data = {"code": code, "roles": sorted(set(roles)), "until_ms": now_ms + CODE_LIFE_MS}
    said = (
        f"{code}\nsigns {' and '.join(sorted(set(roles)))} in once, within ten minutes, at /credentials/pages/sign-in"
    )
    return Answer(data=data, text=said)
