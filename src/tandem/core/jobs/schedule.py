"""Cron: every time an expression names becomes one job, whichever worker sees it first.

The time and the job are one transaction, so a time is neither missed nor fired twice. After a pause (no worker ran)
the latest missed time fires once. All times are UTC.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from croniter import croniter  # type: ignore[import-untyped]

from tandem.core.db import Connection, Database
from tandem.core.jobs.enqueue import enqueue
from tandem.core.jobs.registry import Cron

LONGEST_SLEEP = 30.0  # seconds; a clock may be set
log = structlog.get_logger(__name__)

# The first worker that ever sees a cron notes where it begins; it has missed nothing.
_BEGIN = "INSERT INTO job_crons (name, fired_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
_FIRE = "UPDATE job_crons SET fired_at = $2 WHERE name = $1 AND fired_at < $2 RETURNING name"


async def keep_time(database: Database, crons: tuple[Cron, ...], stop: asyncio.Event) -> None:
    """Fire at least one cron until told to stop; raises what the database raises."""
    for one in crons:
        async with database.connection() as connection:
            await connection.execute(_BEGIN, one.name, latest(one, datetime.now(UTC)))
    while not stop.is_set():
        now = datetime.now(UTC)
        for one in crons:
            async with database.connection() as connection, connection.transaction():
                await fire(connection, one, latest(one, now))
        await _sleep(stop, min(upcoming(one, now) for one in crons) - datetime.now(UTC))


async def fire(connection: Connection, one: Cron, at: datetime) -> bool:
    """Enqueue the job of this time, unless that was done; in the caller's transaction."""
    if not await connection.fetch(_FIRE, one.name, at):
        return False
    job_id = await enqueue(connection, one.payload, dedupe_key=f"cron:{one.name}")
    log.debug("cron_fired", cron=one.name, at=at.isoformat(), job_id=str(job_id))
    return True


def latest(one: Cron, now: datetime) -> datetime:
    """The newest time the expression names that is not after `now`."""
    found: datetime = croniter(one.expression, now + timedelta(microseconds=1)).get_prev(datetime)
    return found


def upcoming(one: Cron, now: datetime) -> datetime:
    found: datetime = croniter(one.expression, now).get_next(datetime)
    return found


async def _sleep(stop: asyncio.Event, wait: timedelta) -> None:
    try:
        await asyncio.wait_for(stop.wait(), min(max(wait.total_seconds() + 0.01, 0.01), LONGEST_SLEEP))
    except TimeoutError:
        return
