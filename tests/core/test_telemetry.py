"""Traces, received by a real HTTP server that plays an OpenTelemetry collector."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import APIRouter
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from tandem.core import telemetry
from tandem.core.app import create_app
from tandem.core.settings import Settings
from tests.otlp_server import Collector, Span

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SERVER = 2  # in the protocol, where 0 is unspecified; SpanKind counts from internal

router = APIRouter()


@router.get("/api/things/{name}")
async def thing(name: str) -> dict[str, str | None]:
    if name == "broken":
        raise LookupError("a very telling message")
    with telemetry.span("inside", "client", told__twice=1, nothing=None):
        return {"traceparent": telemetry.traceparent()}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@asynccontextmanager
async def serving(endpoint: str | None) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(
        _env_file=None, environment="test", app_version="9.8.7", database_url=SecretStr(NOWHERE), otel_endpoint=endpoint
    )
    app = create_app(settings, title="x", description="x", routers=[router])
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


def named(collector: Collector, name: str) -> Span:
    [found] = [one for one in collector.spans if one.name == name]
    return found


async def test_a_request_is_a_span_with_what_it_did_below_it(collector: Collector) -> None:
    async with serving(collector.url + "/") as client:
        response = await client.get("/api/things/secret-name?q=secret-query", headers={"X-Request-ID": "r-1"})
    request, inside = named(collector, "GET /api/things/{name}"), named(collector, "inside")
    assert collector.paths == ["/v1/traces"]
    assert (request.parent, request.kind, request.service) == ("", SERVER, "tandem")
    assert SpanKind.SERVER.value + 1 == SERVER
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/things/{name}",
        "http.response.status_code": 200,
        "tandem.request_id": "r-1",
    }
    assert (inside.parent, inside.trace, inside.attributes) == (request.id, request.trace, {"told.twice": 1})
    assert response.json()["traceparent"].startswith(f"00-{inside.trace}-{inside.id}-")
    assert b"secret" not in collector.raw


async def test_the_trace_of_the_caller_goes_on(collector: Collector) -> None:
    async with serving(collector.url) as client:
        await client.get("/api/things/a", headers={"traceparent": PARENT})
    request = named(collector, "GET /api/things/{name}")
    assert (request.trace, request.parent) == (PARENT[3:35], PARENT[36:52])


@pytest.mark.parametrize("header", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\xff", ""])
async def test_a_header_that_is_no_traceparent_is_of_nobody(collector: Collector, header: str) -> None:
    async with serving(collector.url) as client:
        answer = await client.get("/api/things/a", headers=[(b"traceparent", header.encode("latin-1"))])
    assert answer.status_code == 200
    assert named(collector, "GET /api/things/{name}").parent == ""


async def test_health_checks_make_no_spans(collector: Collector) -> None:
    async with serving(collector.url) as client:
        await client.get("/health/live")
        await client.get("/api/things/a")
    assert {one.name for one in collector.spans} == {"GET /api/things/{name}", "inside"}


async def test_an_error_is_marked_and_its_message_stays_here(collector: Collector) -> None:
    async with serving(collector.url) as client:
        assert (await client.get("/api/things/broken")).status_code == 500
        assert (await client.get("/api/nothing/here")).status_code == 404
    broken = named(collector, "GET /api/things/{name}")
    assert (broken.failed, broken.attributes["http.response.status_code"]) == (True, 500)
    assert named(collector, "GET").failed is False  # a path that nobody knows names no span
    assert b"telling" not in collector.raw
    assert b"nothing/here" not in collector.raw


async def test_an_error_inside_a_span_is_named_by_its_class(collector: Collector) -> None:
    async with serving(collector.url):
        with pytest.raises(LookupError), telemetry.span("work", "consumer", parent=PARENT):
            raise LookupError("a very telling message")
    work = named(collector, "work")
    assert (work.trace, work.failed, work.attributes) == (PARENT[3:35], True, {"error.type": "LookupError"})


async def test_a_collector_that_is_away_costs_a_request_nothing_and_the_end_little() -> None:
    async with serving("http://127.0.0.1:1") as client:
        for _ in range(50):
            assert (await client.get("/api/things/a")).status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < telemetry.FLUSH_TIMEOUT + 20  # the machine may be busy
    assert not telemetry.active()


async def test_without_an_endpoint_nothing_is_traced() -> None:
    async with serving(None) as client:
        assert (await client.get("/api/things/a")).json() == {"traceparent": None}
    with telemetry.span("work", "client") as nothing:
        assert nothing is None
    telemetry.annotate(nothing, anything=1)


@pytest.mark.parametrize(("endpoint", "loaded"), [("", "False"), ("http://127.0.0.1:1", "True")])
def test_nothing_is_imported_without_an_endpoint(endpoint: str, loaded: str) -> None:
    code = (
        "import asyncio, sys\n"
        "from tandem.core.settings import Settings\n"
        "from tandem.core.app import create_app\n"
        "app = create_app(Settings(_env_file=None), title='x', description='x', routers=[])\n"
        "async def run():\n"
        "    async with app.router.lifespan_context(app): pass\n"
        "asyncio.run(run())\n"
        "print(bool({'opentelemetry.sdk', 'google.protobuf', 'requests'} & set(sys.modules)))"
    )
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": NOWHERE, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded
