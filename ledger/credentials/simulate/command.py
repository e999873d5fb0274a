"""`vigil credentials simulate`: years of hiring from a seed, with those who cheat; what was caught, missed, wrongly refused."""

import time

import click

from protocol.answer import Answer


@click.command()
@click.option("--seed", type=int, required=True, help="The same seed gives the same answer, but for how long it took.")
@click.option("--institutions", type=click.IntRange(4, 200), default=30, show_default=True)
@click.option("--staff", type=click.IntRange(20, 100_000), default=3000, show_default=True)
@click.option("--years", type=click.IntRange(1, 20), default=5, show_default=True)
def simulate(seed: int, institutions: int, staff: int, years: int) -> Answer:
    """Simulate institutions, their staff, and those who cheat, and count what the product catches, misses and wrongly refuses."""
    from rich.console import Console
    from rich.progress import Progress

    from ledger.credentials.simulate import report
    from ledger.credentials.simulate.course import simulated

    begun_s = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{staff} staff, {years} years", total=1.0)
        said = simulated(
            seed=seed,
            institutions=institutions,
            staff=staff,
            years=years,
            tell=lambda done: bar.update(task, completed=done),
        )
    said["seconds"] = round(time.monotonic() - begun_s, 1)
    return Answer(data=said, text=report.text(said))
