"""A job is part of the transaction it was enqueued in."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tandem.core.db import Database
from tandem.core.jobs import JobPayload, enqueue, enqueue_many, operate
from tests.core.jobs_service import Note, Sleep, a_worker, connect, ended, job_settings


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    settings = job_settings(database_url)
    assert settings.database is not None
    database = Database(settings, settings.database)
    yield database
    await database.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Any]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


async def queued(connection: Any) -> tuple[int, int]:
    """Rows of jobs, and of the engine's queue."""
    row = await connection.fetchrow("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM pgqueuer)")
    return row[0], row[1]


async def test_a_rolled_back_transaction_leaves_no_job(database: Database, connection: Any) -> None:
    async def change_and_fail() -> None:
        async with database.connection() as mine, mine.transaction():
            await enqueue(mine, Note(text="never"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_and_fail()
    assert await queued(connection) == (0, 0)


async def test_a_sessions_first_statement_is_rolled_back_with_it(database: Database, connection: Any) -> None:
    async def change_and_fail() -> None:
        async with database.session() as session:
            await enqueue(session, Note(text="never"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_and_fail()
    assert await queued(connection) == (0, 0)


async def test_a_rolled_back_savepoint_takes_its_job_and_no_other(database: Database, connection: Any) -> None:
    async with database.session() as session:
        kept = await enqueue(session, Note(text="kept"))
        nested = await session.begin_nested()
        await enqueue(session, Note(text="in a savepoint"))
        await nested.rollback()
    async with database.connection() as mine, mine.transaction():
        other = await enqueue(mine, Note(text="kept too"))
        savepoint = mine.transaction()
        await savepoint.start()
        await enqueue(mine, Note(text="in a savepoint"))
        await savepoint.rollback()
    assert {row["id"] for row in await connection.fetch("SELECT id FROM jobs")} == {kept, other}
    assert await queued(connection) == (2, 2)


async def test_a_job_is_invisible_until_the_commit(database: Database, connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        async with database.session() as session:
            job_id = await enqueue(session, Note(text="later"))
            await asyncio.sleep(0.5)
            assert await connection.fetchval("SELECT count(*) FROM done") == 0
        assert (await ended(connection, job_id))["status"] == "succeeded"
    assert await connection.fetchval("SELECT count(*) FROM done WHERE job_id = $1", job_id) == 1


async def test_outside_a_transaction_nothing_is_enqueued(database: Database) -> None:
    async with database.connection() as mine:
        with pytest.raises(RuntimeError, match="transaction"):
            await enqueue(mine, Note())


async def test_a_dedupe_key_gives_the_job_that_stands(connection: Any, database_url: str) -> None:
    async with connection.transaction():
        first = await enqueue(connection, Note(text="1"), dedupe_key="k")
        assert await enqueue(connection, Note(text="2"), dedupe_key="k") == first
        other_type = await enqueue(connection, Sleep(seconds=0), dedupe_key="k")
    assert other_type != first
    assert await queued(connection) == (2, 2)
    async with a_worker(database_url):
        await ended(connection, first)
        async with connection.transaction():
            assert await enqueue(connection, Note(text="3"), dedupe_key="k") != first


async def test_two_transactions_with_one_dedupe_key_make_one_job(database: Database, connection: Any) -> None:
    async def once() -> Any:
        async with database.connection() as mine, mine.transaction():
            return await enqueue(mine, Note(), dedupe_key="k")

    assert len(set(await asyncio.gather(*(once() for _ in range(10))))) == 1
    assert await queued(connection) == (1, 1)


async def test_many_jobs_are_one_statement_and_keep_their_order(connection: Any, database_url: str) -> None:
    began = time.perf_counter()
    async with connection.transaction():
        ids = await enqueue_many(connection, [Note(text=str(n)) for n in range(3000)], owner="acme")
    assert time.perf_counter() - began < 3
    assert ids == sorted(ids)
    assert await queued(connection) == (3000, 3000)
    assert await connection.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'pgqueuer'") == 3000
    assert [row["id"] for row in await operate.find(connection, owner="acme", limit=2)] == ids[:-3:-1]


async def test_a_job_waits_for_its_time(connection: Any, database_url: str) -> None:
    async with connection.transaction():
        delayed = await enqueue(connection, Note(), delay=timedelta(seconds=0.6))
        dated = await enqueue(connection, Note(), run_at=datetime.now(UTC) + timedelta(seconds=0.6))
        past = await enqueue(connection, Note(), run_at=datetime.now(UTC) - timedelta(days=1))
        with pytest.raises(ValueError, match="not both"):
            await enqueue(connection, Note(), delay=timedelta(0), run_at=datetime.now(UTC))
        with pytest.raises(ValueError, match="time zone"):
            await enqueue(connection, Note(), run_at=datetime.now())  # noqa: DTZ005 - that is the point
    assert (await operate.depth(connection)).counts == {("note", "delayed"): 2, ("note", "due"): 1}
    async with a_worker(database_url):
        await ended(connection, past)
        assert await connection.fetchval("SELECT count(*) FROM done") == 1
        for job_id in (delayed, dated):
            row = await ended(connection, job_id)
            assert timedelta(0) <= row["started_at"] - row["run_at"] < timedelta(seconds=1)


async def test_higher_priorities_go_first(connection: Any, database_url: str) -> None:
    async with connection.transaction():
        low = [await enqueue(connection, Note(text="low"), priority=-1) for _ in range(15)]
        high = [await enqueue(connection, Note(text="high"), priority=5) for _ in range(15)]
    async with a_worker(database_url):
        rows = [await ended(connection, job_id) for job_id in low + high]
    started = {row["id"]: row["started_at"] for row in rows}
    assert max(started[one] for one in high[:10]) < min(started[one] for one in low[5:])


def test_a_payload_without_a_job_type_is_refused() -> None:
    with pytest.raises(TypeError, match="names no job type"):
        type("Nameless", (JobPayload,), {})
    with pytest.raises(TypeError, match="no job type"):
        type("Wrong", (JobPayload,), {}, job_type="Not a name")
