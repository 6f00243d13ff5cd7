"""Positions: there is always one more, and it lies where it should."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.momentum.ordering import DIGITS, between

settings.register_profile("ordering", max_examples=300, deadline=None, database=None)
quick = settings.get_profile("ordering")
# No position ends in the lowest digit.
positions = st.text(DIGITS, max_size=12).flatmap(lambda head: st.sampled_from(DIGITS[1:]).map(lambda last: head + last))


def test_digits_are_in_the_order_of_their_bytes():
    assert list(DIGITS) == sorted(DIGITS)
    assert len(set(DIGITS)) == 62


@quick
@given(st.none() | positions, st.none() | positions)
def test_a_position_lies_strictly_between_its_neighbours(low, high):
    if low is not None and high is not None and low > high:
        low, high = high, low
    if low is not None and low == high:
        with pytest.raises(ValueError, match="must come first"):
            between(low, high)
        return
    found = between(low, high)
    assert low is None or low < found
    assert high is None or found < high
    assert found[-1] != DIGITS[0]
    assert len(found) <= max(len(low or ""), len(high or "")) + 1


@quick
@given(st.lists(st.integers(0, 1_000_000), max_size=60))
def test_any_sequence_of_insertions_keeps_its_order(places):
    row = []
    for place in places:
        at = place % (len(row) + 1)
        row.insert(at, between(row[at - 1] if at else None, row[at] if at < len(row) else None))
    assert all(a < b for a, b in pairwise(row))


def test_inserting_at_one_spot_grows_a_position_by_a_digit_every_five_times():
    low, high = "000000000001V", "000000000002V"
    for _ in range(500):
        high = between(low, high)
    assert len(high) < 13 + 500 / 4


async def test_the_positions_of_new_rows_are_ones_that_can_be_split(database):
    numbers = [1, 2, 15, 16, 255, 2**31, 2**47]
    made = [await database.fetchval("SELECT momentum_position($1)", n) for n in numbers]
    assert made == sorted(made)
    for low, high in pairwise(made):
        assert low < between(low, high) < high
    assert between(None, made[0]) < made[0]
