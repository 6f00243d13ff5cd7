"""Fixtures of Momentum's tests: Ada is signed in on `client`; Bob has headers of his own."""

import asyncpg
import pytest

from tandem.core.postgres_url import parse_database_url


@pytest.fixture
async def ada(client, sign_up):
    user = await sign_up()
    client.headers.update(user.headers)
    return user


@pytest.fixture
async def bob(sign_up):
    return await sign_up(name="Bob")


@pytest.fixture
async def database(database_url):
    """A connection of the test's own, in autocommit."""
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    yield connection
    await connection.close()
