"""Telling of events, and what people may do about who is told."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import AnyHttpUrl

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import Conflict, InvalidPayload, NotFound
from tandem.core.ids import uuid7
from tandem.core.jobs import enqueue
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.tenancy import OrgWriter
from tandem.market_ai.webhooks.addresses import Network, literal, may_be
from tandem.market_ai.webhooks.events import TEST
from tandem.market_ai.webhooks.queries import (
    FOR_CHANGE,
    FOR_DELETION,
    FOR_REFERENCE,
    get_delivery,
    no_webhook,
    owned,
)
from tandem.market_ai.webhooks.schemas import DeliverWebhook, WebhookCreate, WebhookPatch
from tandem.market_ai.webhooks.signing import new_secret
from tandem.market_ai.webhooks.sql import JSON, JSON_WITH_SECRET

MAX_WEBHOOKS: Final = 20  # of one organization

_EMIT = "SELECT webhook_emit($1, $2, $3::jsonb)"
# One look whether anybody listens at all spares a hundred thousand looks at who does.
_EMIT_MANY = """
SELECT webhook_emit($1, event, data) FROM unnest($2::text[], $3::jsonb[]) AS e(event, data)
 WHERE EXISTS (SELECT FROM webhook_endpoints w WHERE w.org_id = $1 AND w.enabled)"""
_EMIT_TEST = """
SELECT webhook_emit($1, $3, jsonb_build_object('object_type', 'webhook', 'object_id', $2::uuid), $2::uuid)"""
_DELIVERY_OF = "SELECT id FROM webhook_deliveries WHERE org_id = $1 AND message_id = $2"
_INSERT = f"""
INSERT INTO webhook_endpoints AS e (org_id, id, url, events, description, enabled, disabled_reason, disabled_at, secret)
VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN NOT $6 THEN 'by_hand' END, CASE WHEN NOT $6 THEN now() END, $7)
RETURNING {JSON_WITH_SECRET} AS json, e.version"""
# So that two at once cannot both find room.
_LOCK = "SELECT FROM organizations WHERE id = $1 FOR NO KEY UPDATE"
_ROTATE = f"""
UPDATE webhook_endpoints e SET previous_secret = CASE WHEN $4::interval > '0' THEN e.secret END,
       previous_secret_until = CASE WHEN $4::interval > '0' THEN now() + $4::interval END, secret = $3,
       version = e.version + 1, updated_at = now()
{owned("e.id = $2")} RETURNING {JSON_WITH_SECRET} AS json, e.version"""
# A new series of attempts, which begins now; who waits to make the same attempt later will find it made.
_AGAIN = """
UPDATE webhook_deliveries SET status = 'pending', failures = 0, next_attempt_at = now(), finished_at = NULL
 WHERE org_id = $1 AND endpoint_id = $2 AND id = $3 RETURNING attempts"""


class TooManyWebhooks(Conflict):
    code, title = "too_many_webhooks", f"{MAX_WEBHOOKS} webhooks are the most an organization can have"


class WebhookDisabled(Conflict):
    code, title = "webhook_disabled", "This webhook is disabled: enable it first"


async def emit(connection: Connection, org_id: str, event: str, data: Mapping[str, Any]) -> None:
    """Tell those who want to know, once the caller's transaction commits. `event` is one of events.EVENTS.

    One cheap statement where nobody does. What `audit.service.record` writes of campaigns, content, leads and
    deliveries is told by itself.
    """
    await connection.execute(_EMIT, org_id, event, _written(data))


async def emit_many(connection: Connection, org_id: str, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Any number of (event, data) in one statement."""
    told = [(event, _written(data)) for event, data in events]
    await connection.execute(_EMIT_MANY, org_id, [event for event, _ in told], [data for _, data in told])


async def create_webhook(writer: OrgWriter, data: WebhookCreate, networks: Sequence[Network]) -> Saved:
    """Its JSON shows the secret. Raises InvalidPayload for an address that can never be called, TooManyWebhooks."""
    _check_address(data.url, networks)
    await writer.connection.execute(_LOCK, writer.org_id)
    count = "SELECT count(*) FROM webhook_endpoints WHERE org_id = $1"
    if await writer.connection.fetchval(count, writer.org_id) >= MAX_WEBHOOKS:
        raise TooManyWebhooks()
    webhook_id = uuid7()
    what = (data.url, data.events, data.description, data.enabled, new_secret())
    row = await fetch_one(writer.connection, _INSERT, writer.org_id, webhook_id, *what)
    await record(writer, "webhook.created", "webhook", webhook_id, host=AnyHttpUrl(data.url).host, events=data.events)
    return Saved.of(row, created=True)


async def patch_webhook(
    writer: OrgWriter, webhook_id: UUID, data: WebhookPatch, networks: Sequence[Network], if_match: str | None
) -> Saved:
    """Raises InvalidPayload for an address that can never be called."""
    await _lock(writer, FOR_CHANGE, webhook_id, if_match)
    changes = data.model_dump(exclude_unset=True)
    if "url" in changes:
        _check_address(data.url, networks)
    if changes.get("enabled") is True:
        changes |= dict.fromkeys(("disabled_reason", "disabled_at", "failing_since", "resting_until"))
        changes["consecutive_failures"] = 0
    arg = Args([writer.org_id, webhook_id])
    given = [f"{column} = {arg(value)}" for column, value in changes.items()]
    if changes.get("enabled") is False:  # why it was, if it was already
        given += ["disabled_reason = coalesce(e.disabled_reason, 'by_hand')"]
        given += ["disabled_at = coalesce(e.disabled_at, now())"]
    row = await writer.connection.fetchrow(
        f"""UPDATE webhook_endpoints e SET {", ".join(given)}, version = e.version + 1, updated_at = now()
            {owned("e.id = $2")} RETURNING {JSON} AS json, e.version""",
        *arg,
    )
    await record(writer, "webhook.updated", "webhook", webhook_id, fields=sorted(data.model_fields_set))
    return Saved.of(row)


async def delete_webhook(writer: OrgWriter, webhook_id: UUID, if_match: str | None) -> None:
    """With its deliveries, those under way among them."""
    webhook = await _lock(writer, FOR_DELETION, webhook_id, if_match)
    await writer.connection.execute(f"DELETE FROM webhook_endpoints e {owned('e.id = $2')}", writer.org_id, webhook_id)
    await record(writer, "webhook.deleted", "webhook", webhook_id, host=AnyHttpUrl(webhook["url"]).host)


async def rotate_secret(writer: OrgWriter, webhook_id: UUID, overlap: timedelta, if_match: str | None) -> Saved:
    """Its JSON shows the new secret; the old one signs too for `overlap`, and one before that no more."""
    await _lock(writer, FOR_CHANGE, webhook_id, if_match)
    row = await fetch_one(writer.connection, _ROTATE, writer.org_id, webhook_id, new_secret(), overlap)
    hours = overlap // timedelta(hours=1)
    await record(writer, "webhook.secret_rotated", "webhook", webhook_id, overlap_hours=hours)
    return Saved.of(row)


async def send_test(writer: OrgWriter, webhook_id: UUID) -> str:
    """The delivery as JSON. Raises WebhookDisabled."""
    await _require_enabled(writer, webhook_id)
    message_id = await writer.connection.fetchval(_EMIT_TEST, writer.org_id, webhook_id, TEST)
    delivery_id: UUID = await writer.connection.fetchval(_DELIVERY_OF, writer.org_id, message_id)
    await record(writer, "webhook.tested", "webhook", webhook_id, delivery_id=delivery_id)
    return await get_delivery(writer.connection, writer.org_id, webhook_id, delivery_id)


async def redeliver(writer: OrgWriter, webhook_id: UUID, delivery_id: UUID) -> str:
    """The delivery as JSON: tried at once, and as often as a new one. Raises NotFound, WebhookDisabled."""
    await _require_enabled(writer, webhook_id)
    made = await writer.connection.fetchval(_AGAIN, writer.org_id, webhook_id, delivery_id)
    if made is None:
        raise NotFound("This webhook has no delivery with this id")
    order = DeliverWebhook(org_id=writer.org_id, delivery_id=delivery_id, attempt=made + 1, by_hand=True)
    await enqueue(writer.connection, order)
    await record(writer, "webhook.redelivered", "webhook", webhook_id, delivery_id=delivery_id)
    return await get_delivery(writer.connection, writer.org_id, webhook_id, delivery_id)


async def _lock(writer: OrgWriter, sql: str, webhook_id: UUID, if_match: str | None = None) -> Any:
    row = await writer.connection.fetchrow(sql, writer.org_id, webhook_id)
    if row is None:
        raise no_webhook()
    check_if_match(if_match, row["version"])
    return row


async def _require_enabled(writer: OrgWriter, webhook_id: UUID) -> None:
    if not (await _lock(writer, FOR_REFERENCE, webhook_id))["enabled"]:
        raise WebhookDisabled()


def _check_address(url: str, networks: Sequence[Network]) -> None:
    """What can be said without asking a name server; every attempt asks one, and checks what it says."""
    parts = AnyHttpUrl(url)
    address = literal(host := str(parts.host))
    dotless = address is None and "." not in host and not networks
    if dotless or not may_be(parts.scheme, parts.port or 0, address, networks):
        raise InvalidPayload.of(
            "url", "must be an https address in the public internet, on port 443 or 8443", "address_refused"
        )


def _written(data: Mapping[str, Any]) -> str:
    return json.dumps(data, default=str, ensure_ascii=False)
