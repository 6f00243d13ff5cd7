"""Writing the audit trail, in the transaction of what it tells of."""

import json
from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.ids import uuid7
from tandem.market_ai.tenancy import OrgWriter

_RECORD = """
INSERT INTO audit_events (org_id, id, user_id, actor, action, object_type, object_id, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)"""


async def record(writer: OrgWriter, action: str, object_type: str, object_id: UUID | str, **details: Any) -> None:
    """What the caller did; `details` are small JSON values, UUIDs and times among them."""
    principal = writer.principal
    what = (action, object_type, str(object_id), _written(details))
    await writer.connection.execute(_RECORD, writer.org_id, uuid7(), principal.user_id, principal.actor, *what)


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
    what = (action, object_type, str(object_id), _written(details))
    await connection.execute(_RECORD, org_id, uuid7(), None, actor, *what)


def _written(details: dict[str, Any]) -> str:
    return json.dumps(details, default=str, ensure_ascii=False)
