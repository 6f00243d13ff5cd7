"""SELECTs of imports; $1 is their organization, $2 their kind."""

from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.imports.schemas import ImportFilter, Kind
from tandem.market_ai.imports.sql import COLUMNS, FROM, JSON, STATUS

NOT_FOUND = "You have no import with this id"


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("i.org_id = $1", "i.kind = $2", *conditions))


ONE = (
    f"SELECT {JSON} AS json, {STATUS} AS status, coalesce(j.events, 0) AS events, i.header {FROM} {owned('i.id = $3')}"
)
FOR_UPDATE = f"SELECT {STATUS} AS status {FROM} {owned('i.id = $3')} FOR UPDATE OF i"


async def list_imports(connection: Connection, org_id: str, kind: Kind, query: ImportFilter) -> Page:
    """The latest first."""
    arg = Args([org_id, kind])
    where = owned(*([f"{STATUS} = ANY({arg(query.status)}::text[])"] if query.status else []))
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} {FROM} {where} ORDER BY i.id DESC
           LIMIT {arg(query.limit)} OFFSET {arg((query.page - 1) * query.limit)}) q) AS items,
       (SELECT count(*) {FROM} {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


async def get_import(connection: Connection, org_id: str, kind: Kind, import_id: UUID) -> Any:
    """A record of `json`, `status`, `events` and `header`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, kind, import_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    return row
