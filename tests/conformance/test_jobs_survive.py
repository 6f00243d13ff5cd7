"""Jobs survive what happens to workers and to their database: kill -9 every half second, and a restart of Postgres."""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tandem.core.jobs import enqueue, enqueue_many
from tandem.core.jobs.errors import WorkerError
from tandem.core.jobs.worker import run_worker
from tandem.core.postgres import EmbeddedPostgres
from tests.conformance.worker_processes import Workers, ask, durable_server, restart
from tests.core import jobs_service
from tests.core.jobs_service import TABLES, Note, Sleep, Steps, a_worker, connect, ended, job_settings, jobs, until

JOBS = 300
STEPS = 3
KILL_EVERY = 0.5  # seconds
KILLS = 16
BOUND = 25.0  # seconds from the last kill to the last job's end


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with durable_server("momentum") as server:
        yield server


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_no_job_is_lost_and_no_finished_step_is_done_twice(server: EmbeddedPostgres) -> None:
    url, rng = server.url("momentum"), random.Random(4)  # noqa: S311 - which worker is killed
    async with connected(url) as connection:
        await connection.execute(TABLES)
        async with connection.transaction():
            await enqueue_many(connection, [Steps(count=STEPS, seconds=0.05) for _ in range(JOBS)])
    workers = Workers(2, jobs_service.main, url)
    try:
        async with connected(url) as connection:
            await until(connection, "SELECT EXISTS (SELECT FROM done)", within=20)
        for number in range(KILLS):
            await asyncio.sleep(KILL_EVERY)
            await asyncio.to_thread(workers.kill_one, rng)
            if number == KILLS // 2:
                await restart(server)
        last_kill = time.monotonic()
        open_jobs = "SELECT count(*) FROM jobs WHERE finished_at IS NULL"
        while (await ask(url, open_jobs))[0][0] > 0:
            assert time.monotonic() - last_kill < BOUND, await ask(url, "SELECT * FROM jobs WHERE finished_at IS NULL")
            await asyncio.sleep(0.2)
        assert await asyncio.to_thread(workers.stop) == [0, 0]
    finally:
        workers.stop()
    lost = await ask(url, "SELECT id, status, error FROM jobs WHERE status <> 'succeeded'")
    assert [tuple(row) for row in lost] == []
    done = await ask(url, "SELECT count(*), count(DISTINCT job_id) FROM done")
    assert tuple(done[0]) == (JOBS, JOBS)
    repeated = await ask(
        url,
        """SELECT p.job_id, p.step FROM paid p JOIN job_steps s ON s.job_id = p.job_id AND s.step = 'pay ' || p.step
            WHERE p.at > s.finished_at + interval '1 millisecond'""",
    )
    assert [tuple(row) for row in repeated] == [], "a step was paid for again after its result had been committed"
    assert (await ask(url, "SELECT count(*) FROM job_steps"))[0][0] == JOBS * STEPS
    interrupted = (await ask(url, "SELECT count(*) FROM jobs WHERE attempts > 1"))[0][0]
    assert interrupted > KILLS / 2, "the kills hardly met a running job, so this proved little"


async def test_a_restart_of_postgres_fails_no_job_and_pickup_is_quick_again(server: EmbeddedPostgres) -> None:
    url = server.url("momentum")
    async with a_worker(url) as worker:
        async with connected(url) as connection:
            async with connection.transaction():
                running = await enqueue(connection, Sleep(seconds=1.5))
            await ended(connection, running, status="running")
        await restart(server)
        async with connected(url) as connection:
            row = await ended(connection, running)
            assert (row["status"], row["failures"]) == ("succeeded", 0)
            assert worker.connected
            listening = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            await until(connection, listening, within=5)
            waits = []
            for _ in range(20):
                async with connection.transaction():
                    job_id = await enqueue(connection, Note())
                row = await ended(connection, job_id)
                waits.append((row["started_at"] - row["created_at"]).total_seconds())
            assert statistics.median(waits) < 0.15  # found by notice, not by the poll


async def test_sigterm_drains_a_worker_process(server: EmbeddedPostgres) -> None:
    url = server.url("momentum")
    async with connected(url) as connection:
        workers = Workers(1, jobs_service.main, url)
        try:
            async with connection.transaction():
                short = await enqueue(connection, Sleep(seconds=1))
            await ended(connection, short, status="running", within=20)
            assert await asyncio.to_thread(workers.stop) == [0]
        finally:
            workers.stop()
        row = await ended(connection, short, within=0.1)
        assert (row["status"], row["attempts"]) == ("succeeded", 1)
        assert await connection.fetchval("SELECT count(*) FROM job_workers") == 0


async def test_a_worker_without_jobs_does_not_wait_for_a_database_that_is_gone(server: EmbeddedPostgres) -> None:
    url = server.url("momentum")
    async with asyncio.timeout(20):
        async with a_worker(url, drain=timedelta(minutes=5)):
            await asyncio.to_thread(server.stop)
        stop, begin = asyncio.Event(), time.monotonic()
        asyncio.get_running_loop().call_later(1, stop.set)
        with pytest.raises(WorkerError, match="told to stop"):
            await run_worker(job_settings(url), jobs(), stop=stop)
        assert time.monotonic() - begin >= 1


async def test_a_worker_told_to_stop_in_an_outage_still_writes_how_its_job_ended(server: EmbeddedPostgres) -> None:
    url = server.url("momentum")
    async with a_worker(url, drain=timedelta(minutes=5)):
        async with connected(url) as connection:
            async with connection.transaction():
                running = await enqueue(connection, Sleep(seconds=2))
            await ended(connection, running, status="running")
        await asyncio.to_thread(server.stop)
        back = asyncio.create_task(start_after(server, seconds=8))
    await back
    row = (await ask(url, "SELECT status, attempts FROM jobs"))[0]
    assert tuple(row) == ("succeeded", 1)


async def start_after(server: EmbeddedPostgres, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.start)
