"""A test that may be looked at as often as one likes, and a winner that is only named when it says so.

The mixture sequential probability ratio test: Johari, Koomen, Pekelis & Walsh, "Always Valid Inference: Continuous
Monitoring of A/B Tests", Operations Research 70 (2022) 1806-1821; before them Robbins, Annals of Mathematical
Statistics 41 (1970) 1397-1409. Under the null hypothesis the statistic is (asymptotically) a martingale that begins at
1, so the chance that it *ever* exceeds 1/alpha is at most alpha, however often it is looked at.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from tandem.market_ai.statistics.proportions import Count

DEFAULT_TAU2 = 2.5e-05
"""Variance of the mixture: true differences of about half a percentage point are what the test is best at."""

MIN_SUCCESSES = 10
"""Successes, and failures, that each group must have before a look counts: below that the normal approximation, on
which the guarantee rests, does not hold (Brown, Cai & DasGupta, Statistical Science 16 (2001) 101-133)."""

Pair = tuple[str, str]


class Sequential(NamedTuple):
    """`statistic` is of the last look, `largest` of all looks so far; `p` = min(1, 1/largest) is valid at any time."""

    statistic: float
    largest: float
    p: float


def log_msprt(a: Count, b: Count, tau2: float = DEFAULT_TAU2) -> float:
    """The logarithm of the mSPRT statistic of two proportions, 0 when neither group varies.

    With V the variance of the difference, V = pA(1-pA)/nA + pB(1-pB)/nB, it is
    sqrt(V/(V+tau2)) * exp(tau2 d^2 / (2V(V+tau2))): Johari et al., section 5, for groups of any two sizes. With nA = nB
    it is their formula for pairs.
    """
    variance = sum(count.rate * (1 - count.rate) / count.trials for count in (a, b))
    if variance <= 0:
        return 0.0
    difference = b.rate - a.rate
    # log1p keeps its digits where the mixture is narrow beside the variance.
    return -0.5 * math.log1p(tau2 / variance) + tau2 / (variance + tau2) * difference / variance * difference / 2


def msprt(looks: Iterable[tuple[Count, Count]], tau2: float = DEFAULT_TAU2) -> Sequential:
    """Over cumulative counts, the earliest first. A look at too little data does not count; without one, p is 1."""
    last = largest = 0.0  # logarithms
    for a, b in looks:
        if _enough(a) and _enough(b):
            last = log_msprt(a, b, tau2)
            largest = max(largest, last)
    return Sequential(_exp(last), _exp(largest), math.exp(-largest))


def pairwise(looks: Sequence[Mapping[str, Count]], tau2: float = DEFAULT_TAU2) -> dict[Pair, Sequential]:
    """Every two groups against each other; a group that a look lacks has no data by then."""
    names = sorted({name for look in looks for name in look})
    nothing = Count(0, 0)
    return {
        (one, other): msprt(((look.get(one, nothing), look.get(other, nothing)) for look in looks), tau2)
        for one, other in combinations(names, 2)
    }


def winner(tests: Mapping[Pair, Sequential], rates: Mapping[str, float], alpha: float = 0.05) -> str | None:
    """The group that beats every other one, or None while that is not certain enough.

    Each pair is tested at alpha divided by the number of pairs (Bonferroni), so with any number of groups, any number
    of looks and any of the differences being nil, the chance of a wrong winner is at most alpha.
    """
    if len(rates) < 2:
        return None
    best = max(rates, key=lambda name: rates[name])
    against = [test for pair, test in tests.items() if best in pair]
    higher = all(rates[best] > rate for name, rate in rates.items() if name != best)
    decided = higher and all(test.p <= alpha / len(tests) and _still(test) for test in against)
    return best if decided else None


def adjusted(p: float, comparisons: int) -> float:
    """Bonferroni: to be held against alpha itself."""
    return min(1.0, p * comparisons)


def _enough(count: Count) -> bool:
    return min(count.successes, count.trials - count.successes) >= MIN_SUCCESSES


def _still(test: Sequential) -> bool:
    """What once was decided is not named while the data speak for neither side."""
    return test.statistic > 1


def _exp(value: float) -> float:
    """Capped: what is certain beyond any doubt stays a number."""
    return math.exp(min(value, 700.0))
