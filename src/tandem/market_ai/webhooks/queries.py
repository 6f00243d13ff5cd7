"""SELECTs of webhooks; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import InvalidCursor, Page, decode_cursor, encode_cursor
from tandem.market_ai.webhooks.schemas import DeliverWebhook, DeliveryFilter, WebhookFilter
from tandem.market_ai.webhooks.sql import COLUMNS, DELIVERY, DELIVERY_JSON, JSON, MESSAGE_ID

_SORT = "-id"


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("e.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, e.version FROM webhook_endpoints e {owned('e.id = $2')}"
LOCKED = f"SELECT e.version, e.url, e.enabled FROM webhook_endpoints e {owned('e.id = $2')}"
FOR_CHANGE = f"{LOCKED} FOR NO KEY UPDATE"
FOR_DELETION = f"{LOCKED} FOR UPDATE"
FOR_REFERENCE = f"{LOCKED} FOR KEY SHARE"
PAGE = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM webhook_endpoints e {owned()} ORDER BY e.id DESC LIMIT $2 OFFSET $3) q) AS items,
       (SELECT count(*) FROM webhook_endpoints e {owned()}) AS total"""
_DELIVERIES = """webhook_deliveries d JOIN webhook_messages m ON m.org_id = d.org_id AND m.id = d.message_id
 WHERE d.org_id = $1 AND d.endpoint_id = $2"""
ONE_DELIVERY = f"SELECT {DELIVERY_JSON} FROM {_DELIVERIES} AND d.id = $3"
# Nothing when the attempt was made already, or the delivery has ended or is gone.
_DUE = f"""
SELECT e.id AS endpoint_id, e.url, e.enabled, e.secret, m.type, m.body::text AS body, {MESSAGE_ID} AS message_id,
       CASE WHEN e.previous_secret_until > now() THEN e.previous_secret END AS previous_secret, d.failures,
       e.resting_until - now() AS rest, now() - d.created_at AS age
  FROM webhook_deliveries d
  JOIN webhook_messages m ON m.org_id = d.org_id AND m.id = d.message_id
  JOIN webhook_endpoints e ON e.org_id = d.org_id AND e.id = d.endpoint_id
 WHERE d.org_id = $1 AND d.id = $2 AND d.attempts = $3 - 1 AND d.status = 'pending'"""


async def list_webhooks(connection: Connection, org_id: str, query: WebhookFilter) -> Page:
    row = await fetch_one(connection, PAGE, org_id, query.limit, (query.page - 1) * query.limit)
    return Page(row["items"], row["total"])


async def get_webhook(connection: Connection, org_id: str, webhook_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, webhook_id)
    if row is None:
        raise no_webhook()
    return row


async def list_deliveries(connection: Connection, org_id: str, webhook_id: UUID, query: DeliveryFilter) -> Page:
    """The latest first; raises NotFound for a webhook that is not theirs."""
    await get_webhook(connection, org_id, webhook_id)
    arg, matching = Args([org_id, webhook_id]), _DELIVERIES
    if query.status:
        matching += f" AND d.status = ANY({arg(query.status)}::text[])"
    if query.type is not None:
        matching += f" AND m.type = {arg(query.type)}"
    total = "NULL::bigint"
    if query.cursor is None:
        total = f"(SELECT count(*) FROM {matching})"
        place = f"OFFSET {arg((query.page - 1) * query.limit)}"
    else:
        place = ""
        if query.cursor:
            matching += f" AND d.id < {arg(_after(query.cursor))}"
    sql = f"""
    WITH q AS (SELECT {DELIVERY} FROM {matching} ORDER BY d.id DESC LIMIT {arg(query.limit + 1)} {place}),
         page AS (SELECT * FROM q ORDER BY id DESC LIMIT {arg(query.limit)})
    SELECT (SELECT coalesce(json_agg(page), '[]')::text FROM page) AS items, {total} AS total,
           (SELECT count(*) FROM q) > {arg(query.limit)} AS more, (SELECT min(id::text) FROM page) AS last"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"], encode_cursor(_SORT, row["last"]) if row["more"] else None)


async def get_delivery(connection: Connection, org_id: str, webhook_id: UUID, delivery_id: UUID) -> str:
    """As JSON, with payload and attempts; raises NotFound."""
    found: str | None = await connection.fetchval(ONE_DELIVERY, org_id, webhook_id, delivery_id)
    if found is None:
        raise NotFound("This webhook has no delivery with this id")
    return found


async def find_due(connection: Connection, order: DeliverWebhook) -> Any:
    """What the attempt needs, or None when it is not to be made."""
    return await connection.fetchrow(_DUE, order.org_id, order.delivery_id, order.attempt)


def no_webhook() -> NotFound:
    return NotFound("You have no webhook with this id")


def _after(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, _SORT, 1)[0])
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursor() from None
