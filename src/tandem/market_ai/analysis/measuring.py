"""What a campaign's metrics come to, as facts of its report: key figures, trend, odd days, variants."""

from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from tandem.core.db import Connection
from tandem.market_ai.comparison.schemas import COUNTS, PeriodsQuery, VariantComparison, VariantsQuery
from tandem.market_ai.comparison.service import compare_periods, compare_variants
from tandem.market_ai.figures import Metric
from tandem.market_ai.metrics.schemas import AnomalyQuery, KpiQuery, Slice
from tandem.market_ai.metrics.service import anomaly_report, kpi_report, largest_groups, span

YEAR, MAX_GROUPS, MAX_ODD = 366, 10, 10
"""Days that are looked at one by one; channels and variants, and odd days, that are told of."""

WATCHED: Final[tuple[Metric, ...]] = ("impressions", "clicks", "conversions", "cost", "ctr")


async def measured(connection: Connection, org_id: str, campaign_id: UUID) -> dict[str, Any] | None:
    """As JSON; None for a campaign without metrics. Raises NotFound."""
    first, last = await span(connection, org_id, campaign_id, Slice())
    if first is None or last is None:
        return None
    year = max(first, last - timedelta(days=YEAR - 1)), last
    whole = await kpi_report(connection, org_id, campaign_id, KpiQuery())
    groups = {
        "by_channel": await largest_groups(connection, org_id, campaign_id, "channel", MAX_GROUPS),
        "by_variant": await largest_groups(connection, org_id, campaign_id, "variant", MAX_GROUPS),
    }
    trend = await compare_periods(connection, org_id, campaign_id, PeriodsQuery())
    return {
        **whole.model_dump(mode="json", exclude={"groups"}),
        **{by: [group.model_dump(mode="json") for group in found] for by, found in groups.items()},
        "trend": trend.model_dump(mode="json"),
        "anomalies": await _anomalies(connection, org_id, campaign_id, *year),
        "comparisons": await _comparisons(connection, org_id, campaign_id, *year),
        "confidence": 0.95,
    }


async def _anomalies(
    connection: Connection, org_id: str, campaign_id: UUID, first: date, last: date
) -> list[dict[str, Any]]:
    """The oddest, the earliest first."""
    odd = []
    for metric in WATCHED:
        query = AnomalyQuery.days(first, last).model_copy(update={"metric": metric})
        found = await anomaly_report(connection, org_id, campaign_id, query)
        odd += [{"metric": metric, **one.model_dump(mode="json")} for one in found.anomalies]
    odd.sort(key=lambda one: -abs(one["score"]))
    return sorted(odd[:MAX_ODD], key=lambda one: str(one["date"]))


async def _comparisons(
    connection: Connection, org_id: str, campaign_id: UUID, first: date, last: date
) -> list[dict[str, Any]]:
    """By each rate for which there are two variants and any success."""
    comparisons = []
    for metric in COUNTS:
        query = VariantsQuery.days(first, last).model_copy(update={"metric": metric})
        found = await compare_variants(connection, org_id, campaign_id, query)
        if found.pairs and any(one.successes for one in found.variants):
            comparisons.append(_told(found))
    return comparisons


def _told(found: VariantComparison) -> dict[str, Any]:
    """With the pairs of the leading variant alone: a report that has them all is read by nobody."""
    rates = {one.name: one.rate or 0.0 for one in found.variants if one.interval is not None}
    leading = max(rates, key=lambda name: rates[name])
    told = found.model_dump(mode="json")
    pairs = [pair for pair in told["pairs"] if leading in {pair["a"], pair["b"]}]
    return told | {"pairs": pairs, "leading": leading}
