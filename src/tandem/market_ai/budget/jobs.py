"""What a worker does for the budget by itself."""

from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.registry import handles
from tandem.market_ai.budget.schemas import ForgetCallResults, SweepReservations
from tandem.market_ai.budget.service import forget_results, organizations_to_sweep, sweep

log = structlog.get_logger(__name__)


@handles(SweepReservations, retries=3, timeout=timedelta(minutes=10), concurrency=1)
async def sweep_reservations(job: JobContext, _: SweepReservations) -> dict[str, int]:
    """An organization whose balances somebody changed by hand does not keep the others from being swept."""
    done = {"unknown": 0, "failed": 0}
    async with job.database.connection() as connection:
        organizations = await organizations_to_sweep(connection)
    for org_id in organizations:
        try:
            done["unknown"] += await job.in_parts(partial(sweep, org_id=org_id))
        except asyncpg.IntegrityConstraintViolationError as error:
            done["failed"] += 1
            log.error("sweep_failed", org_id=org_id, reason=str(error))
    return done


@handles(ForgetCallResults, retries=3, timeout=timedelta(minutes=30), concurrency=1)
async def forget_call_results(job: JobContext, _: ForgetCallResults) -> dict[str, int]:
    return {"forgotten": await job.in_parts(forget_results)}
