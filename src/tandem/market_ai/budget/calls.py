"""The life of one call of a model: reserved before it is made, and settled, released or left unknown after.

Each function is a transaction of its own, or part of the caller's. The journal of calls is the reservation: what was
intended is committed before the call, what came of it together with the money.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import structlog

from tandem.core.db import Connection, Database
from tandem.core.ids import uuid7
from tandem.core.jobs.errors import Superseded
from tandem.core.log import mask
from tandem.market_ai.audit.service import record_system
from tandem.market_ai.budget import ledger
from tandem.market_ai.budget.accounts import Place, take
from tandem.market_ai.budget.ledger import Change
from tandem.market_ai.fields import MICROS, decimal_string

if TYPE_CHECKING:
    from tandem.core.jobs.context import JobContext

MAX_CALL = 1_000_000 * MICROS  # a million dollars: no call costs that
MAX_ERROR = 1000  # characters
log = structlog.get_logger(__name__)

Target: TypeAlias = "Database | Connection"

# Only the run that the job belongs to may pay: one that was taken for dead would pay a second time.
_FENCE = """
SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date FROM jobs
 WHERE id = $1 AND owner = $2 AND status = 'running' AND attempts = $3"""
_PAID = """
SELECT id, result::text AS result, settled_micros FROM budget_calls
 WHERE org_id = $1 AND job_id = $2 AND step = $3 AND prompt_hash = $4 AND state = 'settled' AND result IS NOT NULL"""
_LEFT_BEHIND = """
SELECT org_id, id, job_id, campaign_id, day, state, reserved_micros, settled_micros, resolved_by FROM budget_calls
 WHERE org_id = $1 AND job_id = $2 AND step = $3 AND state = 'held' AND attempt < $4 ORDER BY id"""
_ORGANIZATION = "SELECT true FROM organizations WHERE id = $1 FOR KEY SHARE"


@dataclass(frozen=True, slots=True)
class CallIntent:
    """A call about to be made. `micros` is its worst case and `request_cap` what the whole job may cost, both in
    micro-dollars; after `lifetime` a reservation without an outcome is swept. Raises ValueError."""

    org_id: str
    job_id: UUID
    attempt: int
    step: str
    prompt_hash: str
    model: str
    micros: int
    request_cap: int
    campaign_id: UUID | None = None
    lifetime: timedelta = timedelta(minutes=30)

    def __post_init__(self) -> None:
        if not 0 <= self.micros <= MAX_CALL:
            raise ValueError(f"a call's worst case is 0 to {MAX_CALL} micro-dollars, not {self.micros}")
        if self.lifetime <= timedelta(0):
            raise ValueError("a reservation lives longer than nothing")

    @classmethod
    def of(cls, job: "JobContext", **rest: Any) -> "CallIntent":
        """Of the present run of a job that an organization owns."""
        if job.owner is None:
            raise ValueError("a job that spends needs an organization as its owner")
        return cls(org_id=job.owner, job_id=job.id, attempt=job.attempt, **rest)


@dataclass(frozen=True, slots=True)
class Reservation:
    org_id: str
    id: UUID
    job_id: UUID
    micros: int


@dataclass(frozen=True, slots=True)
class Replay:
    """This step of the job was paid for with the same prompt, and this is what it gave."""

    id: UUID
    result: Any
    micros: int


async def reserve(database: Database, call: CallIntent) -> Reservation | Replay:
    """Commit the intent and its worst case in every scope, unless the call was paid for before.

    A reservation that an earlier run of the job left behind for this step becomes an unknown outcome, and stays
    charged. Raises BudgetExceeded, then nothing is reserved, and Superseded when the run is not the job's.
    """
    async with database.connection() as connection, connection.transaction():
        await ledger.lock(connection, call.org_id)
        day = await connection.fetchval(_FENCE, call.job_id, call.org_id, call.attempt)
        if day is None:
            raise Superseded
        paid = await connection.fetchrow(_PAID, call.org_id, call.job_id, call.step, call.prompt_hash)
        if paid is not None:
            return Replay(paid["id"], json.loads(paid["result"]), paid["settled_micros"])
        for left in await connection.fetch(_LEFT_BEHIND, call.org_id, call.job_id, call.step, call.attempt):
            await leave_unknown(connection, left, "its run of the job ended without an answer", f"job:{call.job_id}")
        place = Place(call.org_id, call.job_id, call.campaign_id, day)
        exceeded = await take(connection, place, call.micros, call.request_cap)
        if exceeded is None:
            return await _open(connection, call, day)
    raise exceeded  # outside, so that what was left behind is committed


async def settle(
    target: Target,
    reservation: Reservation,
    *,
    usage: Mapping[str, Any],
    micros: int,
    result: Any = None,
    error: str | None = None,
) -> None:
    """Charge what the call did cost and keep its result (JSON), for a rerun of the job to find.

    Facts win: a call that was left unknown meanwhile, or resolved by a person, is corrected. Told twice, it settles
    once. More than was reserved is charged all the same, marked as an overrun and logged as an error.
    """
    written = None if result is None else json.dumps(result, allow_nan=False)
    used = json.dumps(dict(usage), allow_nan=False)
    async with _locked(target, reservation.org_id) as connection:
        call = await _find(connection, reservation)
        if call["state"] == "settled" and call["resolved_by"] is None:
            return
        note = f"was resolved by {call['resolved_by']} before its usage was known" if call["resolved_by"] else None
        change = Change(
            "settle", "settled", settled=micros, usage=used, result=written, error=storable(error), note=note
        )
        await ledger.move(connection, call, change)
    if micros > reservation.micros:
        log.error(
            "call_overrun",
            call_id=str(reservation.id),
            reserved=decimal_string(reservation.micros),
            cost=decimal_string(micros),
        )


async def release(target: Target, reservation: Reservation, error: str) -> None:
    """The provider certainly did not bill the call: all of it is free again."""
    async with _locked(target, reservation.org_id) as connection:
        call = await _find(connection, reservation)
        if call["state"] in {"held", "outcome_unknown"}:
            await ledger.move(connection, call, Change("release", "released", error=storable(error)))


async def mark_unknown(target: Target, reservation: Reservation, error: str) -> None:
    """Nobody knows whether the call was billed: all of it stays charged until a person or its usage resolves it."""
    async with _locked(target, reservation.org_id) as connection:
        call = await _find(connection, reservation)
        if call["state"] == "held":
            await leave_unknown(connection, call, error, f"job:{reservation.job_id}")


async def leave_unknown(connection: Connection, call: Any, error: str, actor: str) -> None:
    """Where everyone can see it: the journal, the ledger, the audit trail and the log. The caller has the lock."""
    await ledger.move(connection, call, Change("unknown", "outcome_unknown", error=storable(error)))
    reserved = decimal_string(call["reserved_micros"])
    if await connection.fetchval(_ORGANIZATION, call["org_id"]):  # else its trail is gone with it
        await record_system(
            connection,
            call["org_id"],
            actor,
            "budget.outcome_unknown",
            object_type="budget_call",
            object_id=call["id"],
            reserved=reserved,
            reason=storable(error),
        )
    log.warning("call_outcome_unknown", org_id=call["org_id"], call_id=str(call["id"]), reserved=reserved, reason=error)


def storable(text: str | None) -> str | None:
    """What a provider's error says, fit for a text column."""
    return text and mask(text).encode(errors="replace").decode().replace("\0", "")[:MAX_ERROR]


async def _open(connection: Connection, call: CallIntent, day: date) -> Reservation:
    call_id = uuid7()
    await connection.execute(
        ledger.OPEN,
        call.org_id,
        call_id,
        call.job_id,
        call.step,
        call.prompt_hash,
        call.attempt,
        call.campaign_id,
        day,
        call.model,
        call.micros,
        call.lifetime,
    )
    return Reservation(call.org_id, call_id, call.job_id, call.micros)


async def _find(connection: Connection, reservation: Reservation) -> Any:
    call = await ledger.find(connection, reservation.org_id, reservation.id)
    if call is None:
        raise LookupError(f"there is no call {reservation.id}")
    return call


@asynccontextmanager
async def _locked(target: Target, org_id: str) -> AsyncIterator[Connection]:
    if isinstance(target, Database):
        async with target.connection() as connection, connection.transaction():
            await ledger.lock(connection, org_id)
            yield connection
        return
    if not target.is_in_transaction():
        raise RuntimeError("money moves in a transaction: open connection.transaction()")
    await ledger.lock(target, org_id)
    yield target
