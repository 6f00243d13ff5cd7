"""SELECTs of labels; $1 is their owner."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page, PageQuery
from tandem.momentum.labels.sql import COLUMNS, JSON


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("l.user_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, l.version FROM labels l {owned('l.id = $2')}"
FOR_UPDATE = f"SELECT l.version FROM momentum_begin_write($1, $3) w, labels l {owned('l.id = $2')} FOR UPDATE OF l"
PAGE = f"""
SELECT (SELECT coalesce(json_agg(p), '[]')::text FROM (
          SELECT {COLUMNS} FROM labels l {owned()} ORDER BY lower(l.name), l.id LIMIT $2 OFFSET $3) p) AS items,
       (SELECT count(*) FROM labels l {owned()}) AS total"""
MISSING = f"SELECT array_agg(i) FROM unnest($2::uuid[]) i WHERE NOT EXISTS (SELECT FROM labels l {owned('l.id = i')})"


async def list_labels(connection: Connection, user_id: str, query: PageQuery) -> Page:
    row = await fetch_one(connection, PAGE, user_id, query.limit, (query.page - 1) * query.limit)
    return Page(row["items"], row["total"])


async def get_label(connection: Connection, user_id: str, label_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, user_id, label_id)
    if row is None:
        raise NotFound("You have no label with this id")
    return row
