"""A database of its own for every test, cloned from one that was migrated once."""

import asyncio
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url

TEMPLATE = "template_momentum"
ROOM = 1_000_000_000  # bytes for the clusters of all test processes


def cluster_parent() -> Path:
    """A new directory for a cluster, in memory where there is room: a clone then takes 15 ms and not 300.

    The unprivileged user that runs the server for root can enter it.
    """
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private name in it
    roomy = memory.is_dir() and os.access(memory, os.W_OK | os.X_OK) and shutil.disk_usage(memory).free > ROOM
    directory = Path(tempfile.mkdtemp(prefix="tandem-tests-", dir=memory if roomy else None))
    directory.chmod(0o711)
    return directory


class Clones:
    """Makes and drops databases over one connection, on a thread of its own so that tests of any kind can ask.

    The next clone is made while a test runs: CREATE DATABASE costs more than most tests.
    """

    def __init__(self, server: EmbeddedPostgres, template: str = TEMPLATE) -> None:
        self._server, self._template = server, template
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clones", daemon=True)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self._thread.start()
        where = parse_database_url(self._server.url("postgres"))
        self._connection = self._wait(asyncpg.connect(**where.asyncpg_args))
        self._turn = self._wait(_lock())
        self._next = self._begin(self._clone())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next.result()
        self._wait(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def take(self) -> str:
        """The name of a fresh clone; the one after it is begun."""
        name: str = self._next.result()
        self._next = self._begin(self._clone())
        return name

    def drop(self, name: str) -> None:
        self._begin(self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    async def _clone(self) -> str:
        name = f"{self._template.removeprefix('template_')}_{next(self._numbers)}"
        await self._run(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}" STRATEGY file_copy')
        return name

    async def _run(self, statement: str) -> None:
        async with self._turn:
            await self._connection.execute(statement)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._begin(work).result()


async def _lock() -> asyncio.Lock:
    return asyncio.Lock()
