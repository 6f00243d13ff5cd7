"""Making a call that costs money: all that must happen around it, whatever happens to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from tandem.market_ai.budget.calls import CallIntent, Replay, Reservation, mark_unknown, release, reserve, settle

if TYPE_CHECKING:
    from tandem.core.jobs.context import JobContext

PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0)  # seconds between tries to write an outcome down; a worker's drain is longer
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a call did cost, in micro-dollars, and what it gave, as JSON. `failure`, when it was billed for nothing."""

    usage: Mapping[str, Any]
    micros: int
    result: Any = None
    failure: Exception | None = None


async def pay(
    job: "JobContext",
    intent: CallIntent,
    ask: Callable[[], Awaitable[Bill]],
    *,
    not_billed: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """The result of `ask()`, or of the earlier run of the job that paid for the same prompt.

    An error of a `not_billed` class frees the reservation. With any other error, a cancellation or a time-out it stays
    charged as an unknown outcome. A bill's `failure` is raised once it is charged. Raises BudgetExceeded and Superseded
    before asking.
    """
    with job.uninterrupted():
        found = await reserve(job.database, intent)
    if isinstance(found, Replay):
        log.info("call_replayed", call_id=str(found.id), step=intent.step)
        return found.result
    asked = False
    try:
        await anyio.lowlevel.checkpoint_if_cancelled()
        asked = True
        bill = await ask()
    except BaseException as error:
        free = not asked or (isinstance(error, Exception) and isinstance(error, not_billed))
        end, said = (release if free else mark_unknown), _said(error)
        with job.uninterrupted(), suppress(Exception):  # the error that is on its way matters more
            await _insist(found, lambda: end(job.database, found, said))
        raise
    failure = None if bill.failure is None else _said(bill.failure)
    with job.uninterrupted():
        await _insist(
            found,
            lambda: settle(
                job.database, found, usage=bill.usage, micros=bill.micros, result=bill.result, error=failure
            ),
        )
    if bill.failure is not None:
        raise bill.failure
    return bill.result


async def _insist(reservation: Reservation, work: Callable[[], Awaitable[None]]) -> None:
    """A restart of the database, or a queue of writers, must not lose what was paid for."""
    for pause in (*PAUSES, None):
        try:
            await work()
            return
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
            said = {"call_id": str(reservation.id), "reason": type(error).__name__}
            if pause is None:  # it stays held, and is swept
                log.error("call_outcome_not_written", **said)
                raise
            log.warning("call_outcome_delayed", **said)
            await asyncio.sleep(pause)


def _said(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "interrupted: cancelled, out of time, or its worker was leaving"
    return f"{type(error).__name__}: {error}"
