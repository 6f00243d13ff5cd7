"""Worker processes that are replaced when they are killed, as a platform would; and a server of the test's own.

The server is durable: a commit that was answered is on disk.
"""

import asyncio
import multiprocessing
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES
from tests.databases import cluster_parent

ROOT = Path(__file__).parents[2]


class Workers:
    """Forked from a process that has imported everything: an interpreter's start takes longer than the time between two
    kills, and a worker that is never at work when it is killed proves nothing.
    """

    def __init__(self, count: int, main: Callable[..., None], *args: Any) -> None:
        self._main, self._args = main, args
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([main.__module__])
        with pytest.MonkeyPatch.context() as patch:  # the server is started with the first of them
            patch.setenv("PYTHONPATH", str(ROOT))
            self.processes = [self._start() for _ in range(count)]

    def _start(self) -> Any:
        process = self._context.Process(target=self._main, args=self._args)
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


@contextmanager
def durable_server(service: str) -> Iterator[EmbeddedPostgres]:
    """With a migrated database that has the service's name."""
    directory = cluster_parent()
    server = EmbeddedPostgres(directory / "postgres")
    try:
        server.start()
        server.create_database(service)
        migrate(SERVICES[service], server.url(service))
        yield server
        server.destroy()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def restart(server: EmbeddedPostgres) -> None:
    """A fast shutdown and a new start, as at an upgrade: every connection breaks, for a while there is no server."""
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.start)


async def ask(url: str, sql: str, *args: Any) -> Any:
    """Rows, over a connection of their own: the one before may not have survived."""
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        return await connection.fetch(sql, *args)
    finally:
        await connection.close()
