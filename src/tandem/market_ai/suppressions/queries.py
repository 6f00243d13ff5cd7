"""SELECTs of suppressions; $1 is their organization."""

from typing import Any
from uuid import UUID

from asyncpg import DataError

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import InvalidCursor, Page, decode_cursor, encode_cursor
from tandem.market_ai.email_address import normalise_email
from tandem.market_ai.suppressions.schemas import SuppressionFilter
from tandem.market_ai.suppressions.sql import COLUMNS, JSON

_SORT = "-created_at"


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("s.org_id = $1", *conditions))


ONE = f"SELECT {JSON} FROM suppressions s {owned('s.id = $2')}"


def of_address(key: str) -> str:
    """The condition for the suppression of an address, which may be one that must be forgotten."""
    digest = f"SELECT suppression_digest(k.key, {key}) FROM suppression_keys k WHERE k.org_id = $1"
    return f"s.email_key IN ({key}, coalesce(({digest}), {key}))"


async def list_suppressions(connection: Connection, org_id: str, query: SuppressionFilter) -> Page:
    """The latest first; raises InvalidCursor."""
    arg = Args([org_id])
    where = owned(*_conditions(query, arg))
    limit = arg(query.limit)
    total, offset = "NULL::bigint", ""
    if query.cursor is None:
        total = f"(SELECT count(*) FROM suppressions s {where})"
        offset = f"OFFSET {arg((query.page - 1) * query.limit)}"
    elif query.cursor:
        values = decode_cursor(query.cursor, _SORT, 2)
        if not all(isinstance(value, str) for value in values):
            raise InvalidCursor()
        where += f" AND (s.created_at, s.id) < ({arg(values[0])}::text::timestamptz, {arg(values[1])}::text::uuid)"
    sql = f"""
SELECT coalesce(json_agg(p.item) FILTER (WHERE p.n <= {limit}), '[]')::text AS items,
       max(p.keys) FILTER (WHERE p.n = {limit}) AS last, count(*) > {limit} AS more, {total} AS total
  FROM (SELECT row_to_json((SELECT r FROM (SELECT {COLUMNS}) r)) AS item,
               ARRAY[s.created_at::text, s.id::text] AS keys, row_number() OVER () AS n
          FROM (SELECT * FROM suppressions s {where} ORDER BY s.created_at DESC, s.id DESC
                 LIMIT {limit} + 1 {offset}) s) p"""
    try:
        row = await fetch_one(connection, sql, *arg)
    except DataError:
        if not query.cursor:
            raise
        raise InvalidCursor() from None  # its values come from outside, and Postgres casts them
    return Page(row["items"], row["total"], encode_cursor(_SORT, *row["last"]) if row["more"] else None)


def _conditions(query: SuppressionFilter, arg: Args) -> list[str]:
    found = []
    if query.reason:
        found.append(f"s.reason = ANY({arg(query.reason)}::text[])")
    if query.email is not None:
        found.append(of_address(f"{arg(normalise_email(query.email))}::text"))
    if query.q is not None:
        found.append(f"NOT starts_with(s.email_key, 'sha256:') AND strpos(s.email_key, lower({arg(query.q)})) > 0")
    return found


async def get_suppression(connection: Connection, org_id: str, suppression_id: UUID) -> Any:
    """As JSON; raises NotFound."""
    found = await connection.fetchval(ONE, org_id, suppression_id)
    if found is None:
        raise NotFound("You have no suppression with this id")
    return found
