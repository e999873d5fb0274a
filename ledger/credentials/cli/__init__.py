"""`vigil credentials`: the commands by who uses them; each loads what it needs when it runs."""

import click

from ledger.credentials.cli import access, governance, hiring, issuer, verify, wallet
from ledger.credentials.simulate.command import simulate


@click.group()
def cli() -> None:
    """Staff credentials: issue, hold, check, hire."""


cli.add_command(access.access)
cli.add_command(governance.accredit)
cli.add_command(governance.withdraw)
cli.add_command(issuer.issuer)
cli.add_command(wallet.wallet)
cli.add_command(verify.verify)
cli.add_command(verify.pack)
cli.add_command(hiring.hiring)
cli.add_command(simulate)
