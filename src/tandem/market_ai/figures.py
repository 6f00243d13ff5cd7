"""Metrics by name: their exact values, and how the API shows them."""

from fractions import Fraction
from typing import Final, Literal, get_args

from tandem.market_ai.fields import MICROS, decimal_string
from tandem.market_ai.statistics.kpi import Kpis, Totals, kpis

Counted = Literal["impressions", "clicks", "conversions"]
Metric = Literal[
    "impressions", "clicks", "conversions", "cost", "revenue", "ctr", "cvr", "cpc", "cpm", "cpa", "roas", "roi"
]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
MONEY: Final = frozenset({"cost", "revenue", "cpc", "cpm", "cpa"})
RATIOS: Final = frozenset({"ctr", "cvr", "roas", "roi"})
Value = int | float | str | None
"""Money as a decimal string, everything else as a number, null for no data or a denominator of 0."""


def exact(of: Totals, metric: Metric) -> Fraction | None:
    """None for a ratio whose denominator is 0; money in units of the currency."""
    if metric in Kpis._fields:
        found: Fraction | None = getattr(kpis(of), metric)
        return found
    if metric in MONEY:
        return Fraction(getattr(of, f"{metric}_micros"), MICROS)
    return Fraction(getattr(of, metric))


def shown(metric: Metric, value: Fraction | None) -> Value:
    """Money with six places, as everywhere; ratios to ten significant digits, counts whole."""
    if value is None:
        return None
    return decimal_string(round(value * MICROS)) if metric in MONEY else number(value)


def number(value: Fraction | float) -> float:
    """Without the digits that are only rounding; a whole number stays one in JSON."""
    rounded = float(f"{float(value):.10g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
