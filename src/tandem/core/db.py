"""The database: one pooled engine a process, transactions that commit at the edge, reads that leave Postgres as JSON.

A request takes exactly one connection from the pool. Hot paths speak SQL on the asyncpg connection itself: reads in
autocommit (one round trip a statement, no BEGIN), writes inside `transaction()`. Where statements must be composed, a
SQLAlchemy session is to be had on the same pool. Measured in one run, CPU per insert with the session lookup: 0.9 ms on
asyncpg's transaction, 1.8 ms through an AsyncSession (docs/adr/0003-sql-on-the-hot-path.md).
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util.concurrency import greenlet_spawn, in_greenlet

from tandem.core.postgres_url import DatabaseUrl
from tandem.core.settings import Settings

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy
    from sqlalchemy.ext.asyncio import AsyncSession

    from tandem.core.base import NAMING as NAMING  # noqa: PLC0414 - exported
    from tandem.core.base import Base as Base  # noqa: PLC0414

    # What a read runs on; asyncpg's own pool hands out a proxy of the same interface.
    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]
else:
    Connection = Any

Begin: TypeAlias = Callable[[], Awaitable[Connection]]
"""Begins a request's transaction at the first call, and gives its connection at every call."""

IDLE_BEFORE_PING = 5.0  # seconds; asyncpg itself notices a connection that the server closed in an orderly way


def __getattr__(name: str) -> Any:
    """`Base` and `NAMING`, which moved to core.base, for as long as somebody still looks for them here."""
    if name in {"Base", "NAMING"}:
        from tandem.core import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Database:
    """The engine of one process. `close()` when the process ends."""

    def __init__(self, settings: Settings, where: DatabaseUrl) -> None:
        self.where = where
        self.engine = _engine(settings, where)  # its methods wait for the network, each in a greenlet of its own

    @property
    def pool(self) -> AsyncAdaptedQueuePool:
        return cast(AsyncAdaptedQueuePool, self.engine.pool)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled asyncpg connection in autocommit; `connection.transaction()` begins a transaction on it."""
        fairy = await self._checkout()
        connection = cast(Connection, fairy.driver_connection)
        try:
            yield connection
        finally:
            # Left behind by a cancelled COMMIT or ROLLBACK: it must not reach the next request.
            if connection.is_in_transaction():
                fairy.invalidate()
            if self.pool.checkedin() < self.pool.size():
                fairy.close()
            else:  # one more than the pool keeps: it is closed, which waits for the network
                await greenlet_spawn(fairy.close)

    async def _checkout(self) -> PoolProxiedConnection:
        """Without SQLAlchemy's greenlet, which costs a request 0.1 ms, where an idle connection can be had at once."""
        fairy = self._take_idle()
        if fairy is not None:
            try:
                if await _is_alive(fairy):
                    return fairy
            except BaseException:  # cancelled in the middle of asking
                fairy.invalidate()
                raise
            fairy.invalidate()
        return await greenlet_spawn(self.engine.raw_connection)

    def _take_idle(self) -> PoolProxiedConnection | None:
        if not self.pool.checkedin():
            return None
        try:
            return self.pool.connect()
        except _ConnectElsewhere:  # it was closed or too old; the pool, last in first out, gives its empty place next
            return None

    @asynccontextmanager
    async def late_transaction(self) -> AsyncIterator[Begin]:
        """A transaction that takes no connection before it is begun, for work that takes its time before it writes.

        Committed when the block ends, rolled back when it raises.
        """
        async with AsyncExitStack() as stack:
            begun: Connection | None = None

            async def begin() -> Connection:
                nonlocal begun
                if begun is None:
                    begun = await stack.enter_async_context(self.connection())
                    await stack.enter_async_context(begun.transaction())
                return begun

            yield begin

    @asynccontextmanager
    async def session(self) -> AsyncIterator["AsyncSession"]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession  # with the ORM, 5 MB that most servers never need

        async with AsyncSession(AsyncEngine(self.engine), expire_on_commit=False) as session, session.begin():
            yield session

    async def close(self) -> None:
        await greenlet_spawn(self.engine.dispose)


class _ConnectElsewhere(Exception):
    """A connection must be made, and this is no greenlet in which SQLAlchemy could wait for it."""


class Args(list[Any]):
    """Positional arguments of a statement that is put together: `arg(value)` keeps the value and gives its `$n`."""

    def __call__(self, value: Any) -> str:
        self.append(value)
        return f"${len(self)}"


async def fetch_one(connection: Connection, sql: str, *args: Any) -> "asyncpg.Record":
    """The row of a statement that always has one; raises LookupError when it has none, which is a bug."""
    row: asyncpg.Record | None = await connection.fetchrow(sql, *args)
    if row is None:
        raise LookupError("a statement that always yields a row yielded none")
    return row


async def read_json(connection: Connection, sql: str, *args: Any) -> bytes:
    """The JSON of a statement that always has one row of one text value, handed on unparsed."""
    text: str = (await fetch_one(connection, sql, *args))[0]
    return text.encode()


def _engine(settings: Settings, where: DatabaseUrl) -> Engine:
    args = dict(where.connect_args)
    # The client's own bound, should the server not answer at all.
    args["command_timeout"] = settings.statement_timeout + 5
    if not where.transaction_pooler:  # a pooler refuses settings it does not know at connect
        limits = {"statement_timeout": settings.statement_timeout, "lock_timeout": settings.lock_timeout}
        args["server_settings"] |= {name: str(int(seconds * 1000)) for name, seconds in limits.items()}
    engine = create_engine(
        where.url,
        connect_args=args,
        echo=settings.sql_echo,
        hide_parameters=True,  # values of a statement may be secrets, and errors are logged
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=settings.pool_timeout,
        pool_recycle=settings.pool_recycle,
        pool_use_lifo=True,
    )
    _ping_before_use(engine)
    return engine


async def _is_alive(fairy: PoolProxiedConnection) -> bool:
    """Asks a connection that lay idle, for a checkout outside of SQLAlchemy's greenlet (see `_ping_before_use`)."""
    if not _lay_idle(fairy.info):
        return True
    try:
        await cast(Connection, fairy.driver_connection).fetchrow(";")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


def _lay_idle(info: dict[Any, Any]) -> bool:
    now = time.monotonic()
    return bool(now - info.get("idle_since", now) > IDLE_BEFORE_PING)


def _ping_before_use(engine: Engine) -> None:
    """SQLAlchemy's `pool_pre_ping` without its three round trips on every request.

    A connection that the server closed is known locally at once; one that lay idle (a suspended Neon database, a load
    balancer that dropped it silently) is asked before it is used. `DisconnectionError` makes the pool replace it.
    """

    @event.listens_for(engine, "do_connect")
    def refuse_to_wait(*_: Any) -> None:
        if not in_greenlet():
            raise _ConnectElsewhere

    @event.listens_for(engine, "checkin")
    def remember(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(dbapi_connection: Any, record: Any, _: Any) -> None:
        if dbapi_connection.driver_connection.is_closed():
            raise DisconnectionError("the server closed this connection")
        if in_greenlet() and _lay_idle(record.info):
            try:
                dbapi_connection.ping()
            except Exception as error:
                raise DisconnectionError("an idle connection did not answer") from error
