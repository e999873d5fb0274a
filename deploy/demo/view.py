"""The demo on a terminal: a live table where there is one, else a line for each thing that happens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.demo.picture import Picture

DRAWN_EVERY_S = 0.25
COLOURS = {"online": "green", "done": "cyan", "offline": "yellow", "failed": "red"}


@contextlib.asynccontextmanager
async def shown(picture: Picture, *, quiet: bool) -> AsyncIterator[None]:
    """Show `picture` while the block runs. quiet: standard output is not ours, so lines go to standard error."""
    console = Console()
    if quiet or not console.is_terminal:
        picture.hear = lambda line: click.echo(line, err=quiet)
        yield
        return
    with Live(draw(picture), console=console, auto_refresh=False) as live:
        drawing = asyncio.create_task(_redraw(live, picture), name="view")
        try:
            yield
        finally:
            drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await drawing
            live.update(draw(picture), refresh=True)


async def _redraw(live: Live, picture: Picture) -> None:
    while True:
        live.update(draw(picture), refresh=True)
        await asyncio.sleep(DRAWN_EVERY_S)


def draw(picture: Picture) -> RenderableType:
    """The picture as a table of homes and the latest lines."""
    left = f"   {picture.left_s:.0f} s left" if picture.left_s > 0 else ""
    head = Text.assemble(("Vigil", "bold"), f"   {picture.phase}{left}")
    page = Text.assemble("page ", (picture.page or "-", "underline"))
    totals = Text(f"{picture.stored} messages stored, {picture.anchored} of them anchored in the ledger")
    table = Table(expand=False, pad_edge=False)
    for name, justify in (("home", "left"), ("device", "left"), ("plays", "left"), ("", "left"), ("stored", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    table.add_column("alarm")
    for home in picture.homes.values():
        state = Text(home.state, style=COLOURS.get(home.state, ""))
        alarm = Text(home.alarm, style="bold red")
        table.add_row(home.name, home.device, home.shown, state, str(home.stored), alarm)
    return Group(head, page, totals, table, *(Text(line, style="dim") for line in picture.happened))
