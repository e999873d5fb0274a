"""`make sim`: homes in virtual time, one seed or many, with a bar; exit code 1 when something does not hold."""

import sys

import click
from rich.progress import track

from tests.simulation.home import BUGS, Home


@click.command()
@click.option("--seed", type=int, help="One seed; without it, --seeds of them.")
@click.option("--seeds", type=int, default=200, show_default=True)
@click.option("--bug", type=click.Choice(BUGS), help="Put a mistake in, which must be caught.")
def main(seed: int | None, seeds: int, bug: str | None) -> None:
    """Simulate homes."""
    failed = 0
    for number in [seed] if seed is not None else track(range(seeds), description="homes"):
        home = Home(number, bug=bug)
        faults = home.run()
        if faults or seed is not None:
            print(f"seed {number}: {home.weather}\n  {home.readings} readings, {len(home.table.rows)} messages stored")
        for fault in faults:
            print(f"  {fault}")
        failed += bool(faults)
    print(f"{failed} homes in which something does not hold")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
