"""The database: one pooled engine a process, transactions that commit at the edge, reads that leave Postgres as JSON.

A request takes exactly one connection from the pool. Hot paths speak SQL on the asyncpg connection itself: reads in
autocommit (one round trip a statement, no BEGIN), writes inside `transaction()`. Features whose statements are composed
use a SQLAlchemy session on the same pool. Measured in one run, CPU per insert with the session lookup: 0.9 ms on
asyncpg's transaction, 1.8 ms through an AsyncSession (docs/adr/0003-sql-on-the-hot-path.md).
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from sqlalchemy import MetaData, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util.concurrency import greenlet_spawn, in_greenlet

from tandem.core.postgres_url import DatabaseUrl
from tandem.core.settings import Settings

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    # What a read runs on; asyncpg's own pool hands out a proxy of the same interface.
    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]
else:
    Connection = Any

IDLE_BEFORE_PING = 5.0  # seconds; asyncpg itself notices a connection that the server closed in an orderly way

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The declarative base of shared tables. Each service collects the metadata of the features it is made of."""

    metadata = MetaData(naming_convention=NAMING)


class Database:
    """The engine of one process. `close()` when the process ends."""

    def __init__(self, settings: Settings, where: DatabaseUrl) -> None:
        self.where = where
        self.engine: AsyncEngine = _engine(settings, where)

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
        return await greenlet_spawn(self.engine.sync_engine.raw_connection)

    def _take_idle(self) -> PoolProxiedConnection | None:
        if not self.pool.checkedin():
            return None
        try:
            return self.pool.connect()
        except _ConnectElsewhere:  # it was closed or too old; the pool, last in first out, gives its empty place next
            return None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def close(self) -> None:
        await self.engine.dispose()


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


def _engine(settings: Settings, where: DatabaseUrl) -> AsyncEngine:
    args = dict(where.connect_args)
    # The client's own bound, should the server not answer at all.
    args["command_timeout"] = settings.statement_timeout + 5
    if not where.transaction_pooler:  # a pooler refuses settings it does not know at connect
        limits = {"statement_timeout": settings.statement_timeout, "lock_timeout": settings.lock_timeout}
        args["server_settings"] |= {name: str(int(seconds * 1000)) for name, seconds in limits.items()}
    engine = create_async_engine(
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


def _ping_before_use(engine: AsyncEngine) -> None:
    """SQLAlchemy's `pool_pre_ping` without its three round trips on every request.

    A connection that the server closed is known locally at once; one that lay idle (a suspended Neon database, a load
    balancer that dropped it silently) is asked before it is used. `DisconnectionError` makes the pool replace it.
    """

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse_to_wait(*_: Any) -> None:
        if not in_greenlet():
            raise _ConnectElsewhere

    @event.listens_for(engine.sync_engine, "checkin")
    def remember(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(dbapi_connection: Any, record: Any, _: Any) -> None:
        if dbapi_connection.driver_connection.is_closed():
            raise DisconnectionError("the server closed this connection")
        if in_greenlet() and _lay_idle(record.info):
            try:
                dbapi_connection.ping()
            except Exception as error:
                raise DisconnectionError("an idle connection did not answer") from error
