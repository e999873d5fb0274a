"""`vigil party parcels show`: where a parcel is."""

import contextlib
from pathlib import Path

import click

from protocol.answer import Answer
from tests.support.parcels.store import Parcels


@click.group()
def parcels() -> None:
    """Parcels that go from hand to hand."""


@parcels.command()
@click.argument("number")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The file of the read model.")
def show(number: str, model: Path) -> Answer:
    """Where the parcel with this number is."""
    with contextlib.closing(Parcels(model)) as store:
        found = store.find(bytes.fromhex(number))
    return Answer(data={"state": found.state, "holder": found.holder.hex()}, text=f"{number} is {found.state}")
