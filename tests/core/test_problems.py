"""Which Problem answers which exception, with the real exceptions of a real Postgres where there are any."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
import sqlalchemy
from pydantic import SecretStr
from starlette.exceptions import HTTPException

from tandem.core.db import Database
from tandem.core.errors import (
    DatabaseUnavailable,
    InternalError,
    MethodNotAllowed,
    NotFound,
    PoolExhausted,
    Problem,
    StatementTimeout,
    Unavailable,
)
from tandem.core.postgres_url import parse_database_url
from tandem.core.problems import problem_of
from tests.core.edge_service import settings


def _database(url: str, **values: Any) -> Database:
    chosen = settings(database_url=SecretStr(url), **values)
    return Database(chosen, parse_database_url(url))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = _database(database_url, pool_size=1, pool_overflow=0, pool_timeout=0.2, statement_timeout=0.2)
    yield database
    await database.close()


async def _raw(database: Database, sql: str) -> None:
    async with database.connection() as connection:
        await connection.execute(sql)


async def _through_sqlalchemy(database: Database, sql: str) -> None:
    async with database.session() as session:
        await session.execute(sqlalchemy.text(sql))


async def _problem(work: Awaitable[None]) -> Problem:
    try:
        await work
    except Exception as error:
        return problem_of(error)
    raise AssertionError("nothing was raised")


both_ways = pytest.mark.parametrize("run", [_raw, _through_sqlalchemy])
Run = Callable[[Database, str], Awaitable[None]]


@both_ways
async def test_a_statement_that_runs_too_long_is_a_statement_timeout(database: Database, run: Run) -> None:
    problem = await _problem(run(database, "SELECT pg_sleep(5)"))
    assert isinstance(problem, StatementTimeout)
    assert problem.headers["Retry-After"] == "2"


@both_ways
async def test_a_connection_the_server_ended_is_an_unavailable_database(database: Database, run: Run) -> None:
    problem = await _problem(run(database, "SELECT pg_terminate_backend(pg_backend_pid())"))
    assert type(problem) is DatabaseUnavailable


@both_ways
async def test_a_lock_that_is_not_given_in_time_may_be_retried(database: Database, run: Run, database_url: str) -> None:
    other = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        await other.execute("CREATE TABLE held (id int)")
        async with other.transaction():
            await other.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            async with database.connection() as connection:
                await connection.execute("SET lock_timeout = 50")
            problem = await _problem(run(database, "SELECT * FROM held"))
    finally:
        await other.close()
    assert type(problem) is Unavailable
    assert problem.headers["Retry-After"] == "1"


@both_ways
async def test_a_deadlock_may_be_retried(database: Database, run: Run) -> None:
    problem = await _problem(run(database, "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
    assert type(problem) is Unavailable


@both_ways
async def test_a_wrong_statement_is_a_bug(database: Database, run: Run) -> None:
    for sql in ("SELEC 1", "SELECT nothing FROM nowhere", "SELECT 1/0"):
        assert type(await _problem(run(database, sql))) is InternalError


@both_ways
async def test_an_exhausted_pool_says_so(database: Database, run: Run) -> None:
    async with database.connection():
        problem = await _problem(run(database, "SELECT 1"))
    assert isinstance(problem, PoolExhausted)
    assert problem.headers["Retry-After"] == "1"


@both_ways
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1:{closed}/x",
        "postgresql://u@/x?host=/tmp/no-such-directory",
        "postgresql://u@/x?host=/tmp",
    ],
)
async def test_a_server_that_is_not_there_is_an_unavailable_database(run: Run, url: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    database = _database(url.format(closed=closed))
    assert type(await _problem(run(database, "SELECT 1"))) is DatabaseUnavailable
    await database.close()


@both_ways
async def test_a_database_that_does_not_exist_is_unavailable(database_url: str, run: Run) -> None:
    where = parse_database_url(database_url)
    name = str(where.url.database)
    database = _database(database_url.replace(f"/{name}?", f"/{name}_gone?"))
    assert type(await _problem(run(database, "SELECT 1"))) is DatabaseUnavailable
    await database.close()


async def test_a_server_that_accepts_and_never_answers_is_an_unavailable_database() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        database = _database(f"postgresql://u:p@127.0.0.1:{port}/x?connect_timeout=1&sslmode=disable")
        assert type(await _problem(_raw(database, "SELECT 1"))) is DatabaseUnavailable
        await database.close()


async def test_a_server_that_hangs_up_is_an_unavailable_database() -> None:
    async def rude(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = _database(f"postgresql://u:p@127.0.0.1:{port}/x?sslmode=disable")
    assert type(await _problem(_raw(database, "SELECT 1"))) is DatabaseUnavailable
    await database.close()
    server.close()
    await server.wait_closed()


def test_an_os_error_of_our_own_is_a_bug() -> None:
    for error in (FileNotFoundError("x"), TimeoutError(), ConnectionRefusedError(), ValueError("x")):
        with pytest.raises(type(error)) as raised:
            raise error
        assert type(problem_of(raised.value)) is InternalError


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("08006", DatabaseUnavailable),
        ("28P01", DatabaseUnavailable),
        ("3D000", DatabaseUnavailable),
        ("53300", DatabaseUnavailable),
        ("57P01", DatabaseUnavailable),
        ("57P03", DatabaseUnavailable),
        ("25006", DatabaseUnavailable),
        ("40001", Unavailable),
        ("55P03", Unavailable),
        ("57014", StatementTimeout),
        ("23505", InternalError),
        ("42P01", InternalError),
    ],
)
def test_sqlstate_decides(state: str, expected: type[Problem]) -> None:
    error = asyncpg.PostgresError.new({"C": state, "M": "x", "S": "ERROR"})
    assert type(problem_of(error)) is expected


def test_http_exceptions_of_the_framework_become_problems() -> None:
    assert type(problem_of(HTTPException(404))) is NotFound
    refused = problem_of(HTTPException(405, headers={"Allow": "GET"}))
    assert (type(refused), refused.headers) == (MethodNotAllowed, {"Allow": "GET"})
    assert type(problem_of(HTTPException(500, "password=hunter2"))) is InternalError
    assert "hunter2" not in problem_of(HTTPException(500, "password=hunter2")).detail
    assert problem_of(HTTPException(418)).status == 400
    assert problem_of(HTTPException(413)).status == 413
