"""`vigil ledger fsck` and `verify`: whether a ledger is whole, and whether a receipt holds."""

from pathlib import Path

import click

from ledger import contracts
from ledger.cli import common
from ledger.log import fsck
from protocol import evidence, receipt, statement
from protocol.answer import Answer, Host
from protocol.errors import ProtocolError, VerificationFailed


@click.command("fsck")
@common.STATE
@click.pass_obj
def check(host: Host, state: Path | None) -> Answer:
    """Rebuild tree, state and checkpoint from the stored statements, and compare; the ledger may be at work."""
    folder = common.chosen(host.env, {"state": state}).state

    def progress(done: int, size: int) -> None:
        click.echo(f"{done} of {size} entries", err=True)

    found = fsck.check(folder, progress)
    data = {"whole": True, "origin": found.origin, "size": found.size}
    data |= {"root": found.root.hex(), "head": found.chain.hex()}
    data |= {"epoch": found.epoch, "minimum": found.minimum, "redacted": list(found.redacted)}
    return Answer(data=data, text=f"{found.origin} is whole: {found.size} entries, root {found.root.hex()}")


@click.command()
@click.option("--receipt", "receipt_file", required=True, type=click.Path(path_type=Path), help="The log's receipt.")
@click.option("--statement", "file", required=True, type=click.Path(path_type=Path), help="The signed statement.")
@click.option("--trust", "trust_file", required=True, type=click.Path(path_type=Path), help="The logs you trust.")
def verify(receipt_file: Path, file: Path, trust_file: Path) -> Answer:
    """Check offline that a log you trust has a statement. Whether its issuer signed it is not asked here."""
    trusted = evidence.Trust.from_json(common.read(trust_file))
    try:
        proof = receipt.read(common.read(receipt_file))
        entry = statement.entry(contracts.bare(common.read(file)))
        log = trusted.policy.receipts_by(proof.kid)
        if log is None:
            raise VerificationFailed("log_unknown", "the trust file names no log with the key of this receipt")
        origin, key = log
        if proof.iss != origin:
            raise VerificationFailed("log_unknown", "the receipt names another log than its key's")
        root = receipt.verify(proof, entry=entry, key=key)
    except ProtocolError as error:
        raise VerificationFailed(error.code, error.detail) from error
    data = {"verified": True, "origin": origin, "entry": entry.hex(), "index": proof.index, "size": proof.size}
    text = f"verified: entry {proof.index} of {origin}, in its tree of {proof.size} with root {root.hex()}"
    return Answer(data={**data, "root": root.hex()}, text=text)
