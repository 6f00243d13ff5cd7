"""SELECTs of leads; $1 is their organization."""

from typing import Any
from uuid import UUID

from asyncpg import DataError

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import InvalidCursor, Page, PageQuery, decode_cursor, encode_cursor
from tandem.market_ai.leads.schemas import LeadFilter, TagFilter
from tandem.market_ai.leads.sql import COLUMNS, JSON, SUPPRESSED, compile_filter

NOT_FOUND = "You have no lead with this id"


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("l.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, l.version FROM leads l {owned('l.id = $2')}"
FOR_UPDATE = f"""
SELECT l.version, l.email_key, l.consent, l.attributes::text AS attributes, l.erased_at FROM leads l
{owned("l.id = $2")} FOR NO KEY UPDATE"""
BY_KEY = f"SELECT l.id FROM leads l {owned('l.email_key = $2')}"
_CONSENTS = f"""
SELECT EXISTS (SELECT FROM leads l {owned("l.id = $2")}) AS found,
       (SELECT count(*) FROM lead_consents c WHERE c.org_id = $1 AND c.lead_id = $2) AS total,
       (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT c.id, c.status, c.source, c.proof, c.at, c.actor, c.recorded_at FROM lead_consents c
           WHERE c.org_id = $1 AND c.lead_id = $2
           ORDER BY c.recorded_at DESC, c.id DESC LIMIT $3 OFFSET $4) q) AS items"""
_TAGS = f"""
WITH t AS (SELECT tag, count(*) AS leads FROM leads l, unnest(l.tags) tag
            {owned("($4::text IS NULL OR starts_with(tag, lower($4)))")} GROUP BY tag)
SELECT (SELECT count(*) FROM t) AS total,
       (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT tag, leads FROM t ORDER BY leads DESC, tag LIMIT $2 OFFSET $3) q) AS items"""
# What orders a list, and the type its text is cast back to; the id breaks ties.
_SORTS = {
    "created_at": ("l.created_at", "timestamptz"),
    "updated_at": ("l.updated_at", "timestamptz"),
    "email": ("coalesce(l.email_key, '')", "text"),
    "name": ("coalesce(lower(l.name), '')", "text"),
}


async def list_leads(connection: Connection, org_id: str, query: LeadFilter, *, also: str | None = None) -> Page:
    """One page in one statement; `also` is a filter beside the query's own. Raises InvalidCursor."""
    arg = Args([org_id])
    where = owned(*_conditions(query, also, arg))
    name = query.sort.removeprefix("-")
    expression, kind = _SORTS[name]
    descending = query.sort.startswith("-")
    total, offset = "NULL::bigint", ""
    limit = arg(query.limit)
    if query.cursor is None:
        total = f"(SELECT count(*) FROM leads l {where})"
        offset = f"OFFSET {arg((query.page - 1) * query.limit)}"
    elif query.cursor:
        values = decode_cursor(query.cursor, query.sort, 2)
        if not all(isinstance(value, str) for value in values):
            raise InvalidCursor()
        place = f"({arg(values[0])}::text::{kind}, {arg(values[1])}::text::uuid)"
        where += f" AND ({expression}, l.id) {'<' if descending else '>'} {place}"
    direction = "DESC" if descending else "ASC"
    sql = f"""
SELECT coalesce(json_agg(p.item) FILTER (WHERE p.n <= {limit}), '[]')::text AS items,
       max(p.keys) FILTER (WHERE p.n = {limit}) AS last, count(*) > {limit} AS more, {total} AS total
  FROM (SELECT row_to_json((SELECT r FROM (SELECT {COLUMNS}) r)) AS item,
               ARRAY[({expression})::text, l.id::text] AS keys, row_number() OVER () AS n
          FROM (SELECT * FROM leads l {where} ORDER BY {expression} {direction}, l.id {direction}
                 LIMIT {limit} + 1 {offset}) l) p"""
    try:
        row = await fetch_one(connection, sql, *arg)
    except DataError:
        if not query.cursor:
            raise
        raise InvalidCursor() from None  # its values come from outside, and Postgres casts them
    last = encode_cursor(query.sort, *row["last"]) if row["more"] else None
    return Page(row["items"], row["total"], last)


def _conditions(query: LeadFilter, also: str | None, arg: Args) -> list[str]:
    found = [f"l.erased_at IS {'NOT ' if query.erased else ''}NULL"]
    if query.q is not None:
        part = f"lower({arg(query.q)})"
        found.append(f"(strpos(l.email_key, {part}) > 0 OR strpos(lower(l.name), {part}) > 0)")
    if query.tag:
        found.append(f"l.tags && {arg(query.tag)}::text[]")
    if query.consent:
        found.append(f"l.consent = ANY({arg(query.consent)}::text[])")
    if query.suppressed is not None:
        found.append(f"{'' if query.suppressed else 'NOT '}{SUPPRESSED}")
    found += [compile_filter(text, arg)[0] for text in (query.filter, also) if text is not None]
    return found


async def get_lead(connection: Connection, org_id: str, lead_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, lead_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    return row


async def list_consents(connection: Connection, org_id: str, lead_id: UUID, query: PageQuery) -> Page:
    """The latest first; raises NotFound."""
    row = await fetch_one(connection, _CONSENTS, org_id, lead_id, query.limit, (query.page - 1) * query.limit)
    if not row["found"]:
        raise NotFound(NOT_FOUND)
    return Page(row["items"], row["total"])


async def list_tags(connection: Connection, org_id: str, query: TagFilter) -> Page:
    row = await fetch_one(connection, _TAGS, org_id, query.limit, (query.page - 1) * query.limit, query.q)
    return Page(row["items"], row["total"])
