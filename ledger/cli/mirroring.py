"""`vigil ledger mirror`: the log as files that any web server can hand out."""

from pathlib import Path

import click

from ledger import mirror
from ledger.cli import common
from protocol.answer import Answer, Host


@click.command("mirror")
@click.option("--state", type=click.Path(path_type=Path), help="The ledger's folder, or that of a demo that was kept.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The mirror's folder, made or brought up to date."
)
@click.option("--epoch", type=click.IntRange(min=1), help="An epoch of the log; the newest by default.")
@click.pass_obj
def bring(host: Host, state: Path | None, out: Path, epoch: int | None) -> Answer:
    """Copy the checkpoint and the tiles into a folder for any web server; run it again to bring that up to date.

    The ledger may be at work. A mirror that the log does not continue is left as it is, and that is an error.
    """
    found = mirror.bring(common.chosen(host.env, {"state": state}).state, out, epoch=epoch)
    data = {"out": str(out), "origin": found.origin, "size": found.size}
    data |= {"written": found.written, "minimum": found.minimum}
    return Answer(data=data, text=f"{out}: {found.origin} up to {found.size} entries, {found.written} new tiles")
