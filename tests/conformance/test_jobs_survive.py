"""Jobs survive what happens to workers and to their database: kill -9 every half second, and a restart of Postgres.

The server here is the test's own and durable: a commit that was answered is on disk.
"""

import asyncio
import contextlib
import multiprocessing
import random
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tandem.core.jobs import enqueue, enqueue_many
from tandem.core.jobs.errors import WorkerError
from tandem.core.jobs.worker import run_worker
from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES
from tests.core import jobs_service
from tests.core.jobs_service import TABLES, Note, Sleep, Steps, a_worker, connect, ended, job_settings, jobs, until
from tests.databases import cluster_parent

ROOT = Path(__file__).parents[2]
JOBS = 300
STEPS = 3
KILL_EVERY = 0.5  # seconds
KILLS = 16
BOUND = 25.0  # seconds from the last kill to the last job's end


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    directory = cluster_parent()
    server = EmbeddedPostgres(directory / "postgres")
    try:
        server.start()
        server.create_database("momentum")
        migrate(SERVICES["momentum"], server.url("momentum"))
        yield server
        server.destroy()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Workers:
    """Worker processes that are replaced when they are killed, as a platform would.

    Forked from a process that has imported everything: an interpreter's start takes longer than the time between two
    kills, and a worker that is never at work when it is killed proves nothing.
    """

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        self._url = url
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.core.jobs_service"])
        self.processes = [self._start() for _ in range(count)]

    def _start(self) -> Any:
        process = self._context.Process(target=jobs_service.main, args=(self._url,))
        process.start()
        return process

    def kill_one(self, rng: random.Random) -> None:
        index = rng.randrange(len(self.processes))
        self.processes[index].kill()
        self.processes[index].join()
        self.processes[index] = self._start()

    def stop(self) -> list[int | None]:
        """Exit codes after SIGTERM; None for a worker that did not leave in time."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(20)
        codes = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
            process.join()
        return codes


async def restart(server: EmbeddedPostgres) -> None:
    """A fast shutdown and a new start, as at an upgrade: every connection breaks, for a while there is no server."""
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.start)


async def ask(url: str, sql: str, *args: Any) -> Any:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        return await connection.fetch(sql, *args)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_no_job_is_lost_and_no_finished_step_is_done_twice(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, rng = server.url("momentum"), random.Random(4)  # noqa: S311 - which worker is killed
    async with connected(url) as connection:
        await connection.execute(TABLES)
        async with connection.transaction():
            await enqueue_many(connection, [Steps(count=STEPS, seconds=0.05) for _ in range(JOBS)])
    workers = Workers(url, monkeypatch, 2)
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


async def test_sigterm_drains_a_worker_process(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.url("momentum")
    async with connected(url) as connection:
        workers = Workers(url, monkeypatch, 1)
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
