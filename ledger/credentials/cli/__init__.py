"""`vigil credentials`: the commands by who uses them; each loads what it needs when it runs."""

import click

from ledger.credentials.cli import access


@click.group()
def cli() -> None:
    """Staff credentials: issue, hold, check, hire."""


cli.add_command(access.access)
