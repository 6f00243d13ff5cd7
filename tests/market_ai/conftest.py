"""Fixtures of Market AI: `market` talks to the application in this process, `await member()` signs somebody in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.tenancy import personal_organization
from tests.builders import SECRET, User, signed_up_user


@dataclass(frozen=True)
class Member:
    """`headers` name the organization, so that every request is for it."""

    user: User
    org_id: str
    role: str

    @property
    def user_id(self) -> str:
        return self.user.id

    @property
    def headers(self) -> dict[str, str]:
        return self.user.headers | {"X-Organization-Id": self.org_id}


MakeMember = Callable[..., Awaitable[Member]]


@pytest.fixture
def market_settings(market_url: str) -> MarketAiSettings:
    """Rate limits are out of the way but for the tight ones of their own; copy is written offline."""
    return MarketAiSettings(
        _env_file=None,
        environment="test",
        database_url=SecretStr(market_url),
        session_hash_secret=SecretStr(SECRET),
        rate_limit="1000000/minute",
        pool_size=3,
        pool_timeout=10,
    )


@pytest.fixture
def market_app(market_settings: MarketAiSettings) -> FastAPI:
    from tandem.market_ai.main import build

    return build(market_settings)


@pytest.fixture
async def market(market_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=market_app)
    async with (
        market_app.router.lifespan_context(market_app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


@pytest.fixture
def member(market_url: str) -> MakeMember:
    """`await member(role="viewer", org=other.org_id)`: a signed-in user with that role there, else in their own."""

    async def member(*, role: str = "admin", org: str | None = None) -> Member:
        user = await signed_up_user(market_url)
        org_id = org or personal_organization(user.id)
        connection = await asyncpg.connect(**parse_database_url(market_url).asyncpg_args)
        try:
            if org is None:
                await connection.execute(
                    "INSERT INTO organizations (id, name, personal_of) VALUES ($1, $2, $3)", org_id, user.name, user.id
                )
            await connection.execute(
                "INSERT INTO memberships (org_id, user_id, role) VALUES ($1, $2, $3)", org_id, user.id, role
            )
        finally:
            await connection.close()
        return Member(user, org_id, role)

    return member
