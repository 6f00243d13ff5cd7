import asyncio
import subprocess
from collections.abc import Callable

from tandem.ops.doctor.redis import check_redis
from tandem.ops.doctor.result import Result, Status
from tandem.ops.doctor.subject import Subject
from tests.ops.doctor.environments import red, statuses
from tests.redis_server import RedisServer, needs_redis

Make = Callable[..., Subject]


def asked(subject: Subject) -> list[Result]:
    async def run() -> list[Result]:
        return [result async for result in check_redis(subject)]

    return asyncio.run(run())


def configure(redis: RedisServer, *arguments: str) -> None:
    command = ["redis-cli", "-p", str(redis.port), "CONFIG", "SET", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@needs_redis
def test_a_redis_that_keeps_everything_is_green_and_each_fault_red(subject: Make) -> None:
    with RedisServer() as redis:
        patient = subject(REDIS_URL=redis.url)
        assert set(statuses(asked(patient)).values()) == {Status.OK}
        configure(redis, "maxmemory-policy", "allkeys-lru")
        assert red(asked(patient)) == ["redis.eviction: allkeys-lru"]
        configure(redis, "requirepass", "hunter2")
        assert "redis.reachable" in red(asked(patient))[0]
        redis.kill()
        assert "redis.reachable" in red(asked(patient))[0]


def test_what_is_no_redis_address_is_said_without_its_password(subject: Make) -> None:
    found = asked(subject(REDIS_URL="http://:hunter2@somewhere"))
    assert len(red(found)) == 1
    assert "hunter2" not in str(found)


def test_without_redis_nothing_is_asked(subject: Make) -> None:
    assert set(statuses(asked(subject(REDIS_URL=None))).values()) == {Status.SKIPPED}
