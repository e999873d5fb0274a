"""`vigil ledger`: the commands by theme; each loads what it needs when it runs, so that an auditor needs no HTTP server."""

import click

from ledger.cli import checking, exporting, keeping, mirroring, monitoring, policies, registry, serving
from ledger.witness import cli as witness


@click.group()
def cli() -> None:
    """The transparency ledger: an append-only log of signed statements that anybody can check."""


for command in (
    serving.run,
    registry.admit,
    registry.revoke,
    registry.listed,
    policies.policy,
    registry.trust,
    checking.check,
    checking.verify,
    exporting.pack,
    mirroring.bring,
    monitoring.monitor,
    keeping.redact,
    keeping.prune,
    keeping.rotate_key,
    keeping.roll_over,
):
    cli.add_command(command)
cli.add_command(witness.cli)
