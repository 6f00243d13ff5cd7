"""Whether traffic was split as it should have been; where not, nothing that compares the groups can be trusted.

Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

MISMATCH = 0.001
"""Below this p there is a mismatch; low, because it is looked at all the time (Fabijan et al., section 5)."""


class SampleRatio(NamedTuple):
    chi2: float
    p: float

    @property
    def mismatch(self) -> bool:
        return self.p < MISMATCH


def sample_ratio(counts: Sequence[int], weights: Sequence[float]) -> SampleRatio:
    """Pearson's goodness of fit, Philosophical Magazine 50 (1900) 157-175; `weights` need not sum to 1.

    Raises ValueError unless there are two groups, some counts, and a positive weight for each group.
    """
    total, whole = sum(counts), math.fsum(weights)
    if len(counts) < 2 or len(counts) != len(weights) or total <= 0 or min(weights) <= 0:
        raise ValueError("needs two groups, a positive weight for each, and any counts")
    expected = [total * weight / whole for weight in weights]
    chi2 = math.fsum((count - e) ** 2 / e for count, e in zip(counts, expected, strict=True))
    return SampleRatio(chi2, chi2_survival(chi2, len(counts) - 1))


def chi2_survival(x: float, degrees: int) -> float:
    """P(chi-square > x), in closed form for whole degrees of freedom: Abramowitz & Stegun, 26.4.4 and 26.4.5."""
    if x <= 0:
        return 1.0
    odd = degrees % 2
    term = math.exp(-x / 2) * (math.sqrt(2 * x / math.pi) if odd else 1.0)
    total = math.erfc(math.sqrt(x / 2)) if odd else 0.0
    for k in range(2 + odd, degrees + 2, 2):
        total += term
        term *= x / k
    return min(total, 1.0)
