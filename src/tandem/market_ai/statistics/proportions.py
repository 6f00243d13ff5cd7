"""Two proportions: intervals, the fixed-horizon test, and how large a sample has to be.

The test here is for one look at data whose size was decided beforehand. What is looked at again and again belongs into
`sequential`.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

_NORMAL = NormalDist()


class Count(NamedTuple):
    """`successes` of `trials`; 0 <= successes <= trials."""

    successes: int
    trials: int

    @property
    def rate(self) -> float:
        return self.successes / self.trials


class Interval(NamedTuple):
    low: float
    high: float


class ZTest(NamedTuple):
    """`p` is two-sided; both None when neither group, or everybody, succeeded: there is no variance to test with."""

    z: float | None
    p: float | None


def wilson(count: Count, confidence: float = 0.95) -> Interval:
    """Score interval of one proportion: Wilson, JASA 22 (1927) 209-212."""
    z = _quantile(confidence)
    n, p = count.trials, count.rate
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
    # Exact at the ends, where rounding could leave the interval without the rate it is about.
    return Interval(0.0 if count.successes == 0 else max(low, 0.0), 1.0 if count.successes == n else min(high, 1.0))


def newcombe(a: Count, b: Count, confidence: float = 0.95) -> Interval:
    """Of the difference b - a: Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10 (hybrid score)."""
    (low_a, high_a), (low_b, high_b) = wilson(a, confidence), wilson(b, confidence)
    difference = b.rate - a.rate
    low = difference - math.hypot(b.rate - low_b, high_a - a.rate)
    high = difference + math.hypot(high_b - b.rate, a.rate - low_a)
    return Interval(max(low, -1.0), min(high, 1.0))


def two_proportion_z(a: Count, b: Count) -> ZTest:
    """Pooled test of equal proportions, `z` positive where a is larger: Fleiss, Levin & Paik, Statistical Methods for
    Rates and Proportions (3rd ed. 2003), section 3.1, without continuity correction."""
    pooled = (a.successes + b.successes) / (a.trials + b.trials)
    variance = pooled * (1 - pooled) * (1 / a.trials + 1 / b.trials)
    if variance <= 0:
        return ZTest(None, None)
    z = (a.rate - b.rate) / math.sqrt(variance)
    return ZTest(z, math.erfc(abs(z) / math.sqrt(2)))


def required_sample_size(baseline: float, effect: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Trials of each of two groups to find `baseline + effect` with this power: Fleiss, Levin & Paik (2003), formula
    4.14, two-sided. Raises ValueError unless both rates are inside (0, 1) and differ."""
    other = baseline + effect
    if not (0 < baseline < 1 and 0 < other < 1 and effect != 0):
        raise ValueError("both rates must be between 0 and 1, and differ")
    mean = (baseline + other) / 2
    under_null = _NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(2 * mean * (1 - mean))
    under_effect = _NORMAL.inv_cdf(power) * math.sqrt(baseline * (1 - baseline) + other * (1 - other))
    return math.ceil(((under_null + under_effect) / effect) ** 2)


def _quantile(confidence: float) -> float:
    return _NORMAL.inv_cdf((1 + confidence) / 2)
