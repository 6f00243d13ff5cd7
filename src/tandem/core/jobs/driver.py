"""The worker's way to the database: rides out a restart of Postgres, and keeps listening.

Stock, a worker that lost its connection looked alive and picked nothing up for 17 to 27 s, and jobs whose outcome could
not be written were lost to the queue. Here a statement is repeated until the database answers, and LISTEN has a
connection of its own that is opened anew when it breaks. A statement whose answer was lost may so run twice: every
statement of ours and of the engine bears that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import asyncpg
import structlog
from pgqueuer.core.tm import TaskManager
from pgqueuer.ports.driver import Driver, NotifyCallback
from sqlalchemy.exc import DBAPIError

from tandem.core.db import Connection
from tandem.core.jobs.errors import WorkerError
from tandem.core.postgres_url import DatabaseUrl

if TYPE_CHECKING:
    Pool = asyncpg.Pool[Any]
    DedicatedConnection = asyncpg.Connection[Any]
else:
    Pool = DedicatedConnection = Any

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two tries
LISTEN_AGAIN = 0.2  # seconds
ASK_LISTENER = 5.0  # seconds between two signs of life of the listening connection
ANSWER = 5.0  # seconds it has for one
COMMAND = 60.0  # seconds after which a statement without an answer counts as lost
TOLD_TO_STOP = "told to stop before the database answered"
LEAVING = 3.0  # seconds a statement is repeated for once the worker leaves

log = structlog.get_logger(__name__)

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,
    asyncpg.TooManyConnectionsError,
)


def is_outage(error: BaseException) -> bool:
    """The database went away under a statement, which says nothing about the statement."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_outage(error.orig))
    if isinstance(error, asyncpg.InterfaceError):  # "connection is closed", but not a value that cannot be sent
        return not isinstance(error, ValueError)
    # SQLAlchemy wraps the driver's errors in ones of its own and keeps them as the cause.
    return isinstance(error, _GONE) or (error.__cause__ is not None and is_outage(error.__cause__))


class ResilientDriver(Driver):
    """Over a pool of its own, so that heartbeats never queue behind handlers. Made by `open_driver`."""

    def __init__(self, pool: Pool, where: DatabaseUrl) -> None:
        self._pool, self._where = pool, where
        self._listeners: list[tuple[str, NotifyCallback]] = []
        self._listening: asyncio.Task[None] | None = None
        self._channels_changed = asyncio.Event()
        self._up = asyncio.Event()
        self._shutdown = asyncio.Event()
        self._tasks = TaskManager()
        self._leaving_since: float | None = None

    # ---- what the engine asks for

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        rows = await self._repeat(lambda: self._pool.fetch(query, *args))
        return [dict(row) for row in rows]

    async def execute(self, query: str, *args: object) -> str:
        status: str = await self._repeat(lambda: self._pool.execute(query, *args))
        return status

    async def notify(self, channel: str, payload: str) -> None:
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        """Returns when the server listens, so that nothing sent from now on is missed."""
        self._listeners.append((channel, callback))
        self._up.clear()
        self._channels_changed.set()
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="jobs-listener")
        while not self._up.is_set():
            if self._out_of_patience():
                raise ConnectionResetError(TOLD_TO_STOP)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), LISTEN_AGAIN)

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return self._tasks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stays open: outcomes are written after the engine has left. `close` ends it."""

    # ---- ours

    async def statement(self, sql: str, *args: Any) -> Any:
        """Rows of a statement, as records."""
        return await self._repeat(lambda: self._pool.fetch(sql, *args))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the worker's own pool, for what is tried again later anyway."""
        async with self._pool.acquire() as connection:
            yield connection

    def leave(self) -> None:
        """No statement is repeated for longer than LEAVING from now on."""
        self._leaving_since = self._leaving_since or time.monotonic()

    def remove_listener(self, channel: str, callback: NotifyCallback) -> None:
        with suppress(ValueError):
            self._listeners.remove((channel, callback))

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._pool.terminate()

    async def _repeat(self, call: Callable[[], Awaitable[Any]]) -> Any:
        pause, told = FIRST_PAUSE, False
        while True:
            try:
                return await call()
            except Exception as error:
                if not (is_outage(error) or isinstance(error, OSError)) or self._out_of_patience():
                    raise
                if not told:
                    log.warning("jobs_database_lost", reason=type(error).__name__)
                    told = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _out_of_patience(self) -> bool:
        return self._leaving_since is not None and time.monotonic() - self._leaving_since > LEAVING

    async def _listen(self) -> None:
        while True:
            connection: DedicatedConnection | None = None
            try:
                connection = await asyncpg.connect(**self._where.asyncpg_args)
                await self._hear(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("jobs_listener_lost", reason=type(error).__name__)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(LISTEN_AGAIN)

    async def _hear(self, connection: DedicatedConnection) -> None:
        """Until the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: self._wake(lost))
        heard: set[str] = set()
        while not lost.is_set():
            self._channels_changed.clear()
            for channel in {channel for channel, _ in self._listeners} - heard:
                await connection.add_listener(channel, self._deliver)
                heard.add(channel)
            self._up.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._channels_changed.wait(), ASK_LISTENER)
                continue
            async with asyncio.timeout(ANSWER):
                await connection.execute("SELECT 1")

    def _wake(self, lost: asyncio.Event) -> None:
        lost.set()
        self._channels_changed.set()

    def _deliver(self, _connection: object, _pid: object, channel: str, payload: object) -> None:
        for wanted, callback in list(self._listeners):
            if wanted == channel:
                callback(str(payload))


class EngineDriver(Driver):
    """One engine's share of the worker's driver: what it listened to is forgotten when it ends or fails."""

    def __init__(self, whole: ResilientDriver) -> None:
        self._whole = whole
        self._heard: list[tuple[str, NotifyCallback]] = []

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return await self._whole.fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        return await self._whole.execute(query, *args)

    async def notify(self, channel: str, payload: str) -> None:
        await self._whole.notify(channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._heard.append((channel, callback))
        await self._whole.add_listener(channel, callback)

    @property
    def shutdown(self) -> asyncio.Event:
        return self._whole.shutdown

    @property
    def tm(self) -> TaskManager:
        return self._whole.tm

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel, callback in self._heard:
            self._whole.remove_listener(channel, callback)
        self._heard.clear()


async def open_driver(where: DatabaseUrl, stop: asyncio.Event, *, size: int = 4) -> ResilientDriver:
    """Waits for a database that is still starting. Raises WorkerError where the schema is not there."""
    while True:
        try:
            pool = await asyncpg.create_pool(min_size=1, max_size=size, command_timeout=COMMAND, **where.asyncpg_args)
            if await pool.fetchval("SELECT to_regclass('job_workers') IS NOT NULL"):
                return ResilientDriver(pool, where)
            pool.terminate()
            raise WorkerError("the database has no job tables yet: run `tandem migrate` first")
        except (ConnectionError, FileNotFoundError, TimeoutError, asyncpg.CannotConnectNowError) as error:
            log.warning("jobs_database_not_ready", reason=type(error).__name__)
            if stop.is_set():
                raise WorkerError(TOLD_TO_STOP) from None
            await asyncio.sleep(LONGEST_PAUSE)
        except (asyncpg.PostgresError, OSError) as error:
            raise WorkerError(f"could not connect to the database: {error}") from None
