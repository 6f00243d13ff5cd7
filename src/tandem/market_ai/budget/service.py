"""What other features may do with the AI budget, and what people may change about it.

A job's handler makes a call with `pay`; who starts a job asks `check_room` first. docs/budget.md says what holds.
"""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.errors import Conflict, InvalidPayload, NotFound
from tandem.market_ai.audit.service import record
from tandem.market_ai.budget import ledger
from tandem.market_ai.budget.accounts import BudgetExceeded, check_room, warn
from tandem.market_ai.budget.calls import (
    CallIntent,
    Replay,
    Reservation,
    leave_unknown,
    mark_unknown,
    release,
    reserve,
    settle,
)
from tandem.market_ai.budget.ledger import Change
from tandem.market_ai.budget.paying import Bill, pay
from tandem.market_ai.budget.schemas import Billed, LimitsChange, NotBilled
from tandem.market_ai.budget.sql import COST
from tandem.market_ai.fields import decimal_string, micros
from tandem.market_ai.tenancy import OrgWriter

__all__ = [
    "Bill", "BudgetExceeded", "CallIntent", "Replay", "Reservation", "check_room", "cost_of_job", "mark_unknown", "pay",
    "release", "reserve", "settle",
]  # fmt: skip

_COST = f"SELECT {COST}::text FROM (SELECT $1::text AS owner, $2::uuid AS id) j"
# Held, so that a campaign is not deleted while it gets a limit.
_CAMPAIGNS = "SELECT id FROM campaigns WHERE org_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR KEY SHARE"
_LIMITS = "SELECT scope, key, cap_micros FROM budget_limits WHERE org_id = $1"
_SET = """
INSERT INTO budget_limits (org_id, scope, key, cap_micros)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[]) AS l(scope, key, cap) WHERE cap IS NOT NULL
    ON CONFLICT (org_id, scope, key) DO UPDATE SET cap_micros = excluded.cap_micros, updated_at = now()"""
_REMOVE = """
DELETE FROM budget_limits l USING unnest($2::text[], $3::text[], $4::bigint[]) AS r(scope, key, cap)
 WHERE l.org_id = $1 AND l.scope = r.scope AND l.key = r.key AND r.cap IS NULL"""
# The accounts that a limit is about at this moment.
_PRESENT = """
SELECT scope, CASE scope WHEN 'month' THEN to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
                         WHEN 'day' THEN to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') ELSE key END AS key
  FROM unnest($1::text[], $2::text[]) AS l(scope, key)"""
_SWEEPABLE = """
SELECT c.org_id, c.id, c.job_id, c.campaign_id, c.day, c.state, c.reserved_micros, c.settled_micros, c.resolved_by,
       c.expires_at < now() AS expired
  FROM budget_calls c
  LEFT JOIN jobs j ON j.id = c.job_id AND j.status = 'running' AND j.attempts = c.attempt
 WHERE c.state = 'held' AND (c.expires_at < now() OR j.id IS NULL)"""
_TO_SWEEP = f"SELECT DISTINCT org_id FROM ({_SWEEPABLE}) s ORDER BY org_id"
_SWEEP = f"{_SWEEPABLE} AND c.org_id = $1 ORDER BY c.id LIMIT 100"
_FORGET = """
UPDATE budget_calls SET result = NULL WHERE (org_id, id) IN (
  SELECT org_id, id FROM budget_calls c
   WHERE c.result IS NOT NULL AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = c.job_id) LIMIT 1000)
RETURNING 1"""


class CallNotUnknown(Conflict):
    """`state` is the present one."""

    code, title = "call_not_unknown", "Only a call with an unknown outcome can be resolved"


async def cost_of_job(connection: Connection, org_id: str, job_id: UUID) -> str:
    """JSON of what the job spent, has reserved, and may have spent, as decimal strings."""
    cost: str = await connection.fetchval(_COST, org_id, job_id)
    return cost


async def change_limits(writer: OrgWriter, data: LimitsChange) -> None:
    """Raises NotFound for a campaign that the organization does not have."""
    caps = data.caps()
    if data.campaigns:
        found = await writer.connection.fetch(_CAMPAIGNS, writer.org_id, list(data.campaigns))
        if len(found) < len(data.campaigns):
            raise NotFound("You have no campaign with one of these ids")
    await ledger.lock(writer.connection, writer.org_id)
    before = {
        (row["scope"], row["key"]): row["cap_micros"] for row in await writer.connection.fetch(_LIMITS, writer.org_id)
    }
    scopes, keys = [scope for scope, _ in caps], [key for _, key in caps]
    for statement in (_REMOVE, _SET):
        await writer.connection.execute(statement, writer.org_id, scopes, keys, list(caps.values()))
    present = await writer.connection.fetch(_PRESENT, scopes, keys)
    await warn(writer.connection, writer.org_id, [row["scope"] for row in present], [row["key"] for row in present])
    named = {" ".join(filter(None, account)): (before.get(account), cap) for account, cap in caps.items()}
    changes = {name: {"before": _shown(old), "after": _shown(new)} for name, (old, new) in named.items()}
    await record(writer, "budget.limits_changed", "budget", writer.org_id, changes=changes)


async def resolve(writer: OrgWriter, call_id: UUID, data: Billed | NotBilled) -> str:
    """The call as JSON. Raises NotFound, CallNotUnknown, and InvalidPayload for more than was reserved."""
    await ledger.lock(writer.connection, writer.org_id)
    call = await ledger.find(writer.connection, writer.org_id, call_id)
    if call is None:
        raise NotFound("You have no call with this id")
    if call["state"] != "outcome_unknown":
        raise CallNotUnknown(f"This call is {call['state']}", state=call["state"])
    amount = micros(data.amount) if isinstance(data, Billed) else None
    if amount is not None and amount > call["reserved_micros"]:
        reserved = decimal_string(call["reserved_micros"])
        raise InvalidPayload.of("amount", f"must not be more than was reserved, {reserved}", "less_than_equal")
    state: ledger.State = "released" if amount is None else "settled"
    change = Change("resolve", state, settled=amount, resolved_by=writer.principal.actor, note=data.note)
    shown = await ledger.move(writer.connection, call, change)
    await record(
        writer,
        "budget.call_resolved",
        "budget_call",
        call_id,
        outcome=data.outcome,
        amount=_shown(amount),
        note=data.note,
    )
    return shown


async def organizations_to_sweep(connection: Connection) -> list[str]:
    """Those that hold something past its time, or for a run of a job that is over."""
    return [row["org_id"] for row in await connection.fetch(_TO_SWEEP)]


async def sweep(connection: Connection, org_id: str) -> int:
    """Leave unknown what an organization holds past its time or for a run that is over; how many of a hundred."""
    await ledger.lock(connection, org_id)
    found = await connection.fetch(_SWEEP, org_id)
    for call in found:
        reason = "the reservation expired" if call["expired"] else "its run of the job is over"
        await leave_unknown(connection, call, f"swept: {reason}, and no outcome was written", "service:budget")
    return len(found)


async def forget_results(connection: Connection) -> int:
    """Drop what calls gave once their job is gone, for then nothing replays them; how many of a thousand there were."""
    return len(await connection.fetch(_FORGET))


def _shown(amount: int | None) -> Any:
    return None if amount is None else decimal_string(amount)
