"""The status page: what is noted, by several processes and through outages, and what is shown of it."""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Response
from pydantic import SecretStr

from tandem.core import metrics
from tandem.core.app import create_app
from tandem.core.db import Database
from tandem.core.postgres_url import parse_database_url
from tandem.core.ratelimit import Limiter
from tandem.core.settings import Settings
from tandem.core.status import report as reports
from tandem.core.status.report import StatusReport, quantile
from tandem.core.status.routes import prefers_json
from tandem.core.status.sampling import StatusSampler
from tandem.core.status.schemas import StatusPage
from tests.conformance.conforming import conforms

JSON = {"Accept": "application/json"}
MINUTE = timedelta(minutes=1)


class Health:
    """Says what a test wants it to say of the database."""

    def __init__(self) -> None:
        self.connected, self.probe = True, self

    async def ask(self) -> "Health":
        return self


@asynccontextmanager
async def application(url: str, **values: Any) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    router = APIRouter(prefix="/api")

    @router.get("/things")
    async def things() -> dict[str, int]:
        return {}

    @router.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @router.get("/stream", response_class=Stream)
    async def stream() -> Response:
        return Stream()

    settings = Settings(_env_file=None, environment="test", database_url=SecretStr(url), log_level="CRITICAL", **values)
    app = create_app(settings, title="Things <&>", description="", routers=[router])
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client,
    ):
        yield app, client


@pytest.fixture(autouse=True)
def within_a_minute() -> None:
    """What is told depends on which minute it is: a test does not begin just before the next one."""
    if (left := 60 - datetime.now(UTC).second) <= 5:
        time.sleep(left)


class Stream(Response):
    media_type = "text/event-stream"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    yield connection
    await connection.close()


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[tuple[Database, Limiter]]:
    assert settings.database is not None
    database, limiter = Database(settings, settings.database), Limiter(settings)
    yield database, limiter
    await database.close()


def sampler(parts: tuple[Database, Limiter], health: Any) -> StatusSampler:
    return StatusSampler(parts[0], health, parts[1], streams=())


async def rows(connection: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """(good, bad) by time and component."""
    found = await connection.fetch("SELECT * FROM status_samples ORDER BY minute, component")
    return {(f"{row['minute']:%H:%M}", row["component"]): (row["good"], row["bad"]) for row in found}


def minute_now() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


async def fill(
    connection: Any, component: str, ago: range, *, good: int = 4, bad: int = 0, counts: list[int] | None = None
) -> None:
    """A sample for each of these minutes before this one."""
    await connection.executemany(
        "INSERT INTO status_samples (minute, component, good, bad, latencies) VALUES ($1, $2, $3, $4, $5)",
        [(minute_now() - MINUTE * n, component, good, bad, counts) for n in ago],
    )


# ---- noting


async def test_what_several_processes_saw_of_a_minute_is_added_up(parts: Any, connection: Any) -> None:
    first, second = Health(), Health()
    one, other = sampler(parts, first), sampler(parts, second)
    at = datetime(2026, 11, 26, 7, 30, 12, tzinfo=UTC)
    await one.note(at)
    second.connected = False
    await other.note(at)
    second.connected = True
    await other.note(at + timedelta(seconds=15))
    await one.note(at + MINUTE)
    assert await rows(connection) == {
        ("07:30", "api"): (2, 1), ("07:30", "database"): (2, 1), ("07:30", "jobs"): (2, 0),
        ("07:31", "api"): (1, 0), ("07:31", "database"): (1, 0), ("07:31", "jobs"): (1, 0),
    }  # fmt: skip


async def test_an_outage_of_the_database_is_written_down_when_it_is_back(parts: Any, connection: Any) -> None:
    health = Health()
    one, at = sampler(parts, health), datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
    health.connected = False
    for minute in range(5):
        await one.note(at + MINUTE * minute)
    assert await rows(connection) == {}
    health.connected = True
    await connection.execute("ALTER TABLE status_samples RENAME TO elsewhere")
    await one.note(at + MINUTE * 5)  # it answers and does not take it
    await connection.execute("ALTER TABLE elsewhere RENAME TO status_samples")
    await one.note(at + MINUTE * 6)
    found = await rows(connection)
    assert [found[f"07:0{n}", "api"] for n in range(7)] == [(0, 1)] * 5 + [(1, 0)] * 2
    await one.note(at + MINUTE * 7)
    assert (await rows(connection))["07:06", "api"] == (1, 0), "and once"


async def test_nothing_is_kept_longer_than_a_day(parts: Any, connection: Any) -> None:
    health = Health()
    one, at = sampler(parts, health), minute_now() - timedelta(hours=30)
    health.connected = False
    await one.note(at)
    await fill(connection, "api", range(1600, 1604))
    health.connected = True
    await one.note(minute_now())
    kept = await connection.fetchval("SELECT min(minute) FROM status_samples")
    assert kept == minute_now() or minute_now() - kept < MINUTE * 2


async def test_jobs_that_wait_for_minutes_are_noted(parts: Any, connection: Any) -> None:
    sql = """INSERT INTO jobs (id, type, payload, run_at) VALUES (gen_random_uuid(), 'x', '{}', now() - $1::interval)"""
    one, at = sampler(parts, Health()), datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
    await connection.execute(sql, timedelta(minutes=4))
    await connection.execute(sql, -timedelta(hours=4))
    await one.note(at)
    assert (await rows(connection))["07:00", "jobs"] == (1, 0)
    await connection.execute(sql, timedelta(minutes=6))
    await one.note(at)
    assert (await rows(connection))["07:00", "jobs"] == (1, 1)


async def test_answers_count_by_their_status_and_duration_but_not_streams_and_health(
    database_url: str, connection: Any
) -> None:
    async with application(database_url) as (app, client):
        one = StatusSampler(app.state.database, app.state.health, app.state.limiter, {"/api/stream"})
        at = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
        for path, times in {"/api/things": 30, "/health/live": 9, "/status": 2, "/api/stream": 4, "/api/no": 5}.items():
            for _ in range(times):
                await client.get(path)
        await client.get("/api/broken")
        await one.note(at)  # one in 31 is no disturbance
        await client.get("/api/broken")
        await one.note(at + MINUTE)
    found = await connection.fetch("SELECT good, bad, latencies FROM status_samples WHERE component = 'api' ORDER BY 1")
    assert [(row["good"], row["bad"], sum(row["latencies"])) for row in found] == [(0, 1, 1), (1, 0, 31)]
    assert {len(row["latencies"]) for row in found} == {len(metrics.BUCKETS) + 1}


async def test_a_served_application_notes_by_itself_and_leaves_streams_out(
    database_url: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tandem.core.status.sampling.INTERVAL", 0.05)
    async with application(database_url) as (_, client):
        for path in ("/api/things", "/api/stream"):
            await client.get(path)
        wanted = "SELECT sum(n) FROM status_samples, unnest(latencies) AS n"
        while not await connection.fetchval(wanted):
            await client.get("/health/live")
        assert await connection.fetchval(wanted) == 1
    async with application(database_url, status_page=False) as (app, client):
        assert not hasattr(app.state, "status")
        assert (await client.get("/status")).status_code == 404


# ---- showing


async def shown(database_url: str, **values: Any) -> StatusPage:
    async with application(database_url, **values) as (_, client):
        answer = await client.get("/status", headers=JSON)
    assert answer.status_code == 200
    status: StatusPage = conforms(StatusPage, answer.content)
    return status


async def test_uptime_is_of_the_minutes_since_the_first_and_a_gap_of_the_api_is_an_outage(
    database_url: str, connection: Any
) -> None:
    await fill(connection, "api", range(1, 31))  # the last half hour
    await fill(connection, "api", range(31, 61), good=1, bad=3)
    await fill(connection, "api", range(91, 121))  # after a gap of half an hour
    await fill(connection, "database", range(1, 61))
    status = await shown(database_url)
    api, database = status.components
    assert (api.name, database.name) == ("api", "database")
    assert (api.uptime, database.uptime) == (56.25, 100.0)
    assert [hour.uptime for hour in api.hours[-3:]] == [None, 50.0, 62.5]
    assert [hour.uptime for hour in database.hours[-3:]] == [None, None, 100.0]
    assert len(api.hours) == 24
    assert (status.status, status.service) == ("operational", "Things <&>")
    assert not status.updated_at.startswith(api.hours[0].begins)


async def test_a_service_that_was_never_noted_says_so(database_url: str) -> None:
    status = await shown(database_url)
    assert status.status == "operational"
    assert {one.name: (one.status, one.uptime) for one in status.components} == {
        "api": ("operational", None), "database": ("operational", None),
    }  # fmt: skip
    assert (status.latency_ms.p50, status.latency_ms.p99) == (None, None)


async def test_a_disturbance_in_the_last_minutes_is_a_degradation(database_url: str, connection: Any) -> None:
    await fill(connection, "api", range(6, 20))
    await fill(connection, "api", range(1, 6), good=3, bad=1)
    await fill(connection, "jobs", range(1, 6), good=0, bad=4)
    status = await shown(database_url)
    assert {one.name: one.status for one in status.components} == {
        "api": "degraded", "database": "operational", "jobs": "degraded",
    }  # fmt: skip
    assert status.status == "degraded"


async def test_without_the_database_it_is_down_and_shows_what_it_knew(
    database_url: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(connection, "api", range(1, 11))
    monkeypatch.setattr(reports, "CACHE", 0.0)
    async with application(database_url) as (app, client):
        assert (await client.get("/status", headers=JSON)).json()["status"] == "operational"
        gone = Health()
        gone.connected = False
        monkeypatch.setattr(app.state.health.probe, "ask", gone.ask)
        answer = (await client.get("/status", headers=JSON)).json()
    assert answer["status"] == "down"
    assert [(one["status"], one["uptime"]) for one in answer["components"]] == [("down", 100.0), ("down", None)]
    assert (await shown("postgresql://nobody@127.0.0.1:1/none")).status == "down"


async def test_latency_is_of_the_day_and_of_each_hour(database_url: str, connection: Any) -> None:
    counts = [0] * (len(metrics.BUCKETS) + 1)
    quick, slow = counts.copy(), counts.copy()
    quick[0], slow[5] = 100, 100  # up to 5 ms; 100 to 250 ms
    await fill(connection, "api", range(61, 121), counts=quick)
    await fill(connection, "api", range(1, 61), counts=slow)
    latency = (await shown(database_url)).latency_ms
    assert (latency.p50, latency.p95, latency.p99) == (5.0, 235.0, 247.0)
    assert [hour.p95 for hour in latency.hours[-3:]] == [None, 4.8, 242.5]


async def test_a_cache_that_is_gone_is_degraded(database_url: str) -> None:
    status = await shown(database_url, redis_url=SecretStr("redis://127.0.0.1:1/0"))
    assert status.components[2].model_dump(exclude={"hours"}) == {
        "name": "cache", "status": "degraded", "uptime": None,
    }  # fmt: skip
    assert status.status == "degraded"


def test_quantiles_are_interpolated_and_bounded() -> None:
    nothing = [0] * (len(metrics.BUCKETS) + 1)
    assert quantile(nothing, 0.5) is None
    assert quantile([], 0.5) is None
    assert quantile([*nothing[:-1], 7], 0.5) == 10_000
    assert quantile([4, *nothing[1:]], 0.5) == 2.5
    assert quantile([4, 4, *nothing[2:]], 1.0) == 10.0


async def test_simultaneous_callers_share_one_reading_and_it_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = StatusReport._read

    async def counted(self: StatusReport) -> Any:
        reads.append(self)
        return await read(self)

    monkeypatch.setattr(StatusReport, "_read", counted)
    async with application(database_url) as (_, client):
        answers = await asyncio.gather(*(client.get("/status") for _ in range(50)))
        answers.append(await client.get("/status", headers=JSON))
    assert {answer.status_code for answer in answers} == {200}
    assert len(reads) == 1


# ---- the page


class Page(HTMLParser):
    """What a Content-Security-Policy of ours forbids, and what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = list[str](), set[str](), ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_people_get_a_page_that_its_own_policy_allows(database_url: str, connection: Any) -> None:
    await fill(connection, "api", range(1, 100), counts=[5] * (len(metrics.BUCKETS) + 1))
    await fill(connection, "jobs", range(1, 100))
    async with application(database_url) as (_, client):
        answer = await client.get("/status", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        head = await client.head("/status")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "public, max-age=15"
    assert answer.headers["vary"] == "Accept, Origin"
    assert (head.status_code, head.content) == (200, b"")
    page = Page()
    page.feed(answer.text)
    assert not {"script", "img", "link", "iframe", "form", "a", "object"} & set(page.tags)
    assert not {name for name in page.attributes if name == "style" or name.startswith("on") or name in {"src", "href"}}
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "Things <&> status" in page.text
    assert "All systems are operational" in page.text
    for word in ("API · 100%", "Database", "Background jobs", "Response time", "p95"):
        assert word in page.text
    assert page.tags.count("rect") == 24 * 4


async def test_nothing_internal_is_told(database_url: str, connection: Any) -> None:
    await fill(connection, "api", range(1, 10), counts=[1234567] * (len(metrics.BUCKETS) + 1))
    name = str(await connection.fetchval("SELECT current_database()"))
    async with application(database_url, app_version="9.8.7-secret") as (_, client):
        for accept in ("text/html", "application/json"):
            answer = await client.get("/status", headers={"Accept": accept})
            for word in ("9.8.7", name, "1234567", "postgres", "127.0.0.1", "tandem"):
                assert word not in answer.text.lower()
        assert json.loads(answer.text)["latency_ms"]["p50"] > 0


@pytest.mark.parametrize(
    ("accept", "json_preferred"),
    [
        ("", False), ("*/*", False), ("text/html", False), ("application/json", True), ("Application/JSON", True),
        ("application/*", True), ("text/html, application/json", False), ("text/html;q=0.5, application/json", True),
        ("application/json;q=0.5, text/html", False), ("application/json;q=0, */*", False), ("text/html;q=0, */*", True),
        ("application/json; charset=utf-8; q=0.9, text/*;q=0.8", True), ("image/png", False), (",;q=x,", False),
        ("application/json;q=9", True),
    ],
)  # fmt: skip
def test_what_is_accepted_decides_the_form(accept: str, json_preferred: bool) -> None:
    assert prefers_json(accept) is json_preferred
