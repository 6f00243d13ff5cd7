"""The accounts by themselves, as a service: their routes, and two routes of its own that need a credential."""

from typing import Annotated, Any

import asyncpg
import httpx2
from fastapi import APIRouter, FastAPI

from tandem.accounts.access import reading, signed_in, writing
from tandem.accounts.handlers import exception_handlers
from tandem.accounts.principal import Reader, Writer
from tandem.accounts.routers import routers
from tandem.core.app import create_app
from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import Settings

SCOPES = ["tasks:read", "tasks:write", "settings:read"]
PASSWORD = "correct horse battery"

Client = httpx2.AsyncClient


def accounts_app(settings: Settings) -> FastAPI:
    probe = APIRouter(prefix="/api/probe")

    @probe.get("")
    async def whoami(caller: Reader = reading("tasks:read")) -> dict[str, Any]:
        principal = caller.principal
        return {"user_id": principal.user_id, "via": principal.via, "actor": principal.actor}

    @probe.post("")
    async def act(caller: Writer = writing("tasks:write")) -> dict[str, Any]:
        return {"user_id": caller.user_id}

    @probe.post("/upload")
    async def upload(caller: Annotated[Writer, writing("tasks:write")], items: list[str]) -> dict[str, int]:
        return {"items": len(items)}

    return create_app(
        settings,
        title="Accounts",
        description="Accounts alone",
        routers=[*routers(settings, SCOPES), probe],
        body_limits={"/api/probe/upload": 3_000_000},
        gate=signed_in,
        exception_handlers=exception_handlers(),
    )


async def connect(database_url: str) -> "asyncpg.Connection[Any]":
    """The test's own look into the database."""
    return await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)


def bearer(response: httpx2.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {response.json()['token']}"}


def set_cookies(response: httpx2.Response) -> list[str]:
    return response.headers.get_list("set-cookie")


def cookie_pair(response: httpx2.Response) -> str:
    """`name=value` of the session cookie that was set."""
    return set_cookies(response)[0].partition(";")[0]
