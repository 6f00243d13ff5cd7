"""The probability to be best, against a closed formula and by what must hold for any groups."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.market_ai.statistics.bayes import probability_best
from tandem.market_ai.statistics.proportions import Count


def exactly(a: Count, b: Count) -> float:
    """P(b > a) for Beta(1, 1) priors, as a finite sum: E. Miller, "Formulas for Bayesian A/B Testing" (2015)."""

    def beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    up, down = a.successes + 1, a.trials - a.successes + 1
    rest = b.trials - b.successes + 1
    return math.fsum(
        math.exp(beta(up + i, down + rest) - math.log(rest + i) - beta(1 + i, rest) - beta(up, down))
        for i in range(b.successes + 1)
    )


def test_of_two_groups_it_is_that_of_the_closed_formula() -> None:
    dice = random.Random(5)  # noqa: S311
    pairs = [(Count(0, 0), Count(0, 1000)), (Count(0, 1000), Count(1, 1000)), (Count(5, 5), Count(499, 500))]
    for _ in range(40):
        n, rate = dice.randint(1, 3000), dice.random()
        a = Count(round(n * rate), n)
        m = dice.randint(1, 3000)
        pairs.append((a, Count(min(m, max(0, round(m * rate + dice.gauss(0, 1) * math.sqrt(m)))), m)))
    for a, b in pairs:
        assert probability_best({"a": a, "b": b})["b"] == pytest.approx(exactly(a, b), abs=2e-7), (a, b)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.integers(0, 10**12).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n))),
        min_size=1,
        max_size=5,
    )
)
def test_probabilities_sum_to_one_whatever_the_sizes(counts: list[Count]) -> None:
    best = probability_best({str(number): count for number, count in enumerate(counts)})
    assert sum(best.values()) == pytest.approx(1)
    assert all(0 <= p <= 1 for p in best.values())


def test_equal_groups_are_equally_probable_and_a_better_one_is_more_so() -> None:
    same = probability_best(dict.fromkeys("abcd", Count(30, 1000)))
    assert list(same.values()) == pytest.approx([0.25] * 4)
    order = probability_best({"a": Count(30, 1000), "b": Count(33, 1000), "c": Count(36, 1000)})
    assert order["a"] < order["b"] < order["c"]
    assert probability_best({"alone": Count(1, 2)}) == {"alone": 1}


def test_three_groups_agree_with_drawing_from_them() -> None:
    groups = {"a": Count(3, 40), "b": Count(5, 40), "c": Count(50, 500)}
    dice, wins, draws = random.Random(11), dict.fromkeys(groups, 0), 40_000  # noqa: S311
    for _ in range(draws):
        rates = {n: dice.betavariate(c.successes + 1, c.trials - c.successes + 1) for n, c in groups.items()}
        wins[max(rates, key=lambda name: rates[name])] += 1
    for name, p in probability_best(groups).items():
        assert wins[name] / draws == pytest.approx(p, abs=0.01)
