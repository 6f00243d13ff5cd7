"""What a worker does beside the jobs: says that it lives, hears of cancellations, repairs and prunes.

Repair: a job that waits or runs but is in no queue is queued again. That takes two accidents at once (or a restored
backup), and then it is what keeps the job from being lost.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import structlog

from tandem.core.db import Connection
from tandem.core.jobs import metrics, operate, queue_table
from tandem.core.jobs.driver import ResilientDriver, is_outage
from tandem.core.jobs.execute import Runs
from tandem.core.jobs.options import Options

BATCH = 10_000
LOCK_KEY = 0x6A6F6273  # "jobs"; one worker at a time repairs and prunes
YOUNG = timedelta(seconds=30)  # a job is left alone for this long

log = structlog.get_logger(__name__)

_SEEN = """
INSERT INTO job_workers (id, host, pid, version, running) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET seen_at = now(), running = excluded.running"""
_GONE = "DELETE FROM job_workers WHERE id = $1"
_CANCELLED = "SELECT id FROM jobs WHERE id = ANY($1::uuid[]) AND cancel_requested_at IS NOT NULL"
_LOST = """
SELECT j.id FROM jobs j LEFT JOIN pgqueuer q ON q.dedupe_key = j.id::text AND q.status IN ('queued', 'picked')
 WHERE j.status IN ('queued', 'running') AND q.id IS NULL
   AND greatest(j.created_at, j.started_at) < now() - $1::interval
   AND (j.status = 'queued'
        OR NOT EXISTS (SELECT FROM job_workers w WHERE w.id = j.worker_id AND w.seen_at > now() - $1::interval))
   FOR UPDATE OF j SKIP LOCKED LIMIT $2"""
_FORGET_WORKERS = "DELETE FROM job_workers WHERE seen_at < now() - interval '1 hour'"


class Upkeep:
    """Of one worker. `answered` is the loop's time when the database last answered."""

    def __init__(self, worker_id: UUID, driver: ResilientDriver, runs: Runs, options: Options, version: str) -> None:
        self.worker_id, self.driver, self.runs, self.options, self.version = worker_id, driver, runs, options, version
        self.answered = 0.0
        self.depth = operate.Depth({}, 0.0, 0)

    async def report(self) -> None:
        """Say that the worker lives, and find cancellations whose notice was lost with a connection."""
        fetch = self.driver.statement
        await fetch(_SEEN, self.worker_id, socket.gethostname(), os.getpid(), self.version, len(self.runs))
        self.answered = asyncio.get_running_loop().time()
        if self.runs.ids:
            for row in await fetch(_CANCELLED, self.runs.ids):
                self.runs.cancel(row["id"])
        async with self.driver.connection() as connection:
            self.depth = await operate.depth(connection)
        metrics.sampled(self.depth.counts, self.depth.oldest, len(self.runs), self.depth.workers)

    async def tidy(self) -> None:
        """Repair and prune, unless another worker is at it; a part in each transaction."""
        async with self.driver.connection() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
                return
            try:
                await connection.execute(_FORGET_WORKERS)
                await self.repair()
                while await self._prune(connection):
                    pass
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)

    async def _prune(self, connection: Connection) -> int:
        """How many rows went; 0 when nothing is left."""
        log_rows = await connection.execute(queue_table.PRUNE_LOG, self.options.keep_engine_log, BATCH)
        ended = ("succeeded", "cancelled")
        async with connection.transaction():
            jobs = await operate.purge(connection, ended, self.options.keep_history, limit=BATCH)
        return int(log_rows.split()[-1]) + jobs

    async def repair(self, young: timedelta = YOUNG) -> int:
        """How many jobs were in no queue and are in it again."""
        async with self.driver.connection() as connection, connection.transaction():
            await connection.execute(queue_table.FORGET_FAILED)
            rows = await connection.fetch(_LOST, young, BATCH)
            jobs = [row["id"] for row in rows]
            if jobs:
                await connection.fetch(queue_table.AGAIN, jobs)
                log.warning("jobs_requeued", count=len(jobs), jobs=[str(one) for one in jobs[:10]])
            return len(jobs)

    async def leave(self) -> None:
        await self.driver.statement(_GONE, self.worker_id)

    async def keep_reporting(self) -> None:
        while True:
            await self._try("report", self.report())
            await asyncio.sleep(self.options.report.total_seconds())

    async def keep_tidy(self) -> None:
        while True:
            await self._try("tidy", self.tidy())
            await asyncio.sleep(self.options.upkeep.total_seconds())

    async def _try(self, name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            if is_outage(error) or isinstance(error, OSError):
                log.warning("jobs_upkeep_interrupted", part=name, reason=type(error).__name__)
            else:
                log.exception("jobs_upkeep_failed", part=name)
