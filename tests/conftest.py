"""Fixtures of every test: a real Postgres, a database per test, the application on it, and signed-in users.

`client` talks to the application in this process; `await sign_up()` gives a `User` with `.headers`, `.id` and `.token`.
"""

import ipaddress
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from pydantic import SecretStr

from tandem.core.postgres import EmbeddedPostgres
from tandem.core.settings import Settings, environment_names
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES
from tests.builders import SECRET, User, signed_up_user
from tests.databases import TEMPLATE, Clones, cluster_parent
from tests.servers import RunningServer, clean_environment, free_port

MOMENTUM = SERVICES["momentum"]


def _is_loopback(host: object) -> bool:
    if host in {"", "localhost", None}:
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return str(host) == "testserver"


def _only_loopback(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: no test reaches the network, not even to resolve a name."""
    if event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple) and not _is_loopback(args[1][0]):
        raise PermissionError(f"tests may not open a connection to {args[1]}")
    if event == "socket.getaddrinfo" and not _is_loopback(args[0]):
        raise PermissionError(f"tests may not resolve {args[0]!r}")


sys.addaudithook(_only_loopback)

for _service in SERVICES.values():  # what the developer's shell says is not the tests' business
    for _field in _service.settings_class.model_fields.values():
        for _name in environment_names(_field):
            os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def logs_as_they_are_by_default() -> None:
    """A level that an earlier test configured would keep lines from this one."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server per test process."""
    directory = cluster_parent()
    server = EmbeddedPostgres(directory / "postgres", durable=False)
    try:
        server.start()
        yield server
        server.destroy()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """The name of the database that was migrated once; clones are made from it."""
    postgres.create_database(TEMPLATE)
    migrate(MOMENTUM, postgres.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="session")
def clones(postgres: EmbeddedPostgres, template: str) -> Iterator[Clones]:
    with Clones(postgres) as clones:
        yield clones


@pytest.fixture(scope="session")
def market_clones(postgres: EmbeddedPostgres) -> Iterator[Clones]:
    """As `clones`, of Market AI's database."""
    name = "template_market_ai"
    postgres.create_database(name)
    migrate(SERVICES["market-ai"], postgres.url(name))
    with Clones(postgres, name) as clones:
        yield clones


@pytest.fixture
def market_url(postgres: EmbeddedPostgres, market_clones: Clones) -> Iterator[str]:
    """A migrated database of this test's own, dropped afterwards."""
    name = market_clones.take()
    yield postgres.url(name)
    market_clones.drop(name)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, clones: Clones) -> Iterator[str]:
    """A migrated database of this test's own, dropped afterwards."""
    name = clones.take()
    yield postgres.url(name)
    clones.drop(name)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Rate limits are out of the way; tests about them make their own settings with `model_copy(update=...)`."""
    return MOMENTUM.settings_class(
        _env_file=None,
        environment="test",
        database_url=SecretStr(database_url),
        session_hash_secret=SecretStr(SECRET),
        rate_limit="1000000/minute",
        pool_size=3,
        pool_timeout=10,
    )


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    from tandem.momentum.main import build

    return build(settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


@pytest.fixture
def sign_up(database_url: str) -> Callable[..., Awaitable[User]]:
    """`await sign_up(email=…, name=…)`: a user with a session, without the quarter second of a password hash."""

    async def sign_up(*, email: str | None = None, name: str = "Ada") -> User:
        return await signed_up_user(database_url, email=email, name=name)

    return sign_up


@pytest.fixture
def momentum_server(database_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    """`tandem serve momentum` on a free port, with a database of this test's own."""
    port = free_port()
    command = [sys.executable, "-m", "tandem", "serve", "momentum", "--port", str(port)]
    with RunningServer(command, port, clean_environment(DATABASE_URL=database_url), tmp_path) as server:
        yield server
