"""SELECTs of the audit trail, newest first; $1 is the organization."""

from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.paging import InvalidCursor, Page, decode_cursor, encode_cursor
from tandem.market_ai.audit.schemas import AuditFilter

_SORT = "-id"
_COLUMNS = "a.id, a.at, a.user_id, a.actor, a.action, a.object_type, a.object_id, a.details"


async def list_events(connection: Connection, org_id: str, query: AuditFilter) -> Page:
    arg = Args([org_id])
    where = ["a.org_id = $1"]
    for column in ("action", "object_type", "object_id", "user_id"):
        if (value := getattr(query, column)) is not None:
            where.append(f"a.{column} = {arg(value)}")
    matching = " AND ".join(where)
    total = "NULL::bigint"
    if query.cursor is None:
        total = f"(SELECT count(*) FROM audit_events a WHERE {matching})"
        place = f"OFFSET {arg((query.page - 1) * query.limit)}"
    else:
        place = ""
        if query.cursor:
            matching += f" AND a.id < {arg(_after(query.cursor))}"
    sql = f"""
    WITH q AS (SELECT {_COLUMNS} FROM audit_events a WHERE {matching}
                ORDER BY a.id DESC LIMIT {arg(query.limit + 1)} {place}),
         page AS (SELECT * FROM q ORDER BY id DESC LIMIT {arg(query.limit)})
    SELECT (SELECT coalesce(json_agg(page), '[]')::text FROM page) AS items, {total} AS total,
           (SELECT count(*) FROM q) > {arg(query.limit)} AS more, (SELECT min(id::text) FROM page) AS last"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"], encode_cursor(_SORT, row["last"]) if row["more"] else None)


def _after(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, _SORT, 1)[0])
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursor() from None
