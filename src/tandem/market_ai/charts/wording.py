"""What a chart says in words: its title, its description, and each value as people write it."""

from tandem.market_ai.figures import MONEY, Metric, Value
from tandem.market_ai.metrics.schemas import Line, Series

_NAMES: dict[Metric, str] = {
    "impressions": "Impressions",
    "clicks": "Clicks",
    "conversions": "Conversions",
    "cost": "Cost",
    "revenue": "Revenue",
    "ctr": "Click-through rate",
    "cvr": "Conversion rate",
    "cpc": "Cost per click",
    "cpm": "Cost per thousand impressions",
    "cpa": "Cost per conversion",
    "roas": "Return on ad spend",
    "roi": "Return on investment",
}
_PERCENT = frozenset({"ctr", "cvr", "roi"})


def title_of(series: Series) -> str:
    unit = f" in {series.currency}" if series.metric in MONEY and series.currency else ""
    by = f" and {series.by}" if series.by else ""
    return f"{_NAMES[series.metric]}{unit} by {series.interval}{by}"


def description_of(series: Series) -> str:
    """For who does not see the picture: where each line begins and ends, its lowest and its highest point."""
    said = [text for line in series.lines if (text := _described(line, series.metric))]
    more = f"{series.left_out} more are not shown." if series.left_out else ""
    return " ".join([*said, more]).strip() or "There are no data."


def written(value: Value, metric: Metric) -> str:
    """Three digits of a ratio are enough for the eye; empty for no data."""
    if value is None:
        return ""
    number = float(value)
    if metric in _PERCENT:
        return f"{number * 100:.2f} %"
    if metric in MONEY or metric == "roas":
        return f"{number:,.2f}"
    return f"{number:,.0f}"


def _described(line: Line, metric: Metric) -> str:
    points = [point for point in line.points if point.value is not None]
    if not points:
        return ""
    low, high = (pick(points, key=lambda point: float(point.value or 0)) for pick in (min, max))
    first, last = points[0], points[-1]
    name = f"{line.key}: from" if line.key else "From"
    return (
        f"{name} {written(first.value, metric)} on {first.date} to {written(last.value, metric)} on {last.date}; "
        f"lowest {written(low.value, metric)} on {low.date}, highest {written(high.value, metric)} on {high.date}."
    )
