"""A service without a product: routes that show what the frame does. No database is asked unless a route says so.

`uvicorn tests.core.edge_service:app` runs it for the tests that need a real server.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tandem.core.app import create_app
from tandem.core.errors import Conflict, TooManyRequests
from tandem.core.openapi import responses
from tandem.core.settings import Settings, load_settings

NOWHERE = "postgresql://tandem:pool-password-1@127.0.0.1:1/nowhere"
SECRET = "b7f1d3a9c5e8042667d9f0a1b2c3d4e5"

router = APIRouter(prefix="/api/things", tags=["things"])
received: list[Any] = []


class OtherShape(Exception):
    """Answered by a handler of its own, as better-auth's errors are."""


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = Field(min_length=1, max_length=100)
    size: float = 0
    labels: list[str] = []
    more: dict[str, Any] = {}


class Filter(BaseModel):
    q: str | None = None


@router.post("", status_code=201, responses=responses(Conflict))
async def create_thing(thing: Thing) -> Thing:
    received.append(thing)
    return thing


@router.post("/optional")
async def create_optional(thing: Thing | None = None) -> dict[str, bool]:
    return {"given": thing is not None}


@router.post("/import")
async def import_things(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@router.get("")
async def search_things(q: str | None = None, limit: int = 10) -> dict[str, Any]:
    return {"q": q, "limit": limit}


@router.get("/crash")
async def crash() -> None:
    raise ZeroDivisionError("token=abcdef123456 at postgresql://tandem:hunter22@db/x")


@router.get("/crash-midway")
async def crash_midway() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"the beginning"
        await asyncio.sleep(0.05)
        raise ZeroDivisionError("midway")

    return StreamingResponse(chunks(), media_type="text/plain")


@router.get("/limited")
async def limited(request: Request) -> None:
    request.scope.setdefault("tandem.headers", {})["X-RateLimit-Limit"] = "100"
    raise TooManyRequests(headers={"Retry-After": "7"}, retry_after=7)


@router.get("/cached")
async def cached(request: Request) -> Any:
    return StreamingResponse(iter([b"x"]), headers={"Cache-Control": "max-age=60"})


@router.get("/other-shape")
async def other_shape() -> None:
    raise OtherShape


@router.get("/who")
async def who(request: Request) -> dict[str, Any]:
    assert request.client is not None
    return {"client": request.client.host, "scheme": request.url.scheme}


@router.get("/database")
async def database(request: Request) -> None:
    async with request.app.state.database.connection() as connection:
        await connection.fetchval("SELECT 1")


@router.get("/slow")
async def slow() -> dict[str, bool]:
    await asyncio.sleep(30)
    return {"done": True}


@router.get("/{thing_id}")
async def get_thing(thing_id: UUID) -> dict[str, str]:
    return {"id": str(thing_id)}


@router.put("/{thing_id}/name/{name}")
async def rename_thing(thing_id: int, name: str) -> dict[str, Any]:
    return {"id": thing_id, "name": name}


def settings(**values: Any) -> Settings:
    given = {
        "environment": "test",
        "database_url": SecretStr(NOWHERE),
        "session_hash_secret": SecretStr(SECRET),
        "cors_origins": "https://app.netlify.app",
    }
    return Settings(_env_file=None, **given | values)  # type: ignore[call-arg]


def build(**values: Any) -> FastAPI:
    return build_from(settings(**values))


def build_from(chosen: Settings) -> FastAPI:
    async def in_other_shape(_request: Request, _error: OtherShape) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({"message": "no", "code": "OTHER"}, 400)

    return create_app(
        chosen,
        title="Things",
        description="Routes that show what the frame does.",
        routers=[router],
        body_limits={"/api/things/import": 3_000_000},
        exception_handlers={OtherShape: in_other_shape},
    )


@asynccontextmanager
async def calling(**values: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the running service, in this process."""
    app = build(**values)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


def __getattr__(name: str) -> Any:
    if name == "app":
        return build_from(load_settings(Settings, _env_file=None))
    raise AttributeError(name)
