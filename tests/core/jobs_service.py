"""Payloads and handlers that tests of jobs share; `python -m tests.core.jobs_service` is their worker as a process.

Handlers write to tables of the test's own, so that what was done, and how often, is counted in the database.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from tandem.core.jobs import JobPayload
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed, RetryJob
from tandem.core.jobs.options import Options, Profile
from tandem.core.jobs.registry import Backoff, Cron, Handler, Jobs, handles
from tandem.core.jobs.worker import Worker, working
from tandem.core.log import configure_logging
from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import Settings
from tandem.ops.services import SERVICES
from tandem.ops.worker import work

TABLES = """
CREATE TABLE IF NOT EXISTS done (job_id uuid, note text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS paid (job_id uuid, step text, at timestamptz DEFAULT clock_timestamp());
"""
SOON = Backoff(timedelta(milliseconds=20), 2.0, timedelta(milliseconds=200))
QUICK = Options(
    profiles={"paid": Profile(1, 4), "bulk": Profile(10, 20)},
    heartbeat=timedelta(seconds=2),
    poll=timedelta(milliseconds=200),
    drain=timedelta(seconds=5),
    upkeep=timedelta(seconds=1),
    report=timedelta(milliseconds=200),
)


class Note(JobPayload, job_type="note"):
    text: str = ""


class Sleep(JobPayload, job_type="sleep"):
    seconds: float


class Fail(JobPayload, job_type="fail"):
    times: int
    how: str = "error"


class Alone(JobPayload, job_type="alone"):
    seconds: float = 0.05


class Steps(JobPayload, job_type="steps"):
    count: int = 3
    seconds: float = 0.02


class Die(JobPayload, job_type="die"):
    pass


@handles(Note)
async def note(job: JobContext, payload: Note) -> None:
    async with job.finish() as connection:
        await connection.execute("INSERT INTO done (job_id, note) VALUES ($1, $2)", job.id, payload.text)


@handles(Sleep, timeout=timedelta(seconds=30), retries=2, backoff=SOON)
async def sleep(job: JobContext, payload: Sleep) -> dict[str, float]:
    await asyncio.sleep(payload.seconds)
    return {"slept": payload.seconds}


@handles(Fail, retries=3, backoff=SOON, timeout=timedelta(milliseconds=300))
async def fail(job: JobContext, payload: Fail) -> int:
    if job.failures >= payload.times:
        return job.failures
    if payload.how == "for good":
        raise JobFailed("this campaign is gone")
    if payload.how == "slow":
        await asyncio.sleep(30)
    if payload.how == "later":
        raise RetryJob("429", after=timedelta(milliseconds=400))
    raise ValueError("password=hunter2secret was wrong")


@handles(Alone, concurrency=1)
async def alone(job: JobContext, payload: Alone) -> None:
    async with job.database.connection() as connection:
        await connection.execute("INSERT INTO paid (job_id, step) VALUES ($1, 'begin')", job.id)
        await asyncio.sleep(payload.seconds)
        await connection.execute("INSERT INTO paid (job_id, step) VALUES ($1, 'end')", job.id)


@handles(Steps, retries=3, backoff=SOON, profile="paid")
async def steps(job: JobContext, payload: Steps) -> dict[str, int]:
    """Each step is paid for in the same moment in which its result exists, as nearly as a test can have it."""
    total = 0
    for number in range(payload.count):

        async def pay(number: int = number) -> int:
            await asyncio.sleep(payload.seconds)
            async with job.database.connection() as connection:
                await connection.execute("INSERT INTO paid (job_id, step) VALUES ($1, $2)", job.id, str(number))
            return number + 1

        total += await job.step(f"pay {number}", pay)
        await job.progress((number + 1) / payload.count, step=number)
    async with job.finish({"total": total}) as connection:
        await connection.execute("INSERT INTO done (job_id, note) VALUES ($1, $2)", job.id, str(total))
    return {"total": total}


@handles(Die)
async def die(job: JobContext, _: Die) -> None:
    async with job.database.connection() as connection:
        await connection.execute("INSERT INTO done (job_id, note) VALUES ($1, 'died')", job.id)
    os.kill(os.getpid(), signal.SIGKILL)


HANDLERS = [note, sleep, fail, alone, steps, die]


def jobs(*handlers: Handler, crons: Sequence[Cron] = ()) -> Jobs:
    return Jobs("test-worker", handlers=handlers or HANDLERS, crons=crons)


def job_settings(url: str) -> Settings:
    return SERVICES["momentum"].settings_class(
        _env_file=None, environment="test", database_url=SecretStr(url), log_level="WARNING", pool_size=10
    )


@asynccontextmanager
async def a_worker(url: str, *handlers: Handler, crons: Sequence[Cron] = (), **options: Any) -> AsyncIterator[Worker]:
    async with working(job_settings(url), jobs(*handlers, crons=crons), options=replace(QUICK, **options)) as worker:
        yield worker


async def connect(url: str) -> Any:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    await connection.execute(TABLES)
    return connection


async def until(connection: Any, sql: str, *, within: float = 10) -> None:
    """Wait for a statement to give true."""
    async with asyncio.timeout(within):
        while not await connection.fetchval(sql):  # noqa: ASYNC110 - what changes is in the database
            await asyncio.sleep(0.02)


async def ended(connection: Any, job_id: UUID, *, within: float = 10, status: str | None = None) -> Any:
    """The job's row once it has ended, or is in `status`."""
    async with asyncio.timeout(within):
        while True:
            row = await connection.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)
            if row["status"] == status or (status is None and row["finished_at"] is not None):
                return row
            await asyncio.sleep(0.01)


def main(url: str) -> None:
    """The worker as a process: until SIGTERM."""
    configure_logging(job_settings(url))
    asyncio.run(work(job_settings(url), jobs(), options=QUICK))


if __name__ == "__main__":
    main(os.environ["DATABASE_URL"])
