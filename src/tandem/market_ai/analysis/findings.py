"""The facts as sentences: what a report says when no model does, and what it hints a model at.

Each number is a fact's, rounded to three digits where it has more: `numbers` would take every sentence for computed.
"""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

_NAMES: Final = {
    "impressions": "impressions",
    "clicks": "clicks",
    "conversions": "conversions",
    "cost": "cost",
    "revenue": "revenue",
    "ctr": "click-through rate",
    "cvr": "conversion rate",
}
_PERCENT: Final = frozenset({"ctr", "cvr"})
_MONEY: Final = frozenset({"cost", "revenue", "cpc", "cpm", "cpa"})
_CENT, _TINY = Decimal("0.01"), Decimal("0.000001")


def findings(metrics: Mapping[str, Any]) -> list[str]:
    return [*_results(metrics), *_trend(metrics["trend"]), *_odd(metrics), *_variants(metrics["comparisons"])]


def said(metric: str, value: float | str, currency: str | None = None) -> str:
    """A value as people write it: `2.56 %`, `EUR 1,234.50`, `125,000`, `3.3`."""
    if metric in _PERCENT:
        return percent(float(value))
    if metric in _MONEY:
        return f"{currency} {money(str(value))}" if currency else money(str(value))
    number = float(value)
    return f"{_exactly(number):,.0f}" if number.is_integer() else figures(number)


def percent(share: float) -> str:
    return f"{figures(_exactly(share) * 100)} %"


def figures(number: float | Decimal) -> str:
    """To three digits, or all of those before the point; what is next to nothing with all that it has."""
    exact = _exactly(number)
    if abs(exact) < _TINY:
        return f"{float(exact):.10g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(exact))))
    return f"{exact:,.{decimals}f}"


def money(amount: str) -> str:
    """To cents, but what is less than one with all its places."""
    value = Decimal(amount)
    return f"{value:,.2f}" if abs(value) >= 1 or value == value.quantize(_CENT) else f"{value:f}"


def _exactly(number: float | Decimal) -> Decimal:
    """As JSON has it, not as the double that is nearest."""
    return number if isinstance(number, Decimal) else Decimal(repr(number))


def _results(metrics: Mapping[str, Any]) -> Iterator[str]:
    total, currency = metrics["total"], metrics["currency"]
    counted = [f"{said(name, total[name])} {name}" for name in ("impressions", "clicks", "conversions")]
    yield f"From {metrics['date_from']} to {metrics['date_to']} it had {counted[0]}, {counted[1]} and {counted[2]}."
    rates = [f"the {_NAMES[name]} was {said(name, total[name])}" for name in ("ctr", "cvr") if total[name] is not None]
    if rates:
        yield f"{' and '.join(rates).capitalize()}."
    if total["roas"] is not None:
        paid = [said(name, total[name], currency) for name in ("cost", "revenue")]
        yield f"It cost {paid[0]} and brought {paid[1]}, a return on ad spend of {said('roas', total['roas'])}."


def _trend(trend: Mapping[str, Any]) -> Iterator[str]:
    now, before = trend["period"], trend["before"]
    for metric in ("clicks", "conversions"):
        relative = trend["change"][metric]["relative"]
        if relative is None:
            continue
        way = "rose" if relative > 0 else "fell" if relative < 0 else "stayed"
        by = f" by {percent(abs(relative))}" if relative else " as they were"
        values = [said(metric, period["kpis"][metric]) for period in (before, now)]
        yield f"In the last {now['days']} days {metric} {way}{by}: {values[0]} in as many before, then {values[1]}."


def _odd(metrics: Mapping[str, Any]) -> Iterator[str]:
    for one in metrics["anomalies"]:
        metric = one["metric"]
        values = [said(metric, one[name], metrics["currency"]) for name in ("value", "expected")]
        name = _NAMES[metric]
        yield f"On {one['date']} the {name} stood out: {values[0]}, where {values[1]} was to be expected."


def _variants(comparisons: list[Mapping[str, Any]]) -> Iterator[str]:
    for found in comparisons:
        name, rates = _NAMES[found["metric"]], {one["name"]: one["rate"] for one in found["variants"]}
        leading = f"variant “{found['leading']}”, with {percent(rates[found['leading']])}"
        if found["decision"] == "winner":
            yield f"By its {name} the winner is {leading}."
        elif found["decision"] == "sample_ratio_mismatch":
            yield f"The variants were not shown as evenly as they should have been, so their {name}s prove nothing."
        else:
            yield f"By its {name} {leading}, leads, which is not certain enough to call it the winner."
