"""`Database.connection()`: what it hands out, and that nothing of one request reaches the next."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tandem.core import db
from tandem.core.db import Database
from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import Settings

BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    settings = Settings(_env_file=None, pool_size=2, pool_overflow=1, pool_timeout=0.3)
    database = Database(settings, parse_database_url(database_url))
    yield database
    await database.close()


async def backend(database: Database) -> int:
    async with database.connection() as connection:
        pid: int = await connection.fetchval(BACKEND)
        return pid


async def end_backend(database_url: str, pid: int) -> None:
    other = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    finally:
        await other.close()


async def test_a_connection_is_used_again(database: Database) -> None:
    first = await backend(database)
    assert [await backend(database) for _ in range(3)] == [first] * 3


async def test_a_connection_that_the_server_closed_is_replaced(database: Database, database_url: str) -> None:
    first = await backend(database)
    await end_backend(database_url, first)
    await asyncio.sleep(0.05)
    second = await backend(database)
    assert second != first
    assert await backend(database) == second


async def test_an_idle_connection_is_asked_before_it_is_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "IDLE_BEFORE_PING", -1.0)
    first = await backend(database)
    async with database.connection() as connection:
        transport = connection._transport
    assert await backend(database) == first
    transport.pause_reading()
    connection.terminate()  # as a load balancer does: nobody here has been told
    assert await backend(database) != first


async def test_an_exhausted_pool_says_so_and_recovers(database: Database) -> None:
    async with database.connection(), database.connection(), database.connection():
        with pytest.raises(PoolTimeoutError):
            await backend(database)
    assert database.pool.checkedout() == 0
    assert database.pool.checkedin() == 2  # the one above the pool's size was closed
    assert await backend(database) > 0


async def test_whoever_waits_gets_the_connection_that_comes_back(database: Database) -> None:
    async with database.connection(), database.connection():
        async with database.connection():
            waiting = asyncio.create_task(backend(database))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        assert await waiting > 0


async def test_an_open_transaction_does_not_reach_the_next_request(database: Database) -> None:
    async with database.connection() as connection:
        first = await connection.fetchval(BACKEND)
        await connection.execute("BEGIN")
    assert await backend(database) != first


async def test_sessions_and_connections_share_one_pool(database: Database) -> None:
    first = await backend(database)
    async with database.session() as session:
        assert (await (await session.connection()).exec_driver_sql(BACKEND)).scalar_one() == first
    assert await backend(database) == first


async def test_a_late_transaction_takes_no_connection_before_it_is_begun(database: Database) -> None:
    async with database.late_transaction() as begin:
        assert database.pool.checkedout() == 0
        connection = await begin()
        assert connection.is_in_transaction()
        assert await begin() is connection
        assert database.pool.checkedout() == 1
    assert database.pool.checkedout() == 0


async def test_a_late_transaction_is_committed_unless_it_raises(database: Database) -> None:
    async def execute(statement: str, *, then_fail: bool) -> None:
        async with database.late_transaction() as begin:
            await (await begin()).execute(statement)
            if then_fail:
                raise ZeroDivisionError

    await execute("CREATE TABLE kept (id int)", then_fail=False)
    with pytest.raises(ZeroDivisionError):
        await execute("DROP TABLE kept", then_fail=True)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM kept") == 0
