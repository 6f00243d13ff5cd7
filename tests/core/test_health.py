"""Health against a real Postgres: alive, stopped, hanging, full, and with every pooled connection taken."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs

from tandem.core.app import create_app
from tandem.core.database_probe import CACHE, DEADLINE, DatabaseProbe
from tandem.core.db import Database
from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.core.revisions import expected_heads
from tandem.core.settings import Settings
from tests.builders import SECRET
from tests.databases import cluster_parent

NOWHERE = "postgresql://tandem@127.0.0.1:1/none"
TOKEN = "an-operator's-token-of-good-length"


class Momentum(Settings):
    service = "momentum-todo-api"
    database_name = "momentum"


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server that these tests may stop: nobody else's."""
    directory = cluster_parent()
    server = EmbeddedPostgres(directory / "postgres", durable=False)
    try:
        server.start()
        server.create_database("health")
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def configured(url: str = NOWHERE, **values: Any) -> Settings:
    defaults: dict[str, Any] = {
        "environment": "development",
        "pool_size": 2,
        "pool_overflow": 0,
        "app_version": "9.8.7",
    }
    return Momentum(_env_file=None, database_url=SecretStr(url), **(defaults | values))


def deployed(url: str = NOWHERE, **values: Any) -> Settings:
    return configured(url, environment="production", session_hash_secret=SecretStr(SECRET), **values)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    app = create_app(settings, title="Health", description="", routers=[])
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield app, client


# /health


async def test_a_service_with_its_database_is_healthy(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        response = await client.get("/health")
    body = response.json()
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert body.pop("timestamp").endswith("Z")
    assert body == {
        "status": "healthy",
        "database": "connected",
        "service": "momentum-todo-api",
        "version": "9.8.7",
        "environment": "development",
    }


async def test_the_timestamp_is_now_in_utc(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        told = datetime.fromisoformat((await client.get("/health")).json()["timestamp"])
    assert abs((datetime.now(UTC) - told).total_seconds()) < 5


async def test_a_service_without_its_database_is_unhealthy_but_alive() -> None:
    async with serving(configured()) as (_, client):
        response = await client.get("/health")
        assert response.status_code == 503
        assert response.json()["status"] == "unhealthy"
        assert response.json()["database"] == "disconnected"
        assert (await client.get("/health/live")).json() == {"status": "alive"}


async def test_health_follows_the_database_down_and_up_and_the_log_says_so_once(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        with capture_logs() as logs:
            assert (await client.get("/health")).status_code == 200
            await asyncio.to_thread(own_server.stop)
            try:
                await asyncio.sleep(CACHE + 0.05)
                assert (await client.get("/health")).status_code == 503
                await asyncio.sleep(CACHE + 0.05)
                assert (await client.get("/health")).status_code == 503
            finally:
                await asyncio.to_thread(own_server.start)
            await asyncio.sleep(CACHE + 0.05)
            assert (await client.get("/health")).status_code == 200
    told = [(line["log_level"], line["event"]) for line in logs if line["event"].startswith("database")]
    assert told == [("warning", "database_unreachable"), ("info", "database_reachable")]


async def test_a_restart_between_two_checks_is_not_an_outage(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        assert (await client.get("/health")).status_code == 200
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)
        await asyncio.sleep(CACHE + 0.05)
        assert (await client.get("/health")).status_code == 200


async def test_a_database_that_accepts_but_never_answers_is_down_within_the_deadline(
    own_server: EmbeddedPostgres,
) -> None:
    assert own_server.pid is not None
    async with serving(configured(own_server.url("health"))) as (_, client):
        os.kill(own_server.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            responses = await asyncio.gather(*(client.get("/health") for _ in range(20)))
            took = time.monotonic() - began
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
    assert {r.status_code for r in responses} == {503}
    assert took < DEADLINE + 1  # one question for all twenty


async def test_busy_connections_are_not_an_outage(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (app, client):
        database: Database = app.state.database
        async with database.connection(), database.connection():
            response = await client.get("/health")
            detailed = (await client.get("/health/detailed")).json()
    assert response.status_code == 200
    assert detailed["pool"] == {"size": 2, "checked_out": 2, "idle": 0, "overflow": 0, "max_overflow": 0}


async def test_a_server_without_a_free_place_is_up_for_a_process_that_holds_connections(
    own_server: EmbeddedPostgres,
) -> None:
    url = own_server.url("health")
    where = parse_database_url(url)
    async with serving(configured(url)) as (app, client):
        admin = await asyncpg.connect(**where.asyncpg_args)
        await admin.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 1")
        try:
            database: Database = app.state.database
            args = where.asyncpg_args | {"user": "crowded"}
            only = await asyncpg.connect(**args)
            # The probe's own connection has to be made as a role whose one place is taken.
            database.where = parse_database_url(url.replace("tandem", "crowded", 1))
            assert (await client.get("/health")).status_code == 503  # nothing to serve with
            await asyncio.sleep(CACHE + 0.05)
            async with database.connection():
                assert (await client.get("/health")).status_code == 200
            await only.close()
        finally:
            await admin.execute("DROP ROLE crowded")
            await admin.close()


async def test_a_flood_of_checks_is_one_question_a_second(own_server: EmbeddedPostgres) -> None:
    url = own_server.url("health")
    database = Database(configured(url), parse_database_url(url))
    probe = DatabaseProbe(database)
    try:
        together = await asyncio.gather(*(probe.ask() for _ in range(200)))
        assert len({id(answer) for answer in together}) == 1
        assert await probe.ask() is together[0]
        await asyncio.sleep(CACHE + 0.05)
        assert await probe.ask() is not together[0]
    finally:
        await probe.close()
        await database.close()


async def test_a_caller_who_hangs_up_does_not_cancel_the_question_of_the_others(own_server: EmbeddedPostgres) -> None:
    url = own_server.url("health")
    database = Database(configured(url), parse_database_url(url))
    probe = DatabaseProbe(database)
    try:
        impatient = asyncio.create_task(probe.ask())
        patient = asyncio.create_task(probe.ask())
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).connected
    finally:
        await probe.close()
        await database.close()


async def test_the_application_stops_while_the_database_hangs(own_server: EmbeddedPostgres) -> None:
    assert own_server.pid is not None
    os.kill(own_server.pid, signal.SIGSTOP)
    try:
        async with serving(configured(own_server.url("health"))) as (app, _):
            waiting = asyncio.create_task(app.state.health.probe.ask())
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < DEADLINE / 2
        with pytest.raises(asyncio.CancelledError):
            await waiting
    finally:
        os.kill(own_server.pid, signal.SIGCONT)


async def test_the_probe_keeps_one_connection_and_gives_it_back_at_the_end(own_server: EmbeddedPostgres) -> None:
    where = parse_database_url(own_server.url("health"))
    admin = await asyncpg.connect(**(where.asyncpg_args | {"database": "postgres"}))
    connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'health'"

    async def none_left() -> None:
        for _ in range(100):  # the server takes a moment to notice
            if await admin.fetchval(connections) == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("a connection outlived the application")

    try:
        await none_left()
        async with serving(configured(own_server.url("health"))) as (_, client):
            for _ in range(2):
                await client.get("/health")
                await asyncio.sleep(CACHE + 0.05)
            assert await admin.fetchval(connections) == 1
        await none_left()
    finally:
        await admin.close()


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/detailed"])
async def test_head_answers_like_get(own_server: EmbeddedPostgres, path: str) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        assert (await client.head(path)).status_code == (await client.get(path)).status_code == 200


async def test_health_is_not_rate_limited(own_server: EmbeddedPostgres) -> None:
    settings = configured(own_server.url("health"), rate_limit="1/hour")
    async with serving(settings) as (_, client):
        responses = [await client.get(path) for path in ("/health", "/health/live", "/health/detailed") * 5]
    assert {r.status_code for r in responses} == {200}
    assert not any("RateLimit" in r.headers for r in responses)


# /health/detailed


async def test_the_detailed_answer_has_system_dependencies_and_latency(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        body = (await client.get("/health/detailed")).json()
    assert body["dependencies"] == {"database": "healthy", "redis": "not configured"}
    assert 0 <= body["system"]["cpu_percent"] <= 100
    assert 0 < body["system"]["memory"]["available"] < body["system"]["memory"]["total"]
    assert 0 < body["system"]["disk"]["used"] < body["system"]["disk"]["total"]
    assert 0 < body["latency_ms"]["database"] < 2000
    assert body["latency_ms"]["redis"] is None
    assert body["rate_limits"] == {"backend": "memory", "status": "ok"}
    assert body["uptime_seconds"] >= 0


async def test_a_database_behind_the_code_is_degraded(own_server: EmbeddedPostgres) -> None:
    async with serving(configured(own_server.url("health"))) as (_, client):
        body = (await client.get("/health/detailed")).json()
    assert body["migrations"]["status"] == "pending"
    assert body["migrations"]["current"] is None
    assert body["status"] == "degraded"


async def test_a_database_at_the_expected_revision_is_healthy(own_server: EmbeddedPostgres) -> None:
    (head,) = expected_heads("momentum")
    own_server.create_database("migrated")
    url = own_server.url("migrated")
    admin = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    await admin.execute("CREATE TABLE alembic_version (version_num text)")
    await admin.execute("INSERT INTO alembic_version VALUES ($1)", head)
    await admin.close()
    async with serving(configured(url)) as (_, client):
        body = (await client.get("/health/detailed")).json()
    assert body["migrations"] == {"status": "at head", "current": head, "head": head}
    assert body["status"] == "healthy"


async def test_without_the_database_the_detailed_answer_says_what_is_left() -> None:
    async with serving(configured()) as (_, client):
        response = await client.get("/health/detailed")
    body = response.json()
    assert response.status_code == 503
    assert body["status"] == "degraded"
    assert body["dependencies"]["database"] == "unhealthy"
    assert body["latency_ms"]["database"] is None
    assert body["migrations"]["status"] == "unknown"
    assert body["system"]["memory"]["total"] > 0


async def test_detailed_checks_never_hold_up_the_event_loop(own_server: EmbeddedPostgres) -> None:
    longest = 0.0

    async def heartbeat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began)

    async with serving(configured(own_server.url("health"))) as (_, client):
        await client.get("/health/detailed")
        beating = asyncio.create_task(heartbeat())
        for _ in range(3):
            await asyncio.gather(*(client.get("/health/detailed") for _ in range(5)))
            await asyncio.sleep(CACHE / 2)
        beating.cancel()
    assert longest < 0.5  # cpu_percent(interval=1) would make it 1


# Who may ask, in a deployment


@pytest.mark.parametrize("path", ["/health/detailed", "/metrics"])
async def test_without_a_health_token_a_deployment_shows_nothing(path: str) -> None:
    async with serving(deployed()) as (_, client):
        response = await client.get(path, headers={"Authorization": "Bearer "})
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/health/detailed", "/metrics"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN.upper()}"},
        {"Authorization": b"Bearer \xff\xe9"},
    ],
)
async def test_a_deployment_wants_its_health_token(path: str, headers: dict[str, Any]) -> None:
    async with serving(deployed(health_token=SecretStr(TOKEN))) as (_, client):
        response = await client.get(path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("path", "status"), [("/health/detailed", 503), ("/metrics", 200)])
async def test_the_holder_of_the_health_token_is_answered(path: str, status: int) -> None:
    async with serving(deployed(health_token=SecretStr(TOKEN))) as (_, client):
        assert (await client.get(path, headers={"Authorization": f"bearer {TOKEN}"})).status_code == status


async def test_the_short_answers_stay_open_in_a_deployment() -> None:
    async with serving(deployed(health_token=SecretStr(TOKEN))) as (_, client):
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health")).status_code == 503


# Expected revisions


def test_the_expected_head_is_the_revision_nobody_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = tmp_path / "migrations" / "demo" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").touch()
    (versions / "a.py").write_text('revision = "a1"\ndown_revision = None\n')
    (versions / "b.py").write_text('revision: str = "b2"\ndown_revision: str | None = "a1"\nraise RuntimeError\n')
    monkeypatch.setattr("tandem.core.revisions._PACKAGE", tmp_path / "src" / "tandem")
    assert expected_heads("demo") == {"b2"}
    (versions / "c.py").write_text('revision = "c3"\ndown_revision = ("b2", "a1")\n')
    expected_heads.cache_clear()
    assert expected_heads("demo") == {"c3"}
    expected_heads.cache_clear()


def test_a_service_without_migrations_expects_nothing() -> None:
    assert expected_heads("no-such-service") == frozenset()
