"""The worker inside the web process (`tandem serve --with-worker`, RUN_WORKER=true), for free tiers.

It shares the process and nothing else: it has connections of its own, and a worker that fails is started anew while
the API goes on serving. With several web processes each runs one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI

from tandem.core.db import Database
from tandem.core.postgres_url import DatabaseUrl
from tandem.core.settings import Settings

if TYPE_CHECKING:
    from tandem.core.jobs.registry import Jobs

AGAIN = 5.0  # seconds until a worker that failed is started anew

log = structlog.get_logger(__name__)


def worker_in_web(path: str) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """For `create_app(running=…)`. `path` is `module:attribute` of the Jobs, imported when the application starts."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        settings: Settings = app.state.settings
        database: Database = app.state.database
        module, _, attribute = path.partition(":")
        jobs: Jobs = getattr(import_module(module), attribute)
        stop = asyncio.Event()
        where = None if settings.database_url else database.where
        task = asyncio.create_task(_keep_working(settings, jobs, where, stop), name="worker")
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)

    return running


async def _keep_working(settings: Settings, jobs: "Jobs", where: DatabaseUrl | None, stop: asyncio.Event) -> None:
    from tandem.core.jobs.worker import run_worker

    while not stop.is_set():
        try:
            await run_worker(settings, jobs, stop=stop, where=where)
        except Exception as error:
            log.error("worker_failed", error=str(error), exc_info=not isinstance(error, RuntimeError))
            try:
                await asyncio.wait_for(stop.wait(), AGAIN)
            except TimeoutError:
                continue
