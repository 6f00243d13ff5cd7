"""SELECTs of brands; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.brands.schemas import BrandFilter
from tandem.market_ai.brands.sql import COLUMNS, JSON


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("b.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, b.version FROM brands b {owned('b.id = $2')}"
FOR_UPDATE = f"SELECT b.version, b.name FROM brands b {owned('b.id = $2')} FOR UPDATE"
# Held by whoever refers to the brand, so that it is not deleted meanwhile.
FOR_REFERENCE = f"SELECT true FROM brands b {owned('b.id = $2')} FOR KEY SHARE"
_NAMED = "($4::text IS NULL OR strpos(lower(b.name), lower($4)) > 0)"
PAGE = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM brands b {owned(_NAMED)} ORDER BY lower(b.name), b.id LIMIT $2 OFFSET $3) q) AS items,
       (SELECT count(*) FROM brands b {owned(_NAMED)}) AS total"""


async def list_brands(connection: Connection, org_id: str, query: BrandFilter) -> Page:
    row = await fetch_one(connection, PAGE, org_id, query.limit, (query.page - 1) * query.limit, query.q)
    return Page(row["items"], row["total"])


async def get_brand(connection: Connection, org_id: str, brand_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, brand_id)
    if row is None:
        raise NotFound("You have no brand with this id")
    return row
