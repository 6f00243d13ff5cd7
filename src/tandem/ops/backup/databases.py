"""Databases of a server: made, dropped, and exchanged by their names."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
from sqlalchemy import make_url

from tandem.core.db import Connection
from tandem.core.postgres_url import bare, parse_database_url
from tandem.ops.backup import snapshot
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import Locale

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_MAINTENANCE = "postgres"  # nobody's data is in it, and it is on every server


class Server:
    """The server that `url` leads to. Whoever makes databases must be allowed to: CREATEDB, which providers grant."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url_of(self, name: str) -> str:
        """The URL of another database there, with all parameters of the first."""
        return make_url(bare(self._url)).set(database=name).render_as_string(hide_password=False)

    async def exists(self, name: str) -> bool:
        async with self._maintenance() as connection:
            return bool(await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name))

    async def create(self, name: str, locale: Locale) -> None:
        """With the collation of the backed up one, so that texts sort as before; else the server's own."""
        own = f'CREATE DATABASE "{_checked(name)}" TEMPLATE template0 ENCODING {_literal(locale.encoding)}'
        same = f"{own} LOCALE_PROVIDER libc LC_COLLATE {_literal(locale.collate)} LC_CTYPE {_literal(locale.ctype)}"
        async with self._maintenance() as connection:
            try:
                try:
                    await connection.execute(same)
                except (asyncpg.WrongObjectTypeError, asyncpg.InvalidParameterValueError):
                    await connection.execute(own)
            except asyncpg.PostgresError as error:
                raise BackupError(f"could not create the database {name}: {error}") from None

    async def drop(self, name: str) -> None:
        async with self._maintenance() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{_checked(name)}" WITH (FORCE)')

    async def exchange(self, new: str, name: str) -> str:
        """`new` takes the place of `name` in one transaction; the name that the old one has from now on."""
        aside = f"{name[:40]}_replaced_{datetime.now(UTC):%Y%m%d%H%M%S}"
        async with self._maintenance() as connection:
            try:
                await self._exchange(connection, new, name, aside)
            except asyncpg.PostgresError as error:
                raise BackupError(f"{new} could not take the place of {name}, which stays as it is: {error}") from None
        return aside

    async def _exchange(self, connection: Connection, new: str, name: str, aside: str) -> None:
        """Clients are kept out meanwhile, and sent away: a database in use cannot be renamed."""
        await connection.execute(f'ALTER DATABASE "{_checked(name)}" ALLOW_CONNECTIONS false')
        try:
            for one in (name, new):
                await connection.fetch(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", one
                )
            async with connection.transaction():
                await connection.execute(f'ALTER DATABASE "{_checked(name)}" RENAME TO "{_checked(aside)}"')
                await connection.execute(f'ALTER DATABASE "{_checked(new)}" RENAME TO "{_checked(name)}"')
        except BaseException:
            await connection.execute(f'ALTER DATABASE "{_checked(name)}" ALLOW_CONNECTIONS true')
            raise
        await connection.execute(f'ALTER DATABASE "{_checked(aside)}" ALLOW_CONNECTIONS true')

    @asynccontextmanager
    async def _maintenance(self) -> AsyncIterator[Connection]:
        own = str(parse_database_url(self._url).url.database)
        try:
            connection = await snapshot.connect(self._url, _MAINTENANCE)
        except BackupError:
            connection = await snapshot.connect(self._url, own)
        try:
            yield connection
        finally:
            await connection.close()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BackupError(f"{name!r} is no name for a database: use letters, digits, _ and -, at most 63")
    return name


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
