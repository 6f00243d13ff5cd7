"""SELECTs of segments; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.segments.schemas import SegmentFilter
from tandem.market_ai.segments.sql import COLUMNS, JSON

NOT_FOUND = "You have no segment with this id"


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("g.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, g.version, g.filter FROM segments g {owned('g.id = $2')}"
FOR_UPDATE = f"SELECT g.version, g.name FROM segments g {owned('g.id = $2')} FOR UPDATE"
TOTAL = f"SELECT count(*) FROM segments g {owned()}"
_NAMED = "($4::text IS NULL OR strpos(lower(g.name), lower($4)) > 0)"
PAGE = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM segments g {owned(_NAMED)} ORDER BY lower(g.name), g.id LIMIT $2 OFFSET $3) q) AS items,
       (SELECT count(*) FROM segments g {owned(_NAMED)}) AS total"""


async def list_segments(connection: Connection, org_id: str, query: SegmentFilter) -> Page:
    row = await fetch_one(connection, PAGE, org_id, query.limit, (query.page - 1) * query.limit, query.q)
    return Page(row["items"], row["total"])


async def get_segment(connection: Connection, org_id: str, segment_id: UUID) -> Any:
    """A record of `json`, `version` and `filter`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, segment_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    return row
