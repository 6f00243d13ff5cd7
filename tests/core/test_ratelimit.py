"""Rate limits through the whole frame: counting, headers, addresses, and a real Redis that comes and goes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import SecretStr
from redis import Redis
from structlog.testing import capture_logs

from tandem.core import counters
from tandem.core.app import create_app
from tandem.core.counters import MemoryCounters
from tandem.core.errors import NotFound
from tandem.core.ratelimit import Limit, Limiter, count_address, count_principal
from tandem.core.rates import Rate, RateError, parse_rate
from tandem.core.settings import Settings, SettingsError, load_settings
from tests.redis_server import RedisServer, needs_redis

NOWHERE = SecretStr("postgresql://tandem@127.0.0.1:1/none")  # nothing here asks the database
SIGN_IN_ADDRESS = Limit("4/minute", name="sign-in-address")
SIGN_IN_EMAIL = Limit("2/minute", name="sign-in-email")

router = APIRouter()


@router.get("/open", dependencies=[Depends(count_address)])
async def open_route() -> dict[str, str]:
    return {}


@router.get("/users/{user_id}")
async def of_user(request: Request, user_id: str) -> dict[str, str]:
    await count_principal(request, user_id)
    return {}


@router.get("/missing", dependencies=[Depends(count_address)])
async def missing() -> None:
    raise NotFound


@router.get("/broken", dependencies=[Depends(count_address)])
async def broken() -> None:
    raise ZeroDivisionError


@router.get("/sign-in/{email}", dependencies=[Depends(SIGN_IN_ADDRESS.per_address)])
async def sign_in(request: Request, email: str) -> dict[str, str]:
    await SIGN_IN_EMAIL.hit(request, email)
    return {}


def configured(rate: str = "3/minute", redis: RedisServer | None = None) -> Settings:
    url = SecretStr(redis.url) if redis else None
    return Settings(_env_file=None, environment="test", database_url=NOWHERE, rate_limit=rate, redis_url=url)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings, title="Limits", description="", routers=[router])
    async with app.router.lifespan_context(app):
        yield app


def calling(app: FastAPI, address: str = "203.0.113.7") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, client=(address, 40000))
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver")


async def statuses(client: httpx2.AsyncClient, path: str, times: int) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


async def eventually(holds: Callable[[], Any], seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def timed(work: Awaitable[httpx2.Response]) -> tuple[httpx2.Response, float]:
    began = time.monotonic()
    return await work, time.monotonic() - began


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


# Rates


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/minute", Rate(100, 60)),
        ("5 / 10 Seconds", Rate(5, 10)),
        ("20 per hour", Rate(20, 3600)),
        ("1/day", Rate(1, 86_400)),
    ],
)
def test_a_rate_reads_as_people_write_it(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "0/minute", "-1/minute", "1.5/minute", "100/fortnight", "٣/minute", "x/day"]
)
def test_anything_else_is_not_a_rate(text: str) -> None:
    with pytest.raises(RateError, match="100/minute"):
        parse_rate(text)


def test_a_malformed_rate_limit_is_listed_with_the_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT", "plenty")
    monkeypatch.setenv("PORT", "0")
    with pytest.raises(SettingsError, match="RATE_LIMIT: 'plenty' is not a rate") as caught:
        load_settings(Settings, _env_file=None)
    assert len(caught.value.problems) == 2


async def test_a_malformed_redis_url_stops_the_start_without_repeating_its_password() -> None:
    settings = configured().model_copy(update={"redis_url": SecretStr("http://:hunter2secret@redis")})
    with pytest.raises(SettingsError, match="REDIS_URL is not a Redis URL") as caught:
        Limiter(settings)
    assert "hunter2secret" not in str(caught.value)


# Counting and headers, in memory


async def test_the_request_after_the_last_allowed_one_is_refused_and_says_when_to_come_back() -> None:
    async with running(configured()) as app, calling(app) as client:
        assert await statuses(client, "/open", 3) == [200, 200, 200]
        refused = await client.get("/open")
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert 58 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["retry_after"] == int(refused.headers["Retry-After"])
    assert refused.headers["RateLimit"].startswith('"default";r=0;t=')


async def test_every_limited_response_carries_the_quota() -> None:
    async with running(configured("100/minute")) as app, calling(app) as client:
        first = await client.get("/open")
        second = await client.get("/open")
    assert first.headers["RateLimit-Policy"] == '"default";q=100;w=60'
    assert first.headers["RateLimit"] == '"default";r=99;t=60'
    assert second.headers["RateLimit"].startswith('"default";r=98;t=')
    assert first.headers["X-RateLimit-Limit"] == "100"
    assert second.headers["X-RateLimit-Remaining"] == "98"
    assert abs(int(first.headers["X-RateLimit-Reset"]) - (time.time() + 60)) <= 2


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/broken", 500)])
async def test_errors_carry_the_quota_too(path: str, status: int) -> None:
    async with running(configured()) as app, calling(app) as client:
        response = await client.get(path)
    assert response.status_code == status
    assert response.headers["RateLimit"].startswith('"default";r=2;t=')


async def test_principals_and_addresses_have_quotas_of_their_own() -> None:
    async with running(configured("1/minute")) as app, calling(app) as client:
        assert await statuses(client, "/users/ada", 2) == [200, 429]
        assert await statuses(client, "/users/grace", 2) == [200, 429]
        assert await statuses(client, "/open", 2) == [200, 429]


async def test_a_quota_is_whole_again_when_its_window_ends() -> None:
    async with running(configured("2/second")) as app, calling(app) as client:
        assert await statuses(client, "/open", 3) == [200, 200, 429]
        await asyncio.sleep(1.05)
        assert await statuses(client, "/open", 3) == [200, 200, 429]


async def test_two_policies_on_one_request_are_both_announced_and_the_tighter_one_leads() -> None:
    async with running(configured()) as app, calling(app) as client:
        response = await client.get("/sign-in/ada@example.com")
        assert response.headers["RateLimit"] == '"sign-in-address";r=3;t=60, "sign-in-email";r=1;t=60'
        assert response.headers["RateLimit-Policy"] == '"sign-in-address";q=4;w=60, "sign-in-email";q=2;w=60'
        assert response.headers["X-RateLimit-Remaining"] == "1"
        assert response.headers["X-RateLimit-Limit"] == "2"


async def test_one_e_mail_and_one_address_are_limited_separately() -> None:
    async with running(configured()) as app, calling(app) as client, calling(app, "203.0.113.8") as elsewhere:
        assert await statuses(client, "/sign-in/ada", 3) == [200, 200, 429]
        assert await statuses(elsewhere, "/sign-in/ada", 1) == [429]  # the e-mail's quota is used up everywhere
        assert await statuses(client, "/sign-in/grace", 2) == [200, 429]  # and so is the address's


async def test_keys_of_any_length_and_content_are_counted() -> None:
    settings = configured()
    limiter, limit = Limiter(settings), Limit("5/minute", name="any")
    for key in ("", "x" * 100_000, "\ud800", "é" * 40):
        assert (await limiter.count(limit, key))[0] == 1
        assert (await limiter.count(limit, key))[0] == 2
    assert max(len(key) for key in limiter._memory._policies["any"]) <= 64


# Addresses


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),  # one customer's /64
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("not:an:address", "not:another", False),
    ],
)
async def test_an_ipv6_client_is_its_64_bit_network(one: str, other: str, shared: bool) -> None:
    async with running(configured("1/minute")) as app, calling(app, one) as first, calling(app, other) as second:
        assert await statuses(first, "/open", 2) == [200, 429]
        assert await statuses(second, "/open", 1) == [429 if shared else 200]


async def test_a_client_cannot_choose_its_address() -> None:
    async with running(configured("1/minute")) as app, calling(app) as client:
        codes = [
            (await client.get("/open", headers={"X-Forwarded-For": f"198.51.100.{n}"})).status_code for n in range(3)
        ]
    assert codes == [200, 429, 429]


# Memory


def test_windows_that_ended_are_forgotten_as_new_ones_begin() -> None:
    windows = MemoryCounters()
    for number in range(1000):
        windows.hit("default", f"a{number}", 1)
    time.sleep(1.05)
    for number in range(1000):
        windows.hit("default", f"b{number}", 1)
    assert len(windows) == 1000


def test_the_number_of_windows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_KEYS", 100)
    windows = MemoryCounters()
    for number in range(1000):
        windows.hit("default", str(number), 60)
    assert len(windows) == 100
    assert windows.hit("default", "999", 60)[0] == 2  # the newest stayed


def test_a_key_in_use_is_not_forgotten_with_the_old_ones() -> None:
    windows = MemoryCounters()
    windows.hit("default", "steady", 1)
    time.sleep(1.05)
    windows.hit("default", "steady", 1)
    for number in range(100):
        windows.hit("default", str(number), 1)
    assert windows.hit("default", "steady", 1)[0] == 2


# Redis


@needs_redis
async def test_instances_share_a_quota_through_redis(redis: RedisServer) -> None:
    async with running(configured(redis=redis)) as one, running(configured(redis=redis)) as other:
        async with calling(one) as first, calling(other) as second:
            assert await statuses(first, "/open", 2) == [200, 200]
            assert await statuses(second, "/open", 2) == [200, 429]
            refused = await first.get("/open")
        assert one.state.limiter.backend == "redis"
    assert refused.status_code == 429
    assert 58 <= int(refused.headers["Retry-After"]) <= 60


@needs_redis
async def test_a_window_in_redis_ends(redis: RedisServer) -> None:
    async with running(configured("1/second", redis)) as app, calling(app) as client:
        assert await statuses(client, "/open", 2) == [200, 429]
        await asyncio.sleep(1.05)
        assert await statuses(client, "/open", 2) == [200, 429]


@needs_redis
async def test_every_counter_in_redis_expires(redis: RedisServer) -> None:
    async with running(configured(redis=redis)) as app, calling(app) as client:
        await client.get("/open")
        await client.get("/sign-in/\u00e9@example.com")
    with Redis.from_url(redis.url) as direct:
        keys = direct.keys("tandem:tandem:rate:*")
        assert len(keys) >= 3
        assert all(0 < direct.pttl(key) <= 60_000 for key in keys)


@needs_redis
async def test_a_counter_that_lost_its_expiry_does_not_lock_its_owner_out(redis: RedisServer) -> None:
    with Redis.from_url(redis.url) as direct:
        direct.set("tandem:tandem:rate:default:address:203.0.113.7", 1000)
        async with running(configured(redis=redis)) as app, calling(app) as client:
            assert await statuses(client, "/open", 1) == [429]
        assert 0 < direct.pttl("tandem:tandem:rate:default:address:203.0.113.7") <= 60_000


@needs_redis
async def test_many_requests_at_once_stay_in_redis_and_are_counted_exactly(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tandem.core.counters.REDIS_TIMEOUT", 30)  # a busy machine must not decide this
    async with running(configured("1000/minute", redis)) as app:
        limiter: Limiter = app.state.limiter
        hits = [limiter.count(limiter.default, "crowd") for _ in range(150)]
        counted = await asyncio.gather(*hits)
        assert limiter.backend == "redis"
    assert sorted(n for n, _ in counted) == list(range(1, 151))


@needs_redis
async def test_when_redis_dies_the_api_answers_within_the_limit_in_memory_and_returns_to_redis(
    redis: RedisServer,
) -> None:
    async with running(configured("3/minute", redis)) as app, calling(app) as client:
        with capture_logs() as logs:
            assert (await client.get("/open")).headers["X-RateLimit-Remaining"] == "2"
            redis.kill()
            response, seconds = await timed(client.get("/open"))
            assert response.status_code == 200
            assert seconds < 1
            assert await statuses(client, "/open", 3) == [200, 200, 429]
            health = (await client.get("/health/detailed")).json()
            assert health["rate_limits"] == {"backend": "memory", "status": "fallback"}
            assert health["dependencies"]["redis"] == "unhealthy"
            redis.start()
            await eventually(lambda: app.state.limiter.backend == "redis")
            assert (await client.get("/open")).headers["X-RateLimit-Remaining"] == "2"
            health = (await client.get("/health/detailed")).json()
            assert health["rate_limits"] == {"backend": "redis", "status": "ok"}
            assert health["dependencies"]["redis"] == "healthy"
    told = [(line["log_level"], line["event"]) for line in logs if line["event"].startswith("rate_limits")]
    assert told == [("warning", "rate_limits_in_memory"), ("info", "rate_limits_in_redis")]


@needs_redis
async def test_a_redis_that_hangs_delays_one_request_and_not_the_next(redis: RedisServer) -> None:
    async with running(configured("100/minute", redis)) as app, calling(app) as client:
        await client.get("/open")
        redis.signal(signal.SIGSTOP)
        try:
            first, waited = await timed(client.get("/open"))
            began = time.monotonic()
            assert await statuses(client, "/open", 20) == [200] * 20
            assert time.monotonic() - began < counters.REDIS_TIMEOUT * 4
        finally:
            redis.signal(signal.SIGCONT)
        assert first.status_code == 200
        assert waited < 1
        await eventually(lambda: app.state.limiter.backend == "redis")
        await client.get("/open")
        assert app.state.limiter.backend == "redis"  # no reply to an abandoned command was left in a connection


@needs_redis
async def test_the_api_starts_without_its_redis_and_finds_it_later(redis: RedisServer) -> None:
    redis.kill()
    async with running(configured(redis=redis)) as app, calling(app) as client:
        assert app.state.limiter.fallen_back
        assert await statuses(client, "/open", 1) == [200]
        redis.start()
        await eventually(lambda: app.state.limiter.backend == "redis")


@needs_redis
async def test_a_redis_that_refuses_writes_counts_as_down(redis: RedisServer) -> None:
    with Redis.from_url(redis.url) as direct:
        direct.config_set("maxmemory", "1")  # noeviction: every write is an error
        async with running(configured("1/minute", redis)) as app, calling(app) as client:
            assert await statuses(client, "/open", 2) == [200, 429]
            assert app.state.limiter.fallen_back
            direct.config_set("maxmemory", "0")
            await eventually(lambda: app.state.limiter.backend == "redis")


@needs_redis
async def test_a_long_outage_is_one_warning_and_the_application_stops_in_the_middle_of_it(redis: RedisServer) -> None:
    async with running(configured("100/minute", redis)) as app, calling(app) as client:
        with capture_logs() as logs:
            redis.kill()
            for _ in range(5):
                assert await statuses(client, "/open", 4) == [200] * 4
                await asyncio.sleep(0.5)
        limiter: Limiter = app.state.limiter
        assert limiter.fallen_back
    assert [line["event"] for line in logs if line["event"].startswith("rate_limits")] == ["rate_limits_in_memory"]
    assert "rate-limit-recovery" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_callers_without_an_address_share_one_quota() -> None:
    async with running(configured("1/minute")) as app:
        transport = httpx2.ASGITransport(app=app, client=None)  # type: ignore[arg-type]  # as on a Unix socket
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert await statuses(client, "/open", 2) == [200, 429]
