"""SELECTs of metrics; $1 is their organization, $2 the campaign."""

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.figures import Counted
from tandem.market_ai.metrics.schemas import Grouping, Interval, MetricsFilter, Slice
from tandem.market_ai.metrics.sql import COLUMNS
from tandem.market_ai.statistics.kpi import Totals

_CURRENCY = "SELECT c.budget_currency FROM campaigns c WHERE c.org_id = $1 AND c.id = $2"
_SUMS = ", ".join(
    f"coalesce(sum(m.{name}), 0) AS {name}"
    for name in ("impressions", "clicks", "conversions", "cost_micros", "revenue_micros")
)
_KEYS: dict[Grouping, str] = {"day": "m.date", "channel": "m.channel", "variant": "m.variant"}
_BUCKETS: dict[Interval, str] = {
    "day": "m.date",
    "week": "date_trunc('week', m.date)::date",
    "month": "date_trunc('month', m.date)::date",
}


class Group(NamedTuple):
    """`key` has a value for each column that was grouped by; days are dates."""

    key: tuple[Any, ...]
    totals: Totals


class Span(NamedTuple):
    """The first and the last day with data, None for no data."""

    first: date | None
    last: date | None


def owned(query: Slice, arg: Args) -> str:
    """`arg` has the organization and the campaign already."""
    conditions = ["m.org_id = $1", "m.campaign_id = $2"]
    if query.date_from is not None:
        conditions.append(f"m.date >= {arg(query.date_from)}")
    if query.date_to is not None:
        conditions.append(f"m.date <= {arg(query.date_to)}")
    if query.channel:
        conditions.append(f"m.channel = ANY({arg(query.channel)}::text[])")
    if query.variant:
        conditions.append(f"m.variant = ANY({arg(query.variant)}::text[])")
    return "WHERE " + " AND ".join(conditions)


async def currency(connection: Connection, org_id: str, campaign_id: UUID) -> str | None:
    """Of the campaign's money, None where it is not said; raises NotFound."""
    row = await connection.fetchrow(_CURRENCY, org_id, campaign_id)
    if row is None:
        raise NotFound("You have no campaign with this id")
    found: str | None = row["budget_currency"]
    return found


async def list_metrics(connection: Connection, org_id: str, campaign_id: UUID, query: MetricsFilter) -> Page:
    """Raises NotFound for a campaign of somebody else."""
    arg = Args([org_id, campaign_id])
    where = owned(query, arg)
    limit, offset = arg(query.limit), arg((query.page - 1) * query.limit)
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM campaign_metrics m {where} ORDER BY m.date DESC, m.channel, m.variant
           LIMIT {limit} OFFSET {offset}) q) AS items,
       (SELECT count(*) FROM campaign_metrics m {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    if not row["total"]:
        await currency(connection, org_id, campaign_id)
    return Page(row["items"], row["total"])


async def span(connection: Connection, org_id: str, campaign_id: UUID, query: Slice) -> Span:
    arg = Args([org_id, campaign_id])
    sql = f"SELECT min(m.date) AS first, max(m.date) AS last FROM campaign_metrics m {owned(query, arg)}"
    row = await fetch_one(connection, sql, *arg)
    return Span(row["first"], row["last"])


async def sums(
    connection: Connection,
    org_id: str,
    campaign_id: UUID,
    query: Slice,
    by: Sequence[Grouping] = (),
    *,
    interval: Interval = "day",
    limit: int | None = None,
) -> list[Group]:
    """In the order of their keys; `interval` is what a `day` comes to. Without `by` one group, zeros for no data."""
    arg = Args([org_id, campaign_id])
    where = owned(query, arg)
    keys = [_BUCKETS[interval] if key == "day" else _KEYS[key] for key in by]
    grouped = f"GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}" if keys else ""
    selected = "".join(f"{key} AS key{at}, " for at, key in enumerate(keys))
    sql = f"SELECT {selected}{_SUMS} FROM campaign_metrics m {where} {grouped} LIMIT {arg(limit)}"
    rows = await connection.fetch(sql, *arg)
    return [Group(tuple(row[f"key{at}"] for at in range(len(keys))), _totals(row)) for row in rows]


async def largest(
    connection: Connection, org_id: str, campaign_id: UUID, query: Slice, by: Grouping, *, column: Counted
) -> tuple[list[str], int]:
    """The keys with the highest sums of `column`, up to twenty, and how many there are; no variant is no key."""
    arg = Args([org_id, campaign_id])
    where = owned(query, arg) + f" AND {_KEYS[by]} <> ''"
    sql = f"""
SELECT {_KEYS[by]} AS key, count(*) OVER () AS total FROM campaign_metrics m {where}
 GROUP BY 1 ORDER BY sum(m.{column}) DESC, 1 LIMIT 20"""
    rows = await connection.fetch(sql, *arg)
    return [row["key"] for row in rows], rows[0]["total"] if rows else 0


def _totals(row: Any) -> Totals:
    """Sums of bigint are numeric in Postgres, so that they cannot overflow."""
    names = ("impressions", "clicks", "conversions", "cost_micros", "revenue_micros")
    return Totals(*(int(row[name]) for name in names))
