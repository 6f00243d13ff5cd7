"""Writing the audit trail, in the transaction of what it tells of."""

import json
from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.ids import uuid7
from tandem.market_ai.tenancy import OrgWriter

# What webhooks tell of, in the same statement; jobs and the budget tell of themselves. See migration 0009_webhooks.
TOLD = ("campaign", "content", "lead", "delivery")

_RECORD = """
INSERT INTO audit_events (org_id, id, user_id, actor, action, object_type, object_id, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)"""
_RECORD_AND_TELL = f"""
WITH event AS ({_RECORD} RETURNING *)
SELECT webhook_emit(org_id, action,
         jsonb_build_object('object_type', object_type, 'object_id', object_id, 'details', details)) FROM event"""


async def record(writer: OrgWriter, action: str, object_type: str, object_id: UUID | str, **details: Any) -> None:
    """What the caller did; `details` are small JSON values, UUIDs and times among them."""
    principal = writer.principal
    who = (principal.user_id, principal.actor)
    await _write(writer.connection, writer.org_id, who, action, object_type, object_id, details)


async def record_system(
    connection: Connection,
    org_id: str,
    actor: str,
    action: str,
    *,
    object_type: str,
    object_id: UUID | str,
    **details: Any,
) -> None:
    """What a job or a cron did; `actor` as in `job:<id>` or `service:<name>`."""
    await _write(connection, org_id, (None, actor), action, object_type, object_id, details)


async def _write(  # noqa: PLR0917 - a row's columns
    connection: Connection,
    org_id: str,
    who: tuple[str | None, str],
    action: str,
    object_type: str,
    object_id: UUID | str,
    details: dict[str, Any],
) -> None:
    sql = _RECORD_AND_TELL if action.partition(".")[0] in TOLD else _RECORD
    written = json.dumps(details, default=str, ensure_ascii=False)
    await connection.execute(sql, org_id, uuid7(), *who, action, object_type, str(object_id), written)
