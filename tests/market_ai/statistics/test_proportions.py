"""Intervals, the fixed-horizon test, sample sizes and the sample ratio: what must hold for any counts."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tandem.market_ai.statistics.kpi import Totals, kpis
from tandem.market_ai.statistics.proportions import (
    Count,
    newcombe,
    required_sample_size,
    two_proportion_z,
    wilson,
)
from tandem.market_ai.statistics.sample_ratio import chi2_survival, sample_ratio

COUNTS = st.integers(1, 10**9).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(COUNTS)
def test_an_interval_is_inside_the_unit_and_contains_its_rate(count: Count) -> None:
    low, high = wilson(count)
    assert 0 <= low <= count.rate <= high <= 1
    narrow = wilson(count, 0.8)
    assert low <= narrow.low
    assert narrow.high <= high


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_the_interval_of_a_difference_contains_it_and_turns_with_it(a: Count, b: Count) -> None:
    low, high = newcombe(a, b)
    assert -1 <= low <= b.rate - a.rate <= high <= 1
    turned = newcombe(b, a)
    assert (-turned.high, -turned.low) == (pytest.approx(low), pytest.approx(high))


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_the_test_turns_with_its_groups_and_sees_no_difference_of_a_group_from_itself(a: Count, b: Count) -> None:
    z, p = two_proportion_z(a, b)
    assume(z is not None and p is not None)
    assert 0 <= p <= 1
    back = two_proportion_z(b, a)
    assert (back.z, back.p) == (pytest.approx(-z), pytest.approx(p))
    assert (z > 0) == (a.rate > b.rate)
    if 0 < a.successes < a.trials:
        assert two_proportion_z(a, a) == (0, 1)


def test_without_any_variance_there_is_no_test() -> None:
    assert two_proportion_z(Count(0, 10), Count(0, 20)) == (None, None)
    assert two_proportion_z(Count(10, 10), Count(20, 20)) == (None, None)


def test_sample_sizes_are_those_of_the_textbook() -> None:
    """Fleiss, Levin & Paik (2003), table A.4 without the continuity correction that its entries add."""
    assert required_sample_size(0.5, 0.1) == 388
    assert required_sample_size(0.5, 0.1, power=0.9) == 519
    assert required_sample_size(0.02, 0.005) == 13809
    assert required_sample_size(0.025, -0.005) == 13809


@settings(deadline=None)
@given(st.floats(0.001, 0.5), st.floats(0.001, 0.4))
def test_a_smaller_effect_or_more_certainty_needs_more(baseline: float, effect: float) -> None:
    usual = required_sample_size(baseline, effect)
    assert required_sample_size(baseline, effect / 2) >= usual
    assert required_sample_size(baseline, effect, alpha=0.01) >= usual
    assert required_sample_size(baseline, effect, power=0.95) >= usual


@pytest.mark.parametrize(("baseline", "effect"), [(0, 0.1), (1, -0.1), (0.5, 0), (0.9, 0.1), (0.1, -0.1)])
def test_rates_that_are_none_have_no_sample_size(baseline: float, effect: float) -> None:
    with pytest.raises(ValueError, match="rates must be"):
        required_sample_size(baseline, effect)


def test_the_tail_of_chi_square_is_that_of_the_tables() -> None:
    """The 5 % and 0.1 % points of Abramowitz & Stegun, table 26.8."""
    five = [3.84146, 5.99146, 7.81473, 9.48773, 11.0705, 12.5916, 14.0671, 15.5073, 16.9190]
    tenth = [10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.125, 27.877]
    for degrees, (x, y) in enumerate(zip(five, tenth, strict=True), 1):
        assert chi2_survival(x, degrees) == pytest.approx(0.05, rel=1e-4)
        assert chi2_survival(y, degrees) == pytest.approx(0.001, rel=1e-3)
    assert chi2_survival(0, 3) == 1


def test_a_split_as_it_should_be_is_no_mismatch_and_a_skewed_one_is() -> None:
    assert sample_ratio([500, 1000, 1500], [1, 2, 3]) == (0, 1)
    assert not sample_ratio([5000, 5100], [1, 1]).mismatch
    assert sample_ratio([5000, 5400], [1, 1]).mismatch
    for counts, weights in (([1], [1]), ([0, 0], [1, 1]), ([1, 2], [1]), ([1, 2], [1, 0])):
        with pytest.raises(ValueError, match="two groups"):
            sample_ratio(counts, weights)


@settings(deadline=None)
@given(st.builds(Totals, *[st.integers(0, 10**15)] * 5))
def test_key_figures_are_null_where_there_is_nothing_to_divide_by_and_else_multiply_back(of: Totals) -> None:
    found = kpis(of)
    assert (found.ctr is None) == (found.cpm is None) == (of.impressions == 0)
    assert (found.cvr is None) == (found.cpc is None) == (of.clicks == 0)
    assert (found.roas is None) == (found.roi is None) == (of.cost_micros == 0)
    assert (found.cpa is None) == (of.conversions == 0)
    if found.ctr is not None and found.cpc is not None:
        assert found.ctr * of.impressions == of.clicks
        assert found.cpc * of.clicks * 1_000_000 == of.cost_micros
    if found.roas is not None and found.roi is not None:
        assert found.roas - found.roi == 1
        assert not math.isnan(float(found.roas))
