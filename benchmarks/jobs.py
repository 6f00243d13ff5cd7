"""`python -m benchmarks --jobs`: our queue, and beside it a plain Redis worker (RPUSH, BRPOP) under the same kills.

Also run by `make bench`. Prints a table and writes the jobs section of docs/performance.md.
"""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import asyncpg
import psutil
from pydantic import SecretStr

from benchmarks import redis_worker
from benchmarks.section import Figure, Section
from benchmarks.servers import own_postgres
from tandem.core.jobs import JobPayload, enqueue, enqueue_many
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.options import Options, Profile
from tandem.core.jobs.registry import Jobs, handles
from tandem.core.jobs.worker import working
from tandem.core.log import configure_logging
from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import Settings
from tandem.ops.services import SERVICES

WHAT = "the job queue"

MAX_PICKUP, MIN_RATE = 50.0, 300.0  # ms of the median; no-op jobs a second
KILL_EVERY = 0.5  # seconds
BULK, FEW = Profile(10, 20), Profile(1, 2)  # few at once, so that the kills meet jobs at work
WORK = 0.02  # seconds a job of the kill test takes
_RECORD = "INSERT INTO bench_done (job) VALUES ($1)"


class Nothing(JobPayload, job_type="nothing"):
    pass


class Record(JobPayload, job_type="record"):
    job: int


@handles(Nothing)
async def nothing(_job: JobContext, _payload: Nothing) -> None:
    return


@handles(Record)
async def record(job: JobContext, payload: Record) -> None:
    await asyncio.sleep(WORK)
    async with job.finish() as connection:
        await connection.execute(_RECORD, payload.job)


@dataclass(frozen=True)
class Scale:
    lone: int  # jobs one at a time
    many: int  # no-op jobs at once
    enqueued: int  # transactions with a job and without
    killed: int  # jobs of the kill test
    kills: int


FULL = Scale(lone=300, many=5000, enqueued=2000, killed=500, kills=12)
QUICK = Scale(lone=10, many=200, enqueued=100, killed=60, kills=2)


@dataclass(frozen=True)
class Results:
    """Milliseconds, jobs a second, milliseconds; (lost, doubled) of ours and of the Redis worker, None without it."""

    pickup_p50: float
    pickup_p99: float
    rate: float
    enqueue_cost: float
    memory: float
    ours: tuple[int, int]
    seed: tuple[int, int] | None
    killed: int

    def missed(self) -> Iterator[str]:
        if self.pickup_p50 > MAX_PICKUP:
            yield f"pickup of a lone job: {self.pickup_p50:.1f} ms, the target is {MAX_PICKUP:g} ms"
        if self.rate < MIN_RATE:
            yield f"no-op jobs: {self.rate:.0f}/s, the target is {MIN_RATE:g}/s"
        if self.ours != (0, 0):
            yield f"under kills {self.ours[0]} jobs were lost and {self.ours[1]} written twice, the target is none"


def serve(url: str, profile: Profile = BULK) -> None:
    """A worker process, as `tandem worker` is one."""
    configure_logging(settings(url))
    asyncio.run(_serve(url, profile))


async def _serve(url: str, profile: Profile) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = Options(profiles={"bulk": profile}, heartbeat=timedelta(seconds=2), poll=timedelta(seconds=1))
    async with working(settings(url), Jobs("bench", handlers=[nothing, record]), stop=stop, options=options):
        await stop.wait()


def settings(url: str) -> Settings:
    return SERVICES["momentum"].settings_class(
        _env_file=None, environment="test", database_url=SecretStr(url), log_level="ERROR"
    )


def measure(scale: Scale, say: Callable[[str], None]) -> Results:
    """On a durable Postgres of its own, that is deleted afterwards."""
    with own_postgres("momentum") as url, _workers() as start:
        worker = start(serve, url)
        say("pickup of a lone job")
        waits = asyncio.run(_pickup(url, scale.lone))
        say("no-op jobs, one worker")
        rate = asyncio.run(_rate(url, scale.many))
        memory = psutil.Process(worker.pid).memory_info().rss / 1_000_000
        say("enqueue in a transaction")
        cost = asyncio.run(_enqueue_cost(url, scale.enqueued))
        worker.terminate()
        worker.join()
        say(f"{scale.killed} jobs over 2 workers, kill -9 every {KILL_EVERY:g} s: ours")
        ours = asyncio.run(_under_kills(url, start, scale))
        say("the same: a plain Redis worker")
        seed = asyncio.run(_seed_under_kills(url, start, scale))
    return Results(median(waits), quantiles(waits, n=100)[98], rate, cost, memory, ours, seed, scale.killed)


async def _pickup(url: str, jobs: int) -> list[float]:
    """Milliseconds from the commit to the start, as the database's clock tells them."""
    connection = await _connect(url)
    async with connection.transaction():
        await enqueue(connection, Nothing())
    await _until(connection, "SELECT NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)")
    for _ in range(jobs):
        async with connection.transaction():
            await enqueue(connection, Nothing())
        await asyncio.sleep(0.03)
    await _until(connection, "SELECT NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)")
    rows = await connection.fetch(
        "SELECT extract(epoch FROM started_at - created_at)::float8 * 1000 AS wait FROM jobs ORDER BY id OFFSET 1"
    )
    await connection.close()
    return [row["wait"] for row in rows]


async def _rate(url: str, jobs: int) -> float:
    """Finished a second, from the first start to the last end."""
    connection = await _connect(url)
    await connection.execute("DELETE FROM jobs")
    async with connection.transaction():
        await enqueue_many(connection, [Nothing() for _ in range(jobs)])
    await _until(connection, "SELECT NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)", within=120)
    seconds = await connection.fetchval(
        "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM jobs"
    )
    await connection.close()
    return jobs / float(seconds)


async def _enqueue_cost(url: str, times: int) -> float:
    """Milliseconds that one enqueue adds to a transaction that writes a row; median of both, taken in turn."""
    connection = await _connect(url)
    without, with_job = [], []
    for number in range(times):
        for timings in (without, with_job):
            began = time.perf_counter()
            async with connection.transaction():
                await connection.execute(_RECORD, -number)
                if timings is with_job:
                    await enqueue(connection, Nothing(), delay=timedelta(days=1))
            timings.append(time.perf_counter() - began)
    await connection.execute("TRUNCATE bench_done")
    await connection.execute("DELETE FROM jobs")
    await connection.execute("DELETE FROM pgqueuer")
    await connection.close()
    return (median(with_job) - median(without)) * 1000


async def _under_kills(url: str, start: Callable[..., Any], scale: Scale) -> tuple[int, int]:
    connection = await _connect(url)
    async with connection.transaction():
        await enqueue_many(connection, [Record(job=number) for number in range(scale.killed)])
    finished = _until_quiet(connection, "SELECT NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)")
    return await _kill_meanwhile(connection, lambda: start(serve, url, FEW), scale, finished)


async def _seed_under_kills(url: str, start: Callable[..., Any], scale: Scale) -> tuple[int, int] | None:
    with redis_worker.redis_server() as redis:
        if redis is None:
            return None
        connection = await _connect(url)
        await connection.execute("TRUNCATE bench_done")
        redis_worker.push(redis, scale.killed)
        finished = _until_empty(redis)
        return await _kill_meanwhile(connection, lambda: start(redis_worker.serve, redis, url, WORK), scale, finished)


async def _kill_meanwhile(
    connection: Any, start: Callable[[], Any], scale: Scale, finished: Callable[[], Awaitable[None]]
) -> tuple[int, int]:
    """How many of the numbered jobs were never recorded, and how many twice."""
    workers = [start(), start()]
    await _until(connection, "SELECT EXISTS (SELECT FROM bench_done)")
    for number in range(scale.kills):
        await asyncio.sleep(KILL_EVERY)
        workers[number % 2].kill()
        workers[number % 2].join()
        workers[number % 2] = start()
    await finished()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(10)
        worker.kill()
        worker.join()
    row = await connection.fetchrow("SELECT count(DISTINCT job) AS once, count(*) AS times FROM bench_done")
    await connection.execute("TRUNCATE bench_done")
    await connection.close()
    return scale.killed - row["once"], row["times"] - row["once"]


def _until_quiet(connection: Any, sql: str) -> Callable[[], Awaitable[None]]:
    return lambda: _until(connection, sql, within=90)


def _until_empty(redis: str) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        while redis_worker.waiting(redis) > 0:  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)  # what is being worked on

    return wait


async def _until(connection: Any, sql: str, *, within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not await connection.fetchval(sql):  # noqa: ASYNC110 - what changes is in the database
            await asyncio.sleep(0.05)


async def _connect(url: str) -> Any:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    await connection.execute("CREATE TABLE IF NOT EXISTS bench_done (job int)")
    return connection


@contextmanager
def _workers() -> Iterator[Callable[..., Any]]:
    """Starts processes forked from one that has imported everything, and ends those that are left."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.jobs"])
    started: list[Any] = []

    def start(target: Callable[..., None], *args: Any) -> Any:
        process = context.Process(target=target, args=args)
        process.start()
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.join()


def section(results: Results) -> Section:
    lost = f"of {results.killed} jobs under kill -9 every {KILL_EVERY:g} s, lost / written twice"
    seed = "no redis-server here" if results.seed is None else f"{results.seed[0]} / {results.seed[1]}"
    figures = [
        Figure("pickup of a lone job, p50", f"{results.pickup_p50:.1f} ms", f"≤ {MAX_PICKUP:g} ms"),
        Figure("pickup of a lone job, p99", f"{results.pickup_p99:.1f} ms"),
        Figure("no-op jobs a second, one worker", f"{results.rate:,.0f}", f"≥ {MIN_RATE:g}"),
        Figure("what an enqueue adds to a transaction", f"{results.enqueue_cost:.2f} ms"),
        Figure("resident memory of the worker", f"{results.memory:.0f} MB", "≤ 200 MB"),
        Figure(f"{lost}: ours", f"{results.ours[0]} / {results.ours[1]}", "0 / 0"),
        Figure(f"{lost}: a plain Redis BRPOP worker", seed),
    ]
    intro = f"PgQueuer {version('pgqueuer')}, on a durable Postgres"
    return Section("jobs", intro, figures, list(results.missed()))


def run(*, quick: bool, say: Callable[[str], None]) -> None:
    """Measure, show, and unless it is quick write."""
    found = section(measure(QUICK if quick else FULL, say))
    found.show()
    if not quick:
        found.write()
