"""`create_app`: documentation, the OpenAPI document, starting and stopping, import time and size."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr

from tandem.core.app import create_app
from tandem.core.errors import Conflict, NotFound, PreconditionFailed
from tandem.core.openapi import responses
from tandem.core.postgres import EmbeddedPostgres
from tests.core import edge_service
from tests.core.edge_service import NOWHERE, SECRET, router, settings

ROOT = Path(__file__).parents[2]


def _client(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")


@pytest.fixture
def document() -> dict[str, Any]:
    return edge_service.build().openapi()


# ---- documentation


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"environment": "development"}, 200),
        ({"environment": "production"}, 404),
        ({"environment": "production", "docs": True}, 200),
        ({"environment": "development", "docs": False}, 404),
    ],
)
async def test_documentation_is_off_in_production_unless_asked_for(values: dict[str, Any], status: int) -> None:
    async with _client(edge_service.build(**values)) as client:
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert (await client.get(path)).status_code == status, path


async def test_the_documentation_pages_may_load_their_scripts() -> None:
    async with _client(edge_service.build()) as client:
        for path in ("/docs", "/redoc"):
            page = await client.get(path)
            policy = page.headers["content-security-policy"]
            assert "https://cdn.jsdelivr.net" in page.text
            assert "script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net" in policy
            assert "frame-ancestors 'none'" in policy


# ---- the OpenAPI document


def test_operations_are_named_after_their_functions(document: dict[str, Any]) -> None:
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))
    assert {"create_thing", "get_thing", "search_things"} <= set(ids)


def test_two_features_may_use_the_same_function_name() -> None:
    routers = []
    for tag in ("cats", "dogs"):
        part = APIRouter(prefix=f"/api/{tag}", tags=[tag])

        @part.get("")
        async def list_all() -> list[str]:
            return []

        routers.append(part)
    document = create_app(settings(), title="x", description="x", routers=routers).openapi()
    assert document["paths"]["/api/cats"]["get"]["operationId"] == "cats_list_all"
    assert document["paths"]["/api/dogs"]["get"]["operationId"] == "dogs_list_all"


def test_errors_are_documented_as_problems_only(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status[0] in "45" and path.startswith("/api"):
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/api/things", "post", {"201", "400", "401", "403", "409", "413", "415", "422", "429", "503"}),
        ("/api/things", "get", {"200", "401", "403", "422", "429", "503"}),
        ("/api/things/{thing_id}", "get", {"200", "401", "403", "404", "422", "429", "503"}),
        ("/api/things/who", "get", {"200", "401", "403", "429", "503"}),
        ("/health/live", "get", {"200"}),
    ],
)
def test_each_operation_lists_the_statuses_it_may_answer(
    document: dict[str, Any], path: str, method: str, expected: set[str]
) -> None:
    assert set(document["paths"][path][method]["responses"]) == expected


def test_bearer_and_cookie_are_the_two_ways_in(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["cookie"]["name"] == "better-auth.session_token"
    assert document["paths"]["/api/things"]["get"]["security"] == [{"bearer": []}, {"cookie": []}]
    assert document["paths"]["/health/live"]["get"]["security"] == []


def test_a_public_route_documents_no_credential() -> None:
    public = APIRouter(prefix="/api/public")

    @public.get("", openapi_extra={"security": []})
    async def read_public() -> None: ...

    document = create_app(settings(), title="x", description="x", routers=[public]).openapi()
    operation = document["paths"]["/api/public"]["get"]
    assert operation["security"] == []
    assert not {"401", "403"} & set(operation["responses"])


def test_responses_groups_problems_by_status_with_an_example_each() -> None:
    class Taken(Conflict):
        code, title = "taken_for_this_test", "Taken"

    try:
        made = responses(Conflict, Taken, PreconditionFailed)
        assert set(made) == {409, 412}
        examples = made[409]["content"]["application/problem+json"]["examples"]
        assert set(examples) == {"conflict", "taken_for_this_test"}
        assert examples["taken_for_this_test"]["value"]["status"] == 409
    finally:
        Taken.code = "conflict"  # all_problems() must not meet a code of this test's


async def test_the_document_matches_the_schema_of_what_is_sent(document: dict[str, Any]) -> None:
    async with _client(edge_service.build()) as client:
        problem = (await client.get("/api/nothing")).json()
    schema = document["components"]["schemas"]["Problem"]
    assert set(schema["required"]) <= set(problem)
    assert set(problem) <= set(schema["properties"])


# ---- routers


def test_a_nested_router_is_refused_because_our_rules_would_miss_it() -> None:
    inner, outer = APIRouter(prefix="/inner"), APIRouter(prefix="/api/outer")

    @inner.get("")
    async def read() -> None: ...

    outer.include_router(inner)
    with pytest.raises(TypeError, match="every router by itself"):
        create_app(settings(), title="x", description="x", routers=[outer])


async def test_a_route_added_later_is_found() -> None:
    app = edge_service.build()
    async with _client(app) as client:
        assert (await client.get("/api/later")).status_code == 404

        @app.get("/api/later")
        async def later() -> dict[str, bool]:
            return {"later": True}

        assert (await client.get("/api/later")).json() == {"later": True}


# ---- starting and stopping


async def test_what_a_service_keeps_running_starts_after_the_state_and_stops_before_it() -> None:
    happened = []

    def running(name: str) -> Callable[[FastAPI], Any]:
        @asynccontextmanager
        async def run(app: FastAPI) -> AsyncIterator[None]:
            happened.append((name, app.state.database.pool.checkedout()))
            yield
            happened.append((f"{name} stopped", app.state.database.pool.checkedout()))

        return run

    app = create_app(settings(), title="x", description="x", routers=[], running=[running("first"), running("second")])
    async with app.router.lifespan_context(app):
        assert app.state.limiter
        assert app.state.health
    assert [name for name, _ in happened] == ["first", "second", "second stopped", "first stopped"]


async def test_without_a_database_url_the_embedded_postgres_runs_while_the_service_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    app = create_app(
        settings(database_url=None, environment="development"), title="x", description="x", routers=[router]
    )
    async with app.router.lifespan_context(app), _client(app) as client:
        assert (await client.get("/api/things/database")).status_code == 200
        # A second process of the same service uses the server of the first.
        second = create_app(settings(database_url=None), title="x", description="x", routers=[router])
        async with second.router.lifespan_context(second), _client(second) as another:
            assert (await another.get("/api/things/database")).status_code == 200
        assert (await client.get("/api/things/database")).status_code == 200
    server = EmbeddedPostgres(tmp_path / ".tandem" / "postgres")
    server.start()  # nobody holds it any more
    server.destroy()


async def test_a_database_that_comes_late_is_used_without_a_restart(postgres: EmbeddedPostgres) -> None:
    name = "comes_late"
    app = create_app(settings(database_url=SecretStr(postgres.url(name))), title="x", description="x", routers=[router])
    async with app.router.lifespan_context(app), _client(app) as client:
        assert (await client.get("/api/things/database")).status_code == 503
        postgres.create_database(name)
        assert (await client.get("/api/things/database")).status_code == 200


# ---- size


HEAVY = {
    "alembic", "genai_prices", "hypothesis", "jinja2", "obstore", "openai", "opentelemetry.sdk", "pgqueuer", "pydantic_ai",
    "pygal", "rich", "schemathesis", "sentry_sdk", "sqlalchemy.ext.asyncio", "sqlalchemy.orm", "tandem.momentum.tables",
    "typer",
}  # fmt: skip


def test_an_application_imports_lean() -> None:
    """Heavy optional parts stay out, the ORM among them; 100 MB is what one process may use under load."""
    code = (
        "import gc, sys, psutil\n"
        "from tandem.momentum.main import app\n"
        "app.build_middleware_stack()\n"
        f"print(sorted({HEAVY} & set(sys.modules)), psutil.Process().memory_info().rss)\n"
        "import rich\n"  # what was kept out can be had, and the collector works again
        "assert gc.isenabled()\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": NOWHERE, "SESSION_HASH_SECRET": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    heavy, _, size = done.stdout.strip().rpartition(" ")
    assert heavy == "[]"
    assert int(size) < 85_000_000


def test_not_found_is_the_default_title() -> None:
    assert NotFound().body("r")["detail"] == "There is nothing here"
