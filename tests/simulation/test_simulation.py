"""Homes in virtual time: nothing is lost, doubled or invented, and the simulation notices when a core is broken."""

import pytest

from tests.simulation.home import BUGS, Home

FEW, MANY = 20, 200
ENOUGH = 60  # seeds within which every injected mistake must show


def unwell(seeds: range, bug: str | None = None) -> list[str]:
    """What does not hold, over many homes."""
    return [f"seed {seed}: {fault}" for seed in seeds for fault in Home(seed, bug=bug).run()]


def test_readings_are_stored_exactly_once_or_a_gap_record_says_why_not() -> None:
    assert unwell(range(FEW)) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_homes_lose_and_double_nothing() -> None:
    assert unwell(range(FEW, MANY)) == []


@pytest.mark.parametrize("bug", BUGS)
def test_a_broken_core_is_noticed(bug: str) -> None:
    assert any(Home(seed, bug=bug).run() for seed in range(ENOUGH)), f"nobody noticed: {bug}"


def test_the_simulation_makes_trouble_at_all() -> None:
    homes = [Home(seed) for seed in range(FEW)]
    for home in homes:
        home.run()
    assert any(home.table.conflicts for home in homes), "no double ever claimed a position"
    assert any(body.store.counter("evicted") for home in homes for body in home.bodies), "no spool was ever full"
    assert any(home.counter_lost for home in homes), "no counter was ever lost"


def test_a_seed_plays_the_same_life_again() -> None:
    first, second = Home(3), Home(3)
    first.run()
    second.run()
    assert first.table.rows == second.table.rows
