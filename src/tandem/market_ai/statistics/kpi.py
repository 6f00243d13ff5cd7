"""Key figures of a campaign, from its sums."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

MICROS = 1_000_000


@dataclass(frozen=True)
class Totals:
    """Sums over some rows; money in micro-units of one currency."""

    impressions: int = 0
    clicks: int = 0
    conversions: int = 0
    cost_micros: int = 0
    revenue_micros: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.impressions + other.impressions,
            self.clicks + other.clicks,
            self.conversions + other.conversions,
            self.cost_micros + other.cost_micros,
            self.revenue_micros + other.revenue_micros,
        )


class Kpis(NamedTuple):
    """Exact; None where the denominator is 0. `cpc`, `cpm` and `cpa` are in units of the currency."""

    ctr: Fraction | None
    cvr: Fraction | None
    cpc: Fraction | None
    cpm: Fraction | None
    cpa: Fraction | None
    roas: Fraction | None
    roi: Fraction | None


def kpis(of: Totals) -> Kpis:
    """Definitions as in Farris et al., Marketing Metrics (4th ed. 2020), chapters 10 and 11.

    CTR clicks/impressions, CVR conversions/clicks, CPC cost/clicks, CPM cost per 1000 impressions, CPA
    cost/conversions, ROAS revenue/cost, ROI (revenue - cost)/cost.
    """
    cost, revenue = Fraction(of.cost_micros, MICROS), Fraction(of.revenue_micros, MICROS)
    return Kpis(
        ctr=_ratio(of.clicks, of.impressions),
        cvr=_ratio(of.conversions, of.clicks),
        cpc=_ratio(cost, of.clicks),
        cpm=_ratio(1000 * cost, of.impressions),
        cpa=_ratio(cost, of.conversions),
        roas=_ratio(revenue, cost),
        roi=_ratio(revenue - cost, cost),
    )


def _ratio(above: Fraction | int, below: Fraction | int) -> Fraction | None:
    return Fraction(above) / below if below else None
