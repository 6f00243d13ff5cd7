"""SELECTs of sends and deliveries; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import InvalidCursor, Page, decode_cursor, encode_cursor
from tandem.market_ai.sending.schemas import DeliveryFilter, SendFilter
from tandem.market_ai.sending.sql import COLUMNS, DELIVERY, EVENTS, JSON

_SORT = "-id"
ONE = f"SELECT {JSON} AS json, s.version FROM sends s WHERE s.org_id = $1 AND s.id = $2"
FOR_CHANGE = """
SELECT s.version, s.status, s.campaign_id, s.starts_at, s.starts_at > now() AS early
  FROM sends s WHERE s.org_id = $1 AND s.id = $2 FOR NO KEY UPDATE"""
DELIVERY_FOR_CHANGE = """
SELECT d.state, d.send_id, d.campaign_id, d.email_key FROM deliveries d WHERE d.org_id = $1 AND d.id = $2
   FOR NO KEY UPDATE"""
ONE_DELIVERY = f"""
SELECT row_to_json((SELECT r FROM (
         SELECT {DELIVERY}, format('<%s.mail@%s>', d.id, $3::text) AS message_id, {EVENTS}) r))::text
  FROM deliveries d WHERE d.org_id = $1 AND d.id = $2"""
LEAD = """
SELECT row_to_json((SELECT r FROM (SELECT l.email, l.name, l.attributes, l.tags, l.locale, l.timezone) r))::text
  FROM leads l WHERE l.org_id = $1 AND l.id = $2 AND l.erased_at IS NULL"""


async def list_sends(connection: Connection, org_id: str, query: SendFilter) -> Page:
    arg, wanted = Args([org_id]), ["s.org_id = $1"]
    if query.campaign_id is not None:
        wanted.append(f"s.campaign_id = {arg(query.campaign_id)}")
    if query.status:
        wanted.append(f"s.status = ANY({arg(query.status)}::text[])")
    where = " AND ".join(wanted)
    limit, offset = arg(query.limit), arg((query.page - 1) * query.limit)
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM sends s WHERE {where} ORDER BY s.id DESC LIMIT {limit} OFFSET {offset}) q) AS items,
       (SELECT count(*) FROM sends s WHERE {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


async def get_send(connection: Connection, org_id: str, send_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, send_id)
    if row is None:
        raise NotFound("You have no send with this id")
    return row


async def list_deliveries(connection: Connection, org_id: str, query: DeliveryFilter) -> Page:
    arg, wanted = Args([org_id]), ["d.org_id = $1"]
    for column in ("send_id", "campaign_id", "lead_id"):
        if (value := getattr(query, column)) is not None:
            wanted.append(f"d.{column} = {arg(value)}")
    if query.state:
        wanted.append(f"d.state = ANY({arg(query.state)}::text[])")
    matching, total, place = " AND ".join(wanted), "NULL::bigint", ""
    if query.cursor is None:
        total = f"(SELECT count(*) FROM deliveries d WHERE {matching})"
        place = f"OFFSET {arg((query.page - 1) * query.limit)}"
    elif query.cursor:
        matching += f" AND d.id < {arg(_after(query.cursor))}"
    sql = f"""
    WITH q AS (SELECT {DELIVERY} FROM deliveries d WHERE {matching}
                ORDER BY d.id DESC LIMIT {arg(query.limit + 1)} {place}),
         page AS (SELECT * FROM q ORDER BY id DESC LIMIT {arg(query.limit)})
    SELECT (SELECT coalesce(json_agg(page), '[]')::text FROM page) AS items, {total} AS total,
           (SELECT count(*) FROM q) > {arg(query.limit)} AS more, (SELECT min(id::text) FROM page) AS last"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"], encode_cursor(_SORT, row["last"]) if row["more"] else None)


async def get_delivery(connection: Connection, org_id: str, delivery_id: UUID, domain: str) -> str:
    """As JSON, its Message-ID in `domain`; raises NotFound."""
    found: str | None = await connection.fetchval(ONE_DELIVERY, org_id, delivery_id, domain)
    if found is None:
        raise NotFound("You have no delivery with this id")
    return found


async def get_lead(connection: Connection, org_id: str, lead_id: UUID) -> str:
    """Its merge fields, as JSON; raises NotFound."""
    found: str | None = await connection.fetchval(LEAD, org_id, lead_id)
    if found is None:
        raise NotFound("You have no lead with this id")
    return found


def _after(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, _SORT, 1)[0])
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursor() from None
