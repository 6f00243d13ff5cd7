"""Moving money: balances, the call and its entry in the ledger change together, under the organization's lock.

A call's money is in one place at a time, which its state names: held is `reserved`, outcome_unknown is `unknown`,
settled is `spent`, released is nowhere, which is back in the budget. An entry is the difference of two such places.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.market_ai.budget.accounts import Place, warn
from tandem.market_ai.budget.sql import CALL_JSON

State = Literal["held", "settled", "released", "outcome_unknown"]
Kind = Literal["settle", "release", "unknown", "resolve"]

_LOCK = "SELECT entries FROM budget_chains WHERE org_id = $1 FOR UPDATE"
_BEGIN = "INSERT INTO budget_chains (org_id) VALUES ($1) ON CONFLICT (org_id) DO NOTHING"
FIND = """
SELECT org_id, id, job_id, campaign_id, day, state, reserved_micros, settled_micros, resolved_by
  FROM budget_calls WHERE org_id = $1 AND id = $2"""
_ENTRY = """
INSERT INTO budget_ledger (org_id, kind, call_id, job_id, campaign_id, day,
                           budget_micros, reserved_micros, unknown_micros, spent_micros)"""
OPEN = f"""
WITH call AS (
  INSERT INTO budget_calls (org_id, id, job_id, step, prompt_hash, attempt, campaign_id, day, model, reserved_micros,
                            expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11::interval) RETURNING *)
{_ENTRY} SELECT org_id, 'reserve', id, job_id, campaign_id, day, -reserved_micros, reserved_micros, 0, 0 FROM call"""
# Only the first of several results of one step and prompt is kept, and replayed.
_MOVE = f"""
WITH balances AS (
  UPDATE budget_accounts a SET reserved_micros = a.reserved_micros + $5, unknown_micros = a.unknown_micros + $6,
         spent_micros = a.spent_micros + $7
    FROM unnest($8::text[], $9::text[]) AS s(scope, key)
   WHERE a.org_id = $1 AND a.scope = s.scope AND a.key = s.key),
call AS (
  UPDATE budget_calls c SET state = $3, settled_micros = $10, overrun = coalesce($10 > c.reserved_micros, false),
         usage = coalesce($11::json, c.usage), error = coalesce($13, c.error), resolved_by = $14,
         note = coalesce($15, c.note), settled_at = CASE WHEN $3 IN ('settled', 'released') THEN now() END,
         result = CASE WHEN NOT EXISTS (
             SELECT FROM budget_calls o WHERE o.org_id = c.org_id AND o.id <> c.id AND o.job_id = c.job_id
                AND o.step = c.step AND o.prompt_hash = c.prompt_hash AND o.state = 'settled'
                AND o.result IS NOT NULL) THEN $12::json END
   WHERE c.org_id = $1 AND c.id = $2 RETURNING *),
entry AS (
  {_ENTRY}
  SELECT org_id, $4, id, job_id, campaign_id, day, -($5::bigint + $6::bigint + $7::bigint), $5, $6, $7 FROM call)
SELECT {CALL_JSON} AS json FROM call c"""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a call. `usage` and `result` are JSON text."""

    kind: Kind
    state: State
    settled: int | None = None
    usage: str | None = None
    result: str | None = None
    error: str | None = None
    resolved_by: str | None = None
    note: str | None = None


class _Money(NamedTuple):
    reserved: int
    unknown: int
    spent: int


async def lock(connection: Connection, org_id: str) -> None:
    """Nobody else moves this organization's money until the transaction ends."""
    if await connection.fetchval(_LOCK, org_id) is None:
        await connection.execute(_BEGIN, org_id)
        await fetch_one(connection, _LOCK, org_id)


async def find(connection: Connection, org_id: str, call_id: UUID) -> Any:
    """The call's row, or None. Under the lock it stays as it is."""
    return await connection.fetchrow(FIND, org_id, call_id)


async def move(connection: Connection, call: Any, change: Change) -> str:
    """The call as the API's JSON. The caller has the lock, and read `call` under it."""
    before = _where(call["state"], call["reserved_micros"], call["settled_micros"])
    after = _where(change.state, call["reserved_micros"], change.settled)
    difference = [new - old for new, old in zip(after, before, strict=True)]
    scopes, keys = Place.of(call).accounts
    row = await fetch_one(
        connection,
        _MOVE,
        call["org_id"],
        call["id"],
        change.state,
        change.kind,
        *difference,
        scopes,
        keys,
        change.settled,
        change.usage,
        change.result,
        change.error,
        change.resolved_by,
        change.note,
    )
    if sum(difference) > 0:
        await warn(connection, call["org_id"], scopes, keys)
    return str(row["json"])


def _where(state: State, reserved: int, settled: int | None) -> _Money:
    return _Money(
        reserved if state == "held" else 0, reserved if state == "outcome_unknown" else 0, settled if settled else 0
    )
