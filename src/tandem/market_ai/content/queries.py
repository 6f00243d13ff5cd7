"""SELECTs of content; $1 is its organization, $2 the asset where there is one."""

from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page, PageQuery
from tandem.market_ai.content.schemas import CampaignContentFilter, ContentFilter, Inventory
from tandem.market_ai.content.sql import COLUMNS, JSON, REVIEW_COLUMNS, VERSION_COLUMNS, VERSION_JSON


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("a.org_id = $1", *conditions))


_ASSET = owned("a.id = $2")
ONE = f"SELECT {JSON} AS json, a.version FROM content_assets a {_ASSET}"
FOR_CHANGE = f"""
SELECT a.version, a.title, a.kind, a.status, a.current_version, a.approved_version, a.campaign_id,
       (SELECT c.status FROM campaigns c WHERE c.org_id = a.org_id AND c.id = a.campaign_id) AS campaign_status
  FROM content_assets a {_ASSET} FOR NO KEY UPDATE OF a"""
FOR_DELETION = f"SELECT a.version, a.title, a.kind, a.status, a.campaign_id FROM content_assets a {_ASSET} FOR UPDATE"
VERSION = f"""
SELECT {VERSION_JSON} AS json FROM content_versions v WHERE v.org_id = $1 AND v.asset_id = $2 AND v.number = $3"""
GENERATED = f"SELECT a.id FROM content_assets a {owned('a.job_id = $2')} ORDER BY a.variant"
COPY = f"""
SELECT a.title, a.kind, a.status, v.number, v.headline, v.body, v.call_to_action, v.channel::text
  FROM content_assets a JOIN content_versions v
    ON v.org_id = a.org_id AND v.asset_id = a.id AND v.number = a.current_version
 {owned("a.campaign_id = $2", "a.id = $3")}"""
INVENTORY = f"""
SELECT a.kind, a.status, count(*) AS assets FROM content_assets a {owned("a.campaign_id = $2")}
 GROUP BY a.kind, a.status ORDER BY a.kind, a.status"""
SORTS = {
    "created_at": "a.created_at, a.id",
    "-created_at": "a.created_at DESC, a.id DESC",
    "updated_at": "a.updated_at, a.id",
    "-updated_at": "a.updated_at DESC, a.id DESC",
    "title": "lower(a.title), a.id",
    "-title": "lower(a.title) DESC, a.id DESC",
}


async def list_content(connection: Connection, org_id: str, query: ContentFilter) -> Page:
    arg = Args([org_id])
    conditions = [
        f"a.{column} = {arg(value)}"
        for column in ("campaign_id", "job_id")
        if (value := getattr(query, column)) is not None
    ]
    return await _page(connection, query, conditions, arg)


async def list_of_campaign(
    connection: Connection, org_id: str, campaign_id: UUID, query: CampaignContentFilter
) -> Page:
    """Raises NotFound for a campaign of somebody else."""
    page = await _page(connection, query, ["a.campaign_id = $2"], Args([org_id, campaign_id]))
    if not page.total:
        await _require(connection, "campaigns", "campaign", org_id, campaign_id)
    return page


async def list_versions(connection: Connection, org_id: str, asset_id: UUID, query: PageQuery) -> Page:
    rows = "content_versions v WHERE v.org_id = $1 AND v.asset_id = $2"
    return await _of_asset(
        connection, org_id, asset_id, query, columns=VERSION_COLUMNS, rows=rows, order="v.number DESC"
    )


async def list_reviews(connection: Connection, org_id: str, asset_id: UUID, query: PageQuery) -> Page:
    rows = "content_reviews w WHERE w.org_id = $1 AND w.asset_id = $2"
    return await _of_asset(connection, org_id, asset_id, query, columns=REVIEW_COLUMNS, rows=rows, order="w.id DESC")


async def get_asset(connection: Connection, org_id: str, asset_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, asset_id)
    if row is None:
        raise NotFound("You have no content with this id")
    return row


async def get_version(connection: Connection, org_id: str, asset_id: UUID, number: int) -> str:
    """As JSON; raises NotFound."""
    found: str | None = await connection.fetchval(VERSION, org_id, asset_id, number)
    if found is None:
        raise NotFound("You have no version of content with this id and number")
    return found


async def inventory(connection: Connection, org_id: str, campaign_id: UUID) -> list[Inventory]:
    rows = await connection.fetch(INVENTORY, org_id, campaign_id)
    return [Inventory(kind=row["kind"], status=row["status"], assets=row["assets"]) for row in rows]


async def _page(connection: Connection, query: CampaignContentFilter, conditions: list[str], arg: Args) -> Page:
    for column in ("kind", "status"):
        if wanted := getattr(query, column):
            conditions.append(f"a.{column} = ANY({arg(wanted)}::text[])")
    where = owned(*conditions)
    limit, offset = arg(query.limit), arg((query.page - 1) * query.limit)
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM content_assets a {where} ORDER BY {SORTS[query.sort]} LIMIT {limit} OFFSET {offset}) q
       ) AS items, (SELECT count(*) FROM content_assets a {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


async def _of_asset(
    connection: Connection, org_id: str, asset_id: UUID, query: PageQuery, *, columns: str, rows: str, order: str
) -> Page:
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {columns} FROM {rows} ORDER BY {order} LIMIT $3 OFFSET $4) q) AS items,
       (SELECT count(*) FROM {rows}) AS total"""
    row = await fetch_one(connection, sql, org_id, asset_id, query.limit, (query.page - 1) * query.limit)
    if not row["total"]:
        await _require(connection, "content_assets", "content", org_id, asset_id)
    return Page(row["items"], row["total"])


async def _require(connection: Connection, table: str, thing: str, org_id: str, row_id: UUID) -> None:
    if not await connection.fetchval(f"SELECT true FROM {table} WHERE org_id = $1 AND id = $2", org_id, row_id):
        raise NotFound(f"You have no {thing} with this id")
