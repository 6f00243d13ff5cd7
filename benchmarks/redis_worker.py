"""What the deployment guide's worker does with its jobs: RPUSH to a Redis list, BRPOP, work. For comparison only."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import redis

from tandem.core.postgres_url import parse_database_url

QUEUE = "job_queue"
DEADLINE = 10.0  # seconds for Redis to answer


@contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of a server of its own; None where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait_for(url)
            yield url
        finally:
            process.terminate()


def push(url: str, jobs: int) -> None:
    with redis.Redis.from_url(url) as client:
        client.rpush(QUEUE, *(json.dumps({"id": number}) for number in range(jobs)))


def waiting(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.llen(QUEUE))  # type: ignore[arg-type]


def serve(url: str, database_url: str, seconds: float) -> None:
    """Until it is ended; what it holds then is gone, because BRPOP has removed it from the list."""
    asyncio.run(_serve(url, database_url, seconds))


async def _serve(url: str, database_url: str, seconds: float) -> None:
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    client = redis.asyncio.Redis.from_url(url)
    while True:
        _, message = await client.brpop([QUEUE])
        await asyncio.sleep(seconds)
        await connection.execute("INSERT INTO bench_done (job) VALUES ($1)", json.loads(message)["id"])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + DEADLINE
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return
