"""Fixtures of the accounts' tests: the accounts alone as the application, and a look into its database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI

from tandem.core.settings import Settings
from tests.accounts.service import PASSWORD, Client, accounts_app, connect


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return accounts_app(settings)


@pytest.fixture
async def plain_client(settings: Settings) -> AsyncIterator[Client]:
    """The application beside a stock better-auth server: the session table holds the tokens themselves."""
    app = accounts_app(settings.model_copy(update={"session_tokens": "plain"}))
    async with (
        app.router.lifespan_context(app),
        Client(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client,
    ):
        yield client


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def register(client: Client) -> Callable[..., Awaitable[httpx2.Response]]:
    """Sign up over HTTP; the client keeps no cookie of it."""

    async def register(email: str = "ada@example.com", **fields: Any) -> httpx2.Response:
        body = {"name": "Ada", "email": email, "password": PASSWORD} | fields
        response = await client.post("/api/auth/sign-up/email", json=body)
        client.cookies.clear()
        return response

    return register
