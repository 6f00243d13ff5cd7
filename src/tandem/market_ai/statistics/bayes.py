"""How probable it is that each of some groups has the highest rate."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from tandem.market_ai.statistics.proportions import Count

_FINE, _NEAR = 12, 8  # steps of a standard deviation, up to so many of them from the mode
_COARSE, _FAR = 4, 32

Triple = tuple[float, float, float]


class _Posterior(NamedTuple):
    """A Beta density up to its constant, as exponents of x and 1-x; its mode and standard deviation."""

    up: int
    down: int
    mode: float
    spread: float

    @classmethod
    def of(cls, count: Count) -> "_Posterior":
        """Of a Beta(1, 1) prior, which says nothing: Beta(successes + 1, failures + 1)."""
        up, down = count.successes, count.trials - count.successes
        a, b, n = up + 1, down + 1, count.trials + 2
        mode = up / count.trials if count.trials else 0.5
        return cls(up, down, mode, math.sqrt(a / n * (b / n) / (n + 1)))

    def density(self, x: float) -> float:
        """Relative to the mode, where the large logarithms of the two factors have cancelled."""
        if (x <= 0 and self.up) or (x >= 1 and self.down):
            return 0.0
        offset = x - self.mode
        log = self.up * math.log1p(offset / self.mode) if self.up else 0.0
        log += self.down * math.log1p(-offset / (1 - self.mode)) if self.down else 0.0
        return math.exp(log)

    def nodes(self) -> Iterator[float]:
        for scale, reach, start in ((_FINE, _NEAR, 0), (_COARSE, _FAR, _NEAR)):
            for step in range(start * scale, reach * scale + 1):
                distance = step / scale * self.spread
                yield from (self.mode - distance, self.mode + distance)


def probability_best(groups: Mapping[str, Count]) -> dict[str, float]:
    """For each group P(its rate is the highest), under independent uniform priors; they sum to 1.

    P_i is the integral of f_i times all other F_j (Scott, Applied Stochastic Models in Business and Industry 26 (2010)
    639-658, equation 3), by Simpson's rule on the union of grids that are fine where each density is: to about 1e-7.
    """
    posteriors = {name: _Posterior.of(count) for name, count in groups.items()}
    edges = sorted({min(max(x, 0.0), 1.0) for one in posteriors.values() for x in one.nodes()})
    steps = list(pairwise(edges))
    densities = {name: _normed(steps, one) for name, one in posteriors.items()}
    below, best = dict.fromkeys(posteriors, 0.0), dict.fromkeys(posteriors, 0.0)
    for at, (left, right) in enumerate(steps):
        f = {name: triples[at] for name, triples in densities.items()}
        cdf = {name: _cumulated(below[name], right - left, *ys) for name, ys in f.items()}
        for name, ys in f.items():
            if any(ys):
                others = [triple for other, triple in cdf.items() if other != name]
                parts = (y * math.prod(triple[i] for triple in others) for i, y in enumerate(ys))
                best[name] += _simpson(right - left, *parts)
            below[name] = cdf[name][2]
    whole = sum(best.values())
    return {name: probability / whole for name, probability in best.items()}


def _normed(steps: list[tuple[float, float]], one: _Posterior) -> list[Triple]:
    """The density at the ends and the middle of each step."""
    triples, right_end = [], one.density(steps[0][0])
    for left, right in steps:
        left_end, right_end = right_end, one.density(right)
        triples.append((left_end, one.density((left + right) / 2), right_end))
    total = sum(_simpson(right - left, *ys) for (left, right), ys in zip(steps, triples, strict=True))
    return [(y0 / total, y1 / total, y2 / total) for y0, y1, y2 in triples]


def _simpson(width: float, left: float, middle: float, right: float) -> float:
    return width / 6 * (left + 4 * middle + right)


def _cumulated(start: float, width: float, left: float, middle: float, right: float) -> Triple:
    """F at the ends and the middle of a step: the parabola through the three points, integrated to each."""
    end = start + _simpson(width, left, middle, right)
    half = start + width / 24 * (5 * left + 8 * middle - right)
    return start, min(max(half, start), end), end
