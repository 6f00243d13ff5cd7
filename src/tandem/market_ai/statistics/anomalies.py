"""Days that do not look like the others.

A value is compared with what its surroundings and its weekday let one expect, and the distance is measured in robust
standard deviations, so that neither the level, nor a weekly rhythm, nor the outliers themselves hide an outlier.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import combinations
from statistics import fmean, median
from typing import NamedTuple

THRESHOLD = 3.5
"""Of the modified z-score: Iglewicz & Hoaglin, How to Detect and Handle Outliers (ASQC 1993), section 3.2."""

MIN_DAYS, SEASONAL_DAYS = 10, 28  # below the first nothing is judged, from the second on weekdays are told apart
_WINDOW = 21  # days of the running median; whole weeks, so that a weekly rhythm does not move it
_SIGMA_OF_MAD, _SIGMA_OF_MEAN = 1.4826, 1.253314  # make either deviation that of a normal distribution


class Anomaly(NamedTuple):
    """`score` is the modified z-score: positive for too much, negative for too little."""

    day: date
    value: float
    expected: float
    score: float


def anomalies(values: Mapping[date, float]) -> list[Anomaly]:
    """The earliest first. Days without a value are not in `values`, and are not judged.

    From 28 days on: expected = running median of 21 days, along the trend, + median of what its weekday lies above it,
    a robust version of classical decomposition (Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed.
    2021, section 3.4). Both are of the other days: what is judged has no part in what it is judged by, or the residuals
    would be too small. Before that: the median of all.
    """
    if len(values) < MIN_DAYS:
        return []
    days = sorted(values)
    expected = _expected(days, [values[day] for day in days])
    residuals = [values[day] - e for day, e in zip(days, expected, strict=True)]
    scale = _scale(residuals)
    if scale == 0:
        return []
    found = zip(days, expected, residuals, strict=True)
    return [Anomaly(day, values[day], e, r / scale) for day, e, r in found if abs(r / scale) > THRESHOLD]


def _expected(days: Sequence[date], values: Sequence[float]) -> list[float]:
    if len(days) < SEASONAL_DAYS:
        return [median(values)] * len(values)
    weekdays: dict[int, list[int]] = {}
    for at, day in enumerate(days):
        weekdays.setdefault(day.weekday(), []).append(at)
    slope = _slope(days, values, weekdays.values())
    level = [_level(days, values, slope, at) for at in range(len(days))]
    expected = list(level)
    for same in weekdays.values():
        for at in same:
            above = [values[other] - level[other] for other in same if other != at]
            expected[at] += median(above) if above else 0.0
    return expected


def _level(days: Sequence[date], values: Sequence[float], slope: float, at: int) -> float:
    """Of the days around, brought to this one along the trend: at the ends there are days on one side only."""
    reach = _WINDOW // 2
    around = [other for other in range(max(0, at - reach), min(len(days), at + reach + 1)) if other != at]
    return median(values[other] + slope * (days[at] - days[other]).days for other in around)


def _slope(days: Sequence[date], values: Sequence[float], weekdays: Iterable[Sequence[int]]) -> float:
    """A day's; the seasonal Kendall estimator of Hirsch, Slack & Smith, Water Resources Research 18 (1982) 107-121."""
    slopes = [(values[b] - values[a]) / (days[b] - days[a]).days for same in weekdays for a, b in combinations(same, 2)]
    return median(slopes) if slopes else 0.0


def _scale(residuals: Sequence[float]) -> float:
    """A standard deviation that outliers do not move; where more than half are equal, the mean takes over."""
    centre = median(residuals)
    distances = [abs(r - centre) for r in residuals]
    # What is left of equal sums of floats is rounding, not spread.
    noise = 1e-9 * max(1e-9, *(abs(r) for r in residuals))
    for deviation in (_SIGMA_OF_MAD * median(distances), _SIGMA_OF_MEAN * fmean(distances)):
        if deviation > noise:
            return deviation
    return 0.0
