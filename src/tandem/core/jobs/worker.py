"""The worker of one service: engines that take jobs from the queue, the clock, and what keeps them honest.

    await run_worker(settings, JOBS, stop=event)

On `stop` nothing new is begun; what runs may finish for `options.drain`, then it is interrupted and given back, so
that another worker takes it up at once. A process that is killed instead loses nothing: its jobs are found after
`options.heartbeat`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.types import Channel

from tandem.core.db import Database
from tandem.core.ids import uuid7
from tandem.core.jobs import engine, operate
from tandem.core.jobs.driver import TOLD_TO_STOP, EngineDriver, ResilientDriver, is_outage, open_driver
from tandem.core.jobs.enqueue import enqueue
from tandem.core.jobs.errors import WorkerError
from tandem.core.jobs.execute import Bench, Executor, Runs
from tandem.core.jobs.options import Options, profiles
from tandem.core.jobs.registry import Jobs, ProfileName
from tandem.core.jobs.schedule import keep_time
from tandem.core.jobs.upkeep import Upkeep
from tandem.core.postgres_url import DatabaseUrl, parse_database_url
from tandem.core.settings import Settings

AFTER_GIVING_BACK = 10.0  # seconds handlers have to clean up before they are dropped
AFTER_FAILURE = 1.0  # seconds until an engine or the clock is started anew
_NEVER = timedelta(0)  # the engine's statistics, which nobody reads
_POOLER = (
    "the database address is a connection pooler in transaction mode, through which nobody can listen: set "
    "DIRECT_DATABASE_URL to the same database's direct address (Neon: the host without -pooler; Supabase: port 5432)"
)
UNHEARD = 20.0  # seconds without an answer from the database after which the worker is unhealthy

log = structlog.get_logger(__name__)


@dataclass
class Worker:
    """A running worker, for its health check and for what runs beside it. Made by `working`."""

    service: str
    id: UUID
    runs: Runs
    upkeep: Upkeep
    stop: asyncio.Event
    settings: Settings
    database: Database
    once: bool

    @property
    def connected(self) -> bool:
        """The database answered lately."""
        return asyncio.get_running_loop().time() - self.upkeep.answered < UNHEARD


async def run_worker(
    settings: Settings,
    jobs: Jobs,
    *,
    stop: asyncio.Event,
    where: DatabaseUrl | None = None,
    options: Options | None = None,
    once: bool = False,
) -> None:
    """Work until `stop` is set; with `once` fire every cron, work until nothing is due, and return.

    Raises WorkerError when it cannot start.
    """
    async with working(settings, jobs, stop=stop, where=where, options=options, once=once) as worker:
        await worker.stop.wait()


@asynccontextmanager
async def working(
    settings: Settings,
    jobs: Jobs,
    *,
    stop: asyncio.Event | None = None,
    where: DatabaseUrl | None = None,
    options: Options | None = None,
    once: bool = False,
) -> AsyncIterator[Worker]:
    """The worker works while the block lasts, and drains at its end."""
    logging.getLogger("pgqueuer").setLevel(logging.WARNING)
    address, stop = where or worker_database(settings), stop or asyncio.Event()
    if address.transaction_pooler:
        raise WorkerError(_POOLER)
    ways = options or options_of(settings)
    driver = await open_driver(address, stop)
    database = Database(settings, address)
    runs, worker_id, beside = Runs(), uuid7(), AsyncExitStack()
    upkeep = Upkeep(worker_id, driver, runs, ways, settings.app_version)
    bench = Bench(worker_id, settings, driver, database, runs, ways.max_lost)
    engines = _Engines(jobs, bench, ways)
    worker = Worker(jobs.service, worker_id, runs, upkeep, stop, settings, database, once)
    leaving = asyncio.create_task(_leave_when_idle(stop, engines, driver), name="jobs-leave")
    try:
        try:
            await upkeep.report()
        except Exception as error:
            if stop.is_set() and is_outage(error):
                raise WorkerError(TOLD_TO_STOP) from None
            raise
        for keep_going in jobs.running:
            await beside.enter_async_context(keep_going(worker))
        background = [asyncio.create_task(one) for one in (upkeep.keep_reporting(), upkeep.keep_tidy())]
        if once:
            await _fire_all(database, jobs)
            background.append(asyncio.create_task(_stop_when_idle(database, jobs, runs, stop)))
        elif jobs.crons:
            background.append(asyncio.create_task(_clock(database, jobs, stop)))
        engines.start()
        log.info("worker_started", worker_id=str(worker_id), types=sorted(jobs.handlers))
        try:
            yield worker
        finally:
            stop.set()
            await engines.drain()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            with suppress(Exception):  # the database may be gone; others will notice the silence
                await asyncio.wait_for(upkeep.leave(), 2)
            log.info("worker_stopped", worker_id=str(worker_id))
    finally:
        leaving.cancel()
        await beside.aclose()
        await driver.close()
        await database.close()


class _Engines:
    """One engine a profile, over one driver: started anew when one fails, drained together."""

    def __init__(self, jobs: Jobs, bench: Bench, options: Options) -> None:
        self._jobs, self._bench, self._options = jobs, bench, options
        self._running: dict[ProfileName, QueueManager] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = False

    def start(self) -> None:
        for name in self._options.profiles:
            if self._jobs.of(name):
                self._tasks.append(asyncio.create_task(self._keep_running(name), name=f"jobs-{name}"))
        self._tasks.append(asyncio.create_task(self._hear_cancellations(), name="jobs-cancel"))

    async def drain(self) -> None:
        """Let jobs finish, give back those that do not, and never take longer than both allow."""
        self._leaving = True
        driver, runs = self._bench.driver, self._bench.runs
        self._tasks.pop().cancel()
        for manager in self._running.values():
            manager.shutdown.set()
        if not await self._ended_within(self._options.drain.total_seconds()):
            log.warning("jobs_given_back", count=len(runs))
            runs.give_back()
            driver.leave()
            if not await self._ended_within(AFTER_GIVING_BACK):
                log.error("jobs_dropped", count=len(runs), jobs=[str(one) for one in runs.ids[:10]])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """No job is held, nor the outcome of one still to be written."""
        return not any(manager.job_context for manager in self._running.values())

    async def _ended_within(self, seconds: float) -> bool:
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(self._tasks, timeout=seconds)
        return not pending

    async def _keep_running(self, name: ProfileName) -> None:
        profile, ways = self._options.profiles[name], self._options
        while not self._leaving:
            self._running[name] = manager = self._manager(name)
            try:
                await manager.run(
                    dequeue_timeout=ways.poll,
                    batch_size=profile.batch_size,
                    max_concurrent_tasks=profile.concurrency,
                    shutdown_on_listener_failure=False,
                    heartbeat_timeout=ways.heartbeat,
                    log_aggregation_interval=_NEVER,
                )
            except Exception:
                if not self._leaving:
                    log.exception("jobs_engine_failed", profile=name)
                    await asyncio.sleep(AFTER_FAILURE)

    def _manager(self, name: ProfileName) -> QueueManager:
        manager = QueueManager(
            engine.queries(EngineDriver(self._bench.driver)), channel=Channel(engine.SETTINGS.channel)
        )
        for handler in self._jobs.of(name):
            manager.register_executor(handler.job_type, Executor(handler, self._bench))
        return manager

    async def _hear_cancellations(self) -> None:
        def heard(payload: str | bytes | bytearray) -> None:
            with suppress(ValueError):  # anyone may write to a channel
                self._bench.runs.cancel(UUID(str(payload)))

        await self._bench.driver.add_listener(operate.CANCEL_CHANNEL, heard)


async def _leave_when_idle(stop: asyncio.Event, engines: _Engines, driver: ResilientDriver) -> None:
    """Only a job is worth waiting for a database that is gone."""
    await stop.wait()
    while not engines.idle:  # noqa: ASYNC110 - the engine has no event for it
        await asyncio.sleep(0.1)
    driver.leave()


async def _clock(database: Database, jobs: Jobs, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await keep_time(database, jobs.crons, stop)
        except Exception as error:
            log.warning("cron_interrupted", reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(AFTER_FAILURE)


async def _fire_all(database: Database, jobs: Jobs) -> None:
    for one in jobs.crons:
        async with database.connection() as connection, connection.transaction():
            await enqueue(connection, one.payload, dedupe_key=f"cron:{one.name}")


async def _stop_when_idle(database: Database, jobs: Jobs, runs: Runs, stop: asyncio.Event) -> None:
    busy = """SELECT EXISTS (SELECT FROM jobs WHERE type = ANY($1::text[])
               AND (status = 'running' OR status = 'queued' AND run_at <= now()))"""
    while True:
        async with database.connection() as connection:
            if not len(runs) and not await connection.fetchval(busy, list(jobs.handlers)):
                stop.set()
                return
        await asyncio.sleep(0.05)


def worker_database(settings: Settings) -> DatabaseUrl:
    """The direct address where there is one: LISTEN and session locks do not survive a transaction pooler."""
    named = settings.direct_database_url or settings.database_url
    if named is None:
        raise WorkerError("the worker needs a database: set DATABASE_URL")
    return parse_database_url(named.get_secret_value())


def options_of(settings: Settings) -> Options:
    return replace(
        Options(),
        profiles=profiles(settings.worker_concurrency),
        drain=timedelta(seconds=settings.shutdown_timeout),
        keep_history=timedelta(days=settings.job_history_days),
    )
