"""Backups as the tests make them: a silent meter, keys, and a plain database with a few things in it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tandem.core.postgres_url import parse_database_url
from tandem.ops.backup.create import Order, create
from tandem.ops.backup.destination import Destination, Store
from tandem.ops.backup.manifest import Manifest
from tandem.ops.backup.restore import Restored, Source, restore
from tandem.ops.backup.sealing import BackupKey
from tandem.ops.services import SERVICES

KEY = BackupKey("0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2)
OTHER_KEY = BackupKey("ffeeddccbbaa99887766554433221100" * 2)
MOMENTUM = SERVICES["momentum"]


class Meter:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.bytes = 0
        self.tables = (0, 0)

    def step(self, text: str) -> None:
        self.steps.append(text)

    def moved(self, size: int) -> None:
        self.bytes = size

    def counted(self, done: int, total: int) -> None:
        self.tables = (done, total)


def folder(path: Path) -> Store:
    return Destination(str(path)).open()


async def back_up(url: str, store: Store, *, key: BackupKey | None = KEY, service: str = "momentum") -> Manifest:
    return await create(Order(SERVICES[service], url, store, key), Meter())


async def bring_back(
    manifest: Manifest,
    store: Store,
    url: str,
    name: str | None = None,
    *,
    key: BackupKey | None = KEY,
    replace: bool = False,
) -> Restored:
    return await restore(Source(manifest, store, key), url, name, replace=replace, meter=Meter())


@asynccontextmanager
async def connected(url: str, database: str | None = None) -> AsyncIterator[Any]:
    args = parse_database_url(url).asyncpg_args
    connection = await asyncpg.connect(**args | ({"database": database} if database else {}))
    try:
        yield connection
    finally:
        await connection.close()


async def databases(url: str) -> set[str]:
    async with connected(url, "postgres") as connection:
        return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}


async def drop(url: str, names: Iterable[str]) -> None:
    async with connected(url, "postgres") as connection:
        for name in names:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def furnish(url: str) -> None:
    """Rows whose text is easily got wrong, in a table that the service does not know."""
    async with connected(url) as connection:
        await connection.execute("""
            CREATE TABLE oddities ("a ""quoted"" column" text, b bytea, f float8, t timestamptz, j jsonb, n numeric,
                                   g text GENERATED ALWAYS AS (upper("a ""quoted"" column")) STORED);
            INSERT INTO oddities VALUES (E'line\\nbreak, ü, 🌱', '\\x00ff'::bytea, 'NaN', 'infinity', '{"z": [1, null]}', 1e30),
                (NULL, NULL, 1.1e-300, '2026-03-29 02:30+01', NULL, NULL), ('same', NULL, 0.1, NULL, NULL, NULL),
                ('same', NULL, 0.1, NULL, NULL, NULL);
            CREATE SCHEMA "Another one";
            CREATE TABLE "Another one".empty ();
            """)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)
