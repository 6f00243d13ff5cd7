"""SELECTs of campaigns; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.brands import sql as brands
from tandem.market_ai.campaigns.schemas import Brief, CampaignFilter
from tandem.market_ai.campaigns.sql import COLUMNS, JSON


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("c.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, c.version FROM campaigns c {owned('c.id = $2')}"
LOCKED = f"SELECT c.version, c.name, c.status, c.starts_at, c.ends_at FROM campaigns c {owned('c.id = $2')}"
FOR_CHANGE = f"{LOCKED} FOR NO KEY UPDATE"
FOR_DELETION = f"{LOCKED} FOR UPDATE"
# Held by whoever adds something to the campaign, so that it is neither moved nor deleted meanwhile.
FOR_ADDITION = f"SELECT c.status FROM campaigns c {owned('c.id = $2')} FOR SHARE"
BRIEF = f"""
SELECT json_build_object(
         'campaign', (SELECT row_to_json(r) FROM (SELECT {COLUMNS}) r),
         'brand', (SELECT row_to_json(r) FROM (SELECT {brands.COLUMNS} FROM brands b
                    WHERE b.org_id = c.org_id AND b.id = c.brand_id) r))::text
  FROM campaigns c {owned("c.id = $2")}"""
SORTS = {
    "created_at": "c.created_at, c.id",
    "-created_at": "c.created_at DESC, c.id DESC",
    "name": "lower(c.name), c.id",
    "-name": "lower(c.name) DESC, c.id DESC",
    "starts_at": "c.starts_at, c.id",
    "-starts_at": "c.starts_at DESC NULLS LAST, c.id DESC",
}


async def list_campaigns(connection: Connection, org_id: str, query: CampaignFilter) -> Page:
    arg = Args([org_id])
    where = owned(*_conditions(query, arg))
    limit, offset = arg(query.limit), arg((query.page - 1) * query.limit)
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM campaigns c {where} ORDER BY {SORTS[query.sort]} LIMIT {limit} OFFSET {offset}) q
       ) AS items, (SELECT count(*) FROM campaigns c {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


def _conditions(query: CampaignFilter, arg: Args) -> list[str]:
    found = []
    if query.status:
        found.append(f"c.status = ANY({arg(query.status)}::text[])")
    if query.type:
        found.append(f"c.type = ANY({arg(query.type)}::text[])")
    if query.brand_id is not None:
        found.append(f"c.brand_id = {arg(query.brand_id)}")
    if query.q is not None:
        found.append(f"strpos(lower(c.name), lower({arg(query.q)})) > 0")
    return found


async def get_campaign(connection: Connection, org_id: str, campaign_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, campaign_id)
    if row is None:
        raise NotFound("You have no campaign with this id")
    return row


async def read_brief(connection: Connection, org_id: str, campaign_id: UUID) -> Brief:
    """Raises NotFound."""
    found = await connection.fetchval(BRIEF, org_id, campaign_id)
    if found is None:
        raise NotFound("You have no campaign with this id")
    return Brief.of(found)
