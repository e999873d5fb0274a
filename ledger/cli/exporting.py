"""`vigil ledger export`: an entry's pack for auditors who check with software that is not ours."""

from pathlib import Path

import click

from ledger import export, files
from ledger.cli import common
from protocol.answer import Answer, Host
from protocol.keys import EDDSA
from protocol.p256 import ES256

ALGS = {"EdDSA": EDDSA, "ES256": ES256}


@click.command("export")
@click.argument("entry_id", metavar="ID")
@click.option("--state", type=click.Path(path_type=Path), help="The ledger's folder, or that of a demo that was kept.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
@click.option("--alg", type=click.Choice(sorted(ALGS)), help="What signs the receipt, where the log has both keys.")
@click.pass_obj
def pack(host: Host, entry_id: str, state: Path | None, out: Path, alg: str | None) -> Answer:
    """Write all that it takes to check the entry ID, like 1.5, offline: statement, receipt, proof, checkpoint and keys.

    The ledger may be at work. The folder is there whole, or not at all; its README.txt says how other software checks it.
    """
    folder = common.chosen(host.env, {"state": state}).state
    found = export.pack(folder, entry_id, alg=ALGS[alg] if alg else None)
    files.make_folder(out, found.files)
    data = {"out": str(out), "entry": found.entry_id, "origin": found.origin, "size": found.size}
    data |= {"digest": found.digest.hex(), "cosigned_by": found.cosigned_by, "files": sorted(found.files)}
    text = f"{out}: entry {found.entry_id} of {found.origin}, in its tree of {found.size}; read README.txt there"
    return Answer(data=data, text=text)
