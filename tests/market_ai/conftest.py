"""Fixtures of Market AI: `market` talks to the application in this process, `await member()` signs somebody in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tandem.core.jobs.registry import Backoff
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.sending import jobs as sending
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.tenancy import personal_organization
from tests.builders import SECRET, User, signed_up_user
from tests.smtp_server import SmtpServer, smtp_server


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


@pytest.fixture(scope="session")
def smtp_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    with smtp_server(tmp_path_factory.mktemp("smtp")) as running:
        yield running


@pytest.fixture
def smtp(smtp_process: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> SmtpServer:
    """A mail server that has no messages yet; a mail that it does not want yet is tried again at once."""
    monkeypatch.setattr(sending, "RETRY", Backoff(timedelta(milliseconds=20), 1.0, timedelta(milliseconds=20)))
    monkeypatch.setattr(sending, "UNREACHABLE", Backoff(timedelta(milliseconds=50), 1.0, timedelta(milliseconds=50)))
    smtp_process.clear()
    return smtp_process


@pytest.fixture
def mail_settings(market_settings: MarketAiSettings, smtp: SmtpServer) -> MarketAiSettings:
    """Those of `market_settings`, and mail goes to `smtp`; for the worker, and for a `market_settings` of its own."""
    mail = {"smtp_url": SecretStr(smtp.url), "mail_from": "Ada's Bakery <news@bakery.test>"}
    return market_settings.model_copy(update=mail)


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
