"""What comes in as metrics, and what is computed of it."""

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import InvalidPayload
from tandem.market_ai.audit.service import record
from tandem.market_ai.campaigns.service import require_open
from tandem.market_ai.fields import micros
from tandem.market_ai.figures import Counted, exact, number, shown
from tandem.market_ai.metrics import queries
from tandem.market_ai.metrics.queries import Group, Span, owned
from tandem.market_ai.metrics.schemas import (
    MAX_DAYS,
    MAX_GROUPS,
    MAX_LINES,
    AnomalyOut,
    AnomalyQuery,
    AnomalyReport,
    Deleted,
    Erasure,
    Grouping,
    Interval,
    KpiGroup,
    KpiQuery,
    KpiReport,
    KpisOut,
    Line,
    MetricRow,
    MetricsPut,
    Point,
    Series,
    SeriesQuery,
    Slice,
    Stored,
)
from tandem.market_ai.statistics.anomalies import MIN_DAYS, SEASONAL_DAYS, THRESHOLD, anomalies
from tandem.market_ai.statistics.kpi import Totals
from tandem.market_ai.tenancy import OrgWriter

# In the order of the key, so that two that come at once wait for each other instead of locking each other out. A row
# that is there already as it is stays untouched.
_PUT = """
WITH stored AS (
  INSERT INTO campaign_metrics AS m
         (org_id, campaign_id, date, channel, variant, impressions, clicks, conversions, cost_micros, revenue_micros)
  SELECT $1, $2, * FROM unnest($3::date[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                               $9::bigint[], $10::bigint[]) g (date, channel, variant)
   ORDER BY g.date, g.channel, g.variant
      ON CONFLICT (org_id, campaign_id, date, channel, variant) DO UPDATE
     SET impressions = excluded.impressions, clicks = excluded.clicks, conversions = excluded.conversions,
         cost_micros = excluded.cost_micros, revenue_micros = excluded.revenue_micros, updated_at = now()
   WHERE (m.impressions, m.clicks, m.conversions, m.cost_micros, m.revenue_micros) IS DISTINCT FROM
         (excluded.impressions, excluded.clicks, excluded.conversions, excluded.cost_micros, excluded.revenue_micros)
  RETURNING m.xmax = 0 AS created)
SELECT count(*) FILTER (WHERE created) AS created, count(*) FILTER (WHERE NOT created) AS updated FROM stored"""


async def put_metrics(writer: OrgWriter, campaign_id: UUID, data: MetricsPut) -> Stored:
    """Raises NotFound or CampaignArchived."""
    await require_open(writer, campaign_id)
    row = await fetch_one(writer.connection, _PUT, writer.org_id, campaign_id, *_columns(data.rows))
    stored = Stored(**row, unchanged=len(data.rows) - row["created"] - row["updated"])
    if stored.created or stored.updated:
        days = sorted(one.date for one in data.rows)
        changed = {"created": stored.created, "updated": stored.updated, "date_from": days[0], "date_to": days[-1]}
        await record(writer, "metrics.stored", "campaign", campaign_id, **changed)
    return stored


async def delete_metrics(writer: OrgWriter, campaign_id: UUID, query: Erasure) -> Deleted:
    """Raises NotFound or CampaignArchived."""
    await require_open(writer, campaign_id)
    arg = Args([writer.org_id, campaign_id])
    sql = f"WITH gone AS (DELETE FROM campaign_metrics m {owned(query, arg)} RETURNING 1) SELECT count(*) FROM gone"
    deleted: int = await writer.connection.fetchval(sql, *arg)
    if deleted:
        what = query.model_dump(mode="json", exclude_defaults=True)
        await record(writer, "metrics.deleted", "campaign", campaign_id, rows=deleted, **what)
    return Deleted(deleted=deleted)


async def kpi_report(connection: Connection, org_id: str, campaign_id: UUID, query: KpiQuery) -> KpiReport:
    """Raises NotFound, and InvalidPayload for too many groups."""
    currency = await queries.currency(connection, org_id, campaign_id)
    first, last = await queries.span(connection, org_id, campaign_id, query)
    groups: list[Group] = []
    if query.by is not None:
        groups = await queries.sums(connection, org_id, campaign_id, query, [query.by], limit=MAX_GROUPS + 1)
        if len(groups) > MAX_GROUPS:
            detail = f"there are more than {MAX_GROUPS} groups: ask for fewer days, channels or variants"
            raise InvalidPayload.of("by", detail, "too_many_groups")
    total = await totals(connection, org_id, campaign_id, query)
    return KpiReport(
        currency=currency,
        date_from=first,
        date_to=last,
        total=KpisOut.of(total),
        groups=[KpiGroup(key=str(group.key[0]), kpis=KpisOut.of(group.totals)) for group in groups],
    )


async def series(connection: Connection, org_id: str, campaign_id: UUID, query: SeriesQuery) -> Series:
    """Raises NotFound, and InvalidPayload for too many days."""
    currency = await queries.currency(connection, org_id, campaign_id)
    limits = await covered(connection, org_id, campaign_id, query)
    keys, total, part = [""], 1, Slice(**query.model_dump(include=set(Slice.model_fields)))
    by: list[Grouping] = ["day"]
    if query.by is not None:
        largest, total = await queries.largest(connection, org_id, campaign_id, part, query.by, column="impressions")
        keys, by = sorted(largest[:MAX_LINES]), ["day", query.by]
        part = part.model_copy(update={query.by: keys})
    found = await queries.sums(connection, org_id, campaign_id, part, by, interval=query.interval) if keys else []
    sums = {(group.key[0], group.key[1] if query.by else ""): group.totals for group in found}
    days = list(_buckets(limits, query.interval))
    lines = [
        Line(key=key, points=[Point(date=day, value=_value(sums.get((day, key)), query)) for day in days])
        for key in keys
    ]
    return Series(
        metric=query.metric,
        interval=query.interval,
        by=query.by,
        currency=currency,
        lines=lines,
        left_out=total - len(keys),
    )


async def anomaly_report(connection: Connection, org_id: str, campaign_id: UUID, query: AnomalyQuery) -> AnomalyReport:
    """Raises NotFound, and InvalidPayload for too many days."""
    await queries.currency(connection, org_id, campaign_id)
    await covered(connection, org_id, campaign_id, query)
    groups = await queries.sums(connection, org_id, campaign_id, query, ["day"])
    values = {group.key[0]: value for group in groups if (value := exact(group.totals, query.metric)) is not None}
    found = anomalies({day: float(value) for day, value in values.items()})
    return AnomalyReport(
        metric=query.metric,
        days=len(values),
        method="none" if len(values) < MIN_DAYS else "median" if len(values) < SEASONAL_DAYS else "weekdays",
        threshold=THRESHOLD,
        anomalies=[
            AnomalyOut(
                date=one.day,
                value=shown(query.metric, values[one.day]),
                expected=shown(query.metric, Fraction(one.expected)),
                score=round(number(one.score), 2),
            )
            for one in found
        ],
    )


async def totals(connection: Connection, org_id: str, campaign_id: UUID, query: Slice) -> Totals:
    return (await queries.sums(connection, org_id, campaign_id, query))[0].totals


async def largest_groups(
    connection: Connection, org_id: str, campaign_id: UUID, by: Literal["channel", "variant"], limit: int
) -> list[KpiGroup]:
    """The channels or variants with the most impressions, at most twenty, by name."""
    found, _ = await queries.largest(connection, org_id, campaign_id, Slice(), by, column="impressions")
    part = Slice().model_copy(update={by: found[:limit]})
    groups = await queries.sums(connection, org_id, campaign_id, part, [by]) if found else []
    return [KpiGroup(key=group.key[0], kpis=KpisOut.of(group.totals)) for group in groups]


async def largest_variants(
    connection: Connection, org_id: str, campaign_id: UUID, query: Slice, *, column: Counted, limit: int
) -> tuple[list[str], int]:
    """The variants with the most of `column`, at most twenty, by name; and how many were left out."""
    found, total = await queries.largest(connection, org_id, campaign_id, query, "variant", column=column)
    return sorted(found[:limit]), total - len(found[:limit])


async def daily_by_variant(
    connection: Connection, org_id: str, campaign_id: UUID, query: Slice
) -> dict[date, dict[str, Totals]]:
    """The earliest day first; a variant without rows on a day is not in it."""
    days: dict[date, dict[str, Totals]] = {}
    for (day, variant), of in await queries.sums(connection, org_id, campaign_id, query, ["day", "variant"]):
        days.setdefault(day, {})[variant] = of
    return days


async def currency(connection: Connection, org_id: str, campaign_id: UUID) -> str | None:
    """Of the campaign's money, None where it is not said; raises NotFound."""
    return await queries.currency(connection, org_id, campaign_id)


async def span(connection: Connection, org_id: str, campaign_id: UUID, query: Slice) -> Span:
    return await queries.span(connection, org_id, campaign_id, query)


async def covered(connection: Connection, org_id: str, campaign_id: UUID, query: Slice) -> Span:
    """From the first to the last day with data; raises InvalidPayload when that is too long to look at day by day."""
    found = await queries.span(connection, org_id, campaign_id, query)
    if found.first is not None and found.last is not None and (found.last - found.first).days >= MAX_DAYS:
        raise InvalidPayload.of(
            "date_from", f"the data cover more than {MAX_DAYS} days: ask for fewer", "too_many_days"
        )
    return found


def _columns(rows: Sequence[MetricRow]) -> list[list[Any]]:
    names = ("date", "channel", "variant", "impressions", "clicks", "conversions")
    columns = [[getattr(row, name) for row in rows] for name in names]
    return [*columns, [micros(row.cost) for row in rows], [micros(row.revenue) for row in rows]]


def _value(of: Totals | None, query: SeriesQuery) -> float | str | None:
    return None if of is None else shown(query.metric, exact(of, query.metric))


def _buckets(limits: Span, interval: Interval) -> Any:
    """The first day of each interval that has one of the days."""
    if limits.first is None or limits.last is None:
        return
    day = limits.first
    if interval == "week":
        day -= timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    while day <= limits.last:
        yield day
        day = _next(day, interval)


def _next(day: date, interval: Interval) -> date:
    if interval == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if interval == "week" else 1)
