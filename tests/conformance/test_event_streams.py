"""200 listeners on one API process: every event of a job, once, in order, and nobody holds up a restart.

The server is a process with two database connections in its pool; the worker is a real one, in this process.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.registry import Jobs, handles
from tandem.core.jobs.worker import working
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.generation.schemas import GenerateContent
from tandem.market_ai.settings import MarketAiSettings
from tests.builders import SECRET
from tests.core.jobs_service import QUICK
from tests.market_ai import conftest as market_ai
from tests.market_ai.conftest import MakeMember
from tests.market_ai.job_making import Follower, queue_job
from tests.servers import RunningServer, clean_environment, free_port

member, market_settings = market_ai.member, market_ai.market_settings  # fixtures

LISTENERS, USERS = 200, 4
STEPS = 20  # events in each of the three parts
BOUND = 30.0  # seconds
LISTENING = "application_name = 'tandem job events' AND datname = current_database()"


@pytest.fixture
def server(market_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    port = free_port()
    environment = clean_environment(
        DATABASE_URL=market_url, ENVIRONMENT="test", SESSION_HASH_SECRET=SECRET, RATE_LIMIT="1000000/minute",
        SQLALCHEMY_POOL_SIZE="2", SQLALCHEMY_POOL_OVERFLOW="0",
    )  # fmt: skip
    command = [sys.executable, "-m", "tandem", "serve", "market-ai", "--port", str(port)]
    with RunningServer(command, port, environment, tmp_path) as server:
        yield server


class Telling:
    """A handler that tells of its progress in parts, each when it is asked to."""

    def __init__(self) -> None:
        self.part = asyncio.Semaphore(0)
        self.handler = handles(GenerateContent)(self.tell)

    async def tell(self, job: JobContext, _: GenerateContent) -> None:
        for part in range(3):
            await self.part.acquire()
            for step in range(STEPS):
                await job.progress((part * STEPS + step + 1) / (3 * STEPS))


async def all_of(listeners: list[Follower], count: int) -> None:
    async with asyncio.timeout(BOUND):
        await asyncio.gather(*(one.until(lambda s: len(s.received) >= count) for one in listeners))


@asynccontextmanager
async def connected(url: str) -> Any:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        yield connection
    finally:
        await connection.close()


async def listeners(server: RunningServer, member: MakeMember, job_id: UUID, org_id: str, count: int) -> list[Follower]:
    users = [await member(role="viewer", org=org_id) for _ in range(min(USERS, count))]
    path = f"/api/jobs/{job_id}/events"
    return [Follower(server.port, path, users[n % len(users)].user.token, org_id) for n in range(count)]


async def test_everybody_hears_everything_once_in_order_and_holds_up_no_restart(
    server: RunningServer, market_url: str, market_settings: MarketAiSettings, member: MakeMember
) -> None:
    telling = Telling()
    org_id = (await member()).org_id
    jobs = Jobs("test-worker", handlers=[telling.handler])
    async with connected(market_url) as connection, working(market_settings, jobs, options=QUICK):
        job_id = await queue_job(connection, org_id)
        everyone = await listeners(server, member, job_id, org_id, LISTENERS)
        following = [asyncio.create_task(one.follow()) for one in everyone]
        await all_of(everyone, 1)
        telling.part.release()
        await all_of(everyone, 1 + STEPS // 2)
        for one in everyone[::2]:  # in the middle of a part
            one.drop()
        await all_of(everyone, 1 + STEPS)

        telling.part.release()
        await all_of(everyone, 1 + STEPS + STEPS // 2)
        assert await connection.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {LISTENING}") == 1
        assert await connection.fetchval(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENING}")
        await all_of(everyone, 1 + 2 * STEPS)

        telling.part.release()
        async with asyncio.timeout(BOUND):
            await asyncio.gather(*following)
    for one in everyone:
        assert one.ids == list(range(1, 3 * STEPS + 3)), "an event was lost, doubled or out of order"
        assert [event.kind for event in one.received] == ["running", *["progress"] * (3 * STEPS), "succeeded"]
        assert one.status == 204, "who comes back after the end is sent away"
    assert {one.requests for one in everyone[1::2]} == {2}
    assert {one.requests for one in everyone[::2]} == {3}

    waiting = await queued_elsewhere(market_url, org_id)
    everyone = await listeners(server, member, waiting, org_id, 20)
    following = [asyncio.create_task(one.follow()) for one in everyone]
    async with asyncio.timeout(BOUND):
        await asyncio.gather(*(one.until(lambda s: s.retry) for one in everyone))
    assert await asyncio.to_thread(server.terminate, patience=15) == 0, "without waiting for SHUTDOWN_TIMEOUT, 25 s"
    refused = await asyncio.gather(*following, return_exceptions=True)
    assert all(isinstance(error, ConnectionError) for error in refused)
    assert all(one.completed for one in everyone), "each response came to its proper end"


async def queued_elsewhere(url: str, org_id: str) -> UUID:
    """A job that nobody takes."""
    async with connected(url) as connection:
        return await queue_job(connection, org_id)
