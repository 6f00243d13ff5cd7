"""The always-valid test: its error rate under peeking by simulation, and who may be named the winner."""

import math
import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.market_ai.statistics.proportions import Count, two_proportion_z
from tandem.market_ai.statistics.sequential import (
    DEFAULT_TAU2,
    MIN_SUCCESSES,
    adjusted,
    log_msprt,
    msprt,
    pairwise,
    winner,
)

ALPHA = 0.05
Looks = list[dict[str, Count]]


def successes(dice: random.Random, trials: int, rate: float) -> int:
    """A binomial number, from the gaps between successes, which are geometric."""
    found, at = 0, 0
    while (at := at + int(math.log(1 - dice.random()) / math.log(1 - rate)) + 1) <= trials:
        found += 1
    return found


def looked_at(dice: random.Random, rates: list[float], trials: int, times: int) -> Looks:
    """Cumulative counts of an experiment at so many looks, `trials` more in each group each time."""
    looks, so_far = [], [0] * len(rates)
    for time in range(1, times + 1):
        so_far = [sum_ + successes(dice, trials, rate) for sum_, rate in zip(so_far, rates, strict=True)]
        looks.append({str(number): Count(sum_, time * trials) for number, sum_ in enumerate(so_far)})
    return looks


def test_looking_at_every_time_is_wrong_no_more_often_than_alpha_where_the_usual_test_is() -> None:
    dice, runs, wrong, usual = random.Random(2026), 500, 0, 0  # noqa: S311
    for _ in range(runs):
        looks = looked_at(dice, [0.1, 0.1], 400, 20)
        # A mixture as wide as the differences that come up by chance: where the test errs most.
        wrong += msprt([(look["0"], look["1"]) for look in looks], 1e-4).p <= ALPHA
        usual += any((two_proportion_z(look["0"], look["1"]).p or 1) <= ALPHA for look in looks)
    assert wrong / runs <= ALPHA
    assert usual / runs > 3 * ALPHA  # what the design warns of


def test_with_four_equal_groups_a_winner_is_named_no_more_often_than_alpha() -> None:
    dice, runs, named = random.Random(7), 120, 0  # noqa: S311
    for _ in range(runs):
        looks = looked_at(dice, [0.2] * 4, 300, 12)
        counts = [look.values() for look in looks]
        assert all(len(look) == 4 for look in counts)
        named += any(
            winner(pairwise(looks[:end], 1e-3), {n: c.rate for n, c in looks[end - 1].items()}, ALPHA) is not None
            for end in range(1, len(looks) + 1)
        )
    assert named / runs <= ALPHA


def test_a_difference_that_is_there_is_found() -> None:
    dice, runs, found = random.Random(3), 30, 0  # noqa: S311
    for _ in range(runs):
        looks = looked_at(dice, [0.02, 0.03, 0.02], 2000, 15)
        found += winner(pairwise(looks), {n: c.rate for n, c in looks[-1].items()}, ALPHA) == "1"
    assert found / runs > 0.9


def test_what_was_once_decided_stays_in_p_but_names_nobody_when_the_data_turn() -> None:
    looks = [(Count(200, 10_000), Count(300, 10_000)), (Count(4000, 200_000), Count(4010, 200_000))]
    test = msprt(looks)
    assert (test.p, test.largest) == (pytest.approx(0.000459147, rel=1e-6), pytest.approx(2177.95, rel=1e-5))
    assert test.statistic < 1
    assert winner({("a", "b"): test}, {"a": 0.02, "b": 0.0201}) is None
    first = msprt(looks[:1])
    assert winner({("a", "b"): first}, {"a": 0.02, "b": 0.03}) == "b"


def test_with_more_variants_each_pair_has_to_be_more_certain() -> None:
    tests = pairwise([{"a": Count(200, 10_000), "b": Count(274, 10_000), "c": Count(200, 10_000)}])
    p = tests["a", "b"].p
    assert ALPHA / 3 < p <= ALPHA
    assert winner({("a", "b"): tests["a", "b"]}, {"a": 0.02, "b": 0.0274}) == "b"
    assert winner(tests, {"a": 0.02, "b": 0.0274, "c": 0.02}) is None
    assert adjusted(p, 3) == pytest.approx(3 * p)
    assert adjusted(0.9, 3) == 1


def test_the_best_must_beat_everyone_and_ties_have_no_winner() -> None:
    counts = {"a": Count(200, 10_000), "b": Count(400, 10_000), "c": Count(402, 10_000)}
    rates = {name: count.rate for name, count in counts.items()}
    assert winner(pairwise([counts]), rates) is None  # b and c are as good
    tied = {"a": Count(400, 10_000), "b": Count(400, 10_000)}
    assert winner(pairwise([tied]), {"a": 0.04, "b": 0.04}) is None
    assert winner({}, {"alone": 0.5}) is None


def test_too_little_data_is_no_evidence() -> None:
    few, many = Count(MIN_SUCCESSES - 1, 1000), Count(900, 1000)
    assert msprt([(few, many)]) == (1, 1, 1)
    assert msprt([(Count(0, 0), many)]).p == 1
    assert msprt([(Count(995, 1000), Count(500, 1000))]).p == 1
    assert msprt([]).p == 1
    assert msprt([(Count(MIN_SUCCESSES, 1000), many)]).p < 1e-6


def test_a_group_that_joins_later_is_compared_from_then_on() -> None:
    looks = [{"a": Count(200, 10_000)}, {"a": Count(200, 10_000), "b": Count(300, 10_000)}]
    assert set(pairwise(looks)) == {("a", "b")}
    assert pairwise(looks)["a", "b"].p == pytest.approx(0.000459147, rel=1e-6)


@settings(deadline=None)
@given(st.integers(20, 10**6), st.data())
def test_the_statistic_is_that_of_the_paper_for_groups_of_one_size_and_does_not_care_for_order(
    n: int, data: st.DataObject
) -> None:
    a, b = (Count(data.draw(st.integers(1, n - 1)), n) for _ in range(2))
    v, d, tau2 = a.rate * (1 - a.rate) + b.rate * (1 - b.rate), b.rate - a.rate, DEFAULT_TAU2
    paper = 0.5 * math.log(v / (v + n * tau2)) + n * n * tau2 * d * d / (2 * v * (v + n * tau2))
    assert log_msprt(a, b) == pytest.approx(paper, rel=1e-9, abs=1e-12)
    assert log_msprt(b, a) == pytest.approx(log_msprt(a, b))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=20))
def test_the_p_value_never_rises_as_data_come_in(batches: list[tuple[int, int]]) -> None:
    looks, a, b, n = [], 0, 0, 0
    for more_a, more_b in batches:
        a, b, n = a + more_a, b + more_b, n + 500
        looks.append((Count(a, n), Count(b, n)))
    ps = [msprt(looks[:end]).p for end in range(len(looks) + 1)]
    assert all(0 <= later <= earlier <= 1 for earlier, later in combinations(ps, 2))
