"""Which positions are durable: intervals against a plain set of numbers."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from gateway.positions import Intervals, ranges_of

NUMBERS = st.integers(0, 40)
FAR = st.sampled_from([0, 1, (1 << 47) - 1, 1 << 47, (1 << 48) - 2, (1 << 48) - 1])
PAIRS = st.lists(st.tuples(NUMBERS, st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair))), max_size=12)


def oracle(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The intervals of a set, found by asking for every neighbour."""
    held = set(numbers)
    firsts = sorted(number for number in held if number - 1 not in held)
    lasts = sorted(number for number in held if number + 1 not in held)
    return list(zip(firsts, lasts, strict=True))


@given(st.lists(NUMBERS | FAR, max_size=80))
def test_intervals_hold_what_a_set_holds(numbers: list[int]) -> None:
    found, held = Intervals(), set[int]()
    for number in numbers:
        assert found.opens_a_hole(number) is (not {number - 1, number, number + 1} & held)
        assert found.add(number) is (number not in held)
        held.add(number)
        assert found.ranges() == oracle(held) and len(found) == len(oracle(held))
    for number in {*range(45), *numbers, *(number + 1 for number in numbers)}:
        assert (number in found) is (number in held)


@given(PAIRS, st.lists(NUMBERS, max_size=20))
def test_intervals_begin_with_any_ranges_in_any_order(pairs: list[tuple[int, int]], more: list[int]) -> None:
    held = {number for first, last in pairs for number in range(first, last + 1)}
    found = Intervals(pairs)
    assert found.ranges() == oracle(held)
    for number in more:
        found.add(number)
    assert found.ranges() == oracle(held | set(more))


@given(st.lists(NUMBERS | FAR, max_size=60))
def test_what_is_read_back_is_what_was_written(numbers: list[int]) -> None:
    written = Intervals()
    for number in numbers:
        written.add(number)
    assert Intervals(written.ranges()).ranges() == written.ranges()


@given(st.sets(NUMBERS | FAR, max_size=60))
def test_ranges_of_ascending_numbers_are_their_intervals(numbers: set[int]) -> None:
    assert ranges_of(sorted(numbers)) == oracle(numbers)


def test_a_spool_in_order_is_one_interval_however_long() -> None:
    found = Intervals()
    for number in range(100_000):
        found.add(number)
    assert found.ranges() == [(0, 99_999)]


def test_a_spool_from_its_end_is_one_interval_too() -> None:
    found = Intervals([(1000, 2000)])
    for number in range(999, -1, -1):
        assert not found.opens_a_hole(number)
        found.add(number)
    assert found.ranges() == [(0, 2000)]
