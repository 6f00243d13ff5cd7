"""What may happen to the list of addresses that must not be written to."""

from datetime import datetime
from typing import Literal

from tandem.core.db import Connection
from tandem.core.ids import uuid7

Reason = Literal["unsubscribed", "bounced", "complained", "manual"]
WITHDRAWING: tuple[Reason, ...] = ("unsubscribed", "complained")

_SUPPRESS = """
INSERT INTO suppressions (org_id, email_key, id, reason, source, note) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (org_id, email_key) DO NOTHING RETURNING id"""
_WITHDRAW = """
WITH lead AS (
  UPDATE leads SET consent = 'withdrawn', consent_at = $3, consent_source = $4, version = version + 1,
      updated_at = now()
   WHERE org_id = $1 AND email_key = $2 AND consent = 'granted' RETURNING id)
INSERT INTO lead_consents (org_id, id, lead_id, status, source, proof, at, actor)
SELECT $1, $5, id, 'withdrawn', $4, $6, $3, $7 FROM lead"""


async def suppress(
    connection: Connection,
    org_id: str,
    email_key: str,
    reason: Reason,
    *,
    source: str,
    actor: str,
    note: str | None = None,
    at: datetime | None = None,
) -> bool:
    """From this transaction on nothing is sent to the address; False when it was suppressed already.

    The first reason stays. Who unsubscribes or complains withdraws the consent too. `source` says where it came from,
    as in `one-click`, and `actor` who did it, as in the audit trail. `email_key` is of `normalise_email`.
    """
    made = await connection.fetchval(_SUPPRESS, org_id, email_key, uuid7(), reason, source, note)
    if reason in WITHDRAWING:
        when = at or await connection.fetchval("SELECT now()")
        await connection.execute(_WITHDRAW, org_id, email_key, when, source, uuid7(), note, actor)
    return made is not None
