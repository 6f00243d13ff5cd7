"""What may happen to the list of addresses that must not be written to."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.errors import NotFound
from tandem.core.ids import uuid7
from tandem.market_ai.audit.service import record
from tandem.market_ai.email_address import normalise_email
from tandem.market_ai.suppressions.queries import of_address, owned
from tandem.market_ai.suppressions.schemas import NewSuppression, Reason, SuppressionCreate
from tandem.market_ai.suppressions.sql import JSON
from tandem.market_ai.tenancy import OrgWriter

WITHDRAWING: tuple[Reason, ...] = ("unsubscribed", "complained")

_SUPPRESS = """
INSERT INTO suppressions (org_id, email_key, id, reason, source, note, created_at)
VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, now())) ON CONFLICT (org_id, email_key) DO NOTHING RETURNING id"""
_BATCH = """
batch AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($2::jsonb) AS b (id uuid, key text, reason text, note text, at timestamptz))"""
_SUPPRESS_MANY = f"""
WITH {_BATCH}
INSERT INTO suppressions (org_id, email_key, id, reason, source, note, created_at)
SELECT $1, key, id, reason, $3, note, coalesce(at, now()) FROM batch ORDER BY key
    ON CONFLICT (org_id, email_key) DO NOTHING RETURNING id"""
# In the order of the addresses, as everything that locks many leads.
_WITHDRAW_MANY = f"""
WITH {_BATCH},
lead AS MATERIALIZED (
  SELECT l.id, b.note, coalesce(b.at, now()) AS at FROM leads l JOIN batch b ON b.key = l.email_key
   WHERE l.org_id = $1 AND l.consent = 'granted' AND b.reason = ANY($5::text[])
   ORDER BY l.email_key FOR NO KEY UPDATE OF l),
changed AS (
  UPDATE leads l SET consent = 'withdrawn', consent_at = lead.at, consent_source = $3, version = l.version + 1,
      updated_at = now() FROM lead WHERE l.org_id = $1 AND l.id = lead.id)
INSERT INTO lead_consents (org_id, lead_id, status, source, proof, at, actor)
SELECT $1, id, 'withdrawn', $3, note, at, $4 FROM lead"""
_KEY = "INSERT INTO suppression_keys (org_id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_FORGET = """
WITH was AS (
  DELETE FROM suppressions WHERE org_id = $1 AND email_key = $2 RETURNING reason, source, created_at)
INSERT INTO suppressions (org_id, email_key, id, reason, source, created_at)
SELECT $1, suppression_digest(k.key, $2), $3, coalesce(was.reason, 'manual'), coalesce(was.source, 'erasure'),
       coalesce(was.created_at, now())
  FROM suppression_keys k LEFT JOIN was ON true WHERE k.org_id = $1
    ON CONFLICT (org_id, email_key) DO NOTHING"""
_FIND = f"SELECT {JSON} FROM suppressions s {owned(of_address('$2::text'))} ORDER BY s.email_key DESC LIMIT 1"
_DELETE = f"DELETE FROM suppressions s {owned('s.id = $2')} RETURNING s.reason"


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
    made = await connection.fetchval(_SUPPRESS, org_id, email_key, uuid7(), reason, source, note, at)
    one = NewSuppression(0, email_key, reason, note, at)
    await _withdraw(connection, org_id, _json([one]), source=source, actor=actor)
    return made is not None


async def suppress_many(
    connection: Connection, org_id: str, rows: Sequence[NewSuppression], *, source: str, actor: str
) -> int:
    """The same for many, each address once; how many were not suppressed before."""
    batch = _json(rows)
    made = await connection.fetch(_SUPPRESS_MANY, org_id, batch, source)
    await _withdraw(connection, org_id, batch, source=source, actor=actor)
    return len(made)


async def forget(connection: Connection, org_id: str, email_key: str) -> None:
    """Keep the address suppressed, whatever it was before, and known only as a digest under a key of its own."""
    await connection.execute(_KEY, org_id, secrets.token_bytes(32))
    await connection.execute(_FORGET, org_id, email_key, uuid7())


async def create_suppression(writer: OrgWriter, data: SuppressionCreate) -> tuple[str, bool]:
    """The suppression as JSON, and whether this request made it."""
    key = normalise_email(data.email)
    if found := await writer.connection.fetchval(_FIND, writer.org_id, key):
        return found, False
    told: dict[str, Any] = {"source": "api", "actor": writer.principal.actor, "note": data.note}
    made = await suppress(writer.connection, writer.org_id, key, data.reason, **told)
    found = await writer.connection.fetchval(_FIND, writer.org_id, key)
    if made:
        await record(writer, "suppression.created", "suppression", json.loads(found)["id"], reason=data.reason)
    return found, made


async def delete_suppression(writer: OrgWriter, suppression_id: UUID) -> None:
    """The address can be written to again where the person consents; raises NotFound."""
    reason = await writer.connection.fetchval(_DELETE, writer.org_id, suppression_id)
    if reason is None:
        raise NotFound("You have no suppression with this id")
    await record(writer, "suppression.deleted", "suppression", suppression_id, reason=reason)


async def _withdraw(connection: Connection, org_id: str, batch: str, *, source: str, actor: str) -> None:
    await connection.execute(_WITHDRAW_MANY, org_id, batch, source, actor, list(WITHDRAWING))


def _json(rows: Sequence[NewSuppression]) -> str:
    return json.dumps([{"id": uuid7(), **row._asdict()} for row in rows], default=str)
