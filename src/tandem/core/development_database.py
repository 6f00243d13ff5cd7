"""The database of a service started without DATABASE_URL, as in `uvicorn tandem.momentum.main:app` on a laptop.

`tandem up` runs the embedded Postgres itself and hands its URL on; then this is not needed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from tandem.core.postgres_url import DatabaseUrl, parse_database_url
from tandem.core.settings import Settings, SettingsError


def data_dir() -> Path:
    """`.tandem/postgres` of the checkout the current directory is in, or of the nearest one above that has it."""
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / ".tandem").is_dir() or (directory / "migrations" / "env.py").exists():
            return directory / ".tandem" / "postgres"
    return here / ".tandem" / "postgres"


@asynccontextmanager
async def development_database(settings: Settings) -> AsyncIterator[DatabaseUrl]:
    """Use the embedded server that runs in data_dir(), or run it until the block ends.

    Raises SettingsError outside development, EmbeddedPostgresError when Postgres cannot be started.
    """
    if settings.deployed:
        raise SettingsError(["DATABASE_URL is not set: the connection string of your Postgres"])
    from tandem.core.postgres import EmbeddedPostgres, EmbeddedPostgresError

    server = EmbeddedPostgres(data_dir())
    name = settings.database_name
    try:
        await asyncio.to_thread(server.start)
    except EmbeddedPostgresError:
        if not await attach(server.url("postgres"), name):
            raise
    else:
        await asyncio.to_thread(server.create_database, name)
    try:
        yield parse_database_url(server.url(name))
    finally:
        await asyncio.to_thread(server.stop)  # does nothing to a server that is another process's


async def attach(url: str, name: str) -> bool:
    """Make sure that the running server, if there is one, has the database."""
    try:
        connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    except (OSError, asyncpg.PostgresError):
        return False
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return True
