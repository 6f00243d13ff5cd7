"""What a database holds at one moment: the rows of every table and a checksum over them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tandem.core.db import Connection
from tandem.core.postgres_url import parse_database_url
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import Locale, TableState

# Rows are hashed as text, which these decide.
_TEXT = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
}
_PATIENCE = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": "60s"}
# Not what belongs to an extension. Columns that are computed are left out: another version may compute another text.
_TABLES = """
SELECT n.nspname || '.' || c.relname AS name,
       format('%I.%I', n.nspname, c.relname) AS quoted,
       coalesce((SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                   FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), '')
       AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1"""
_STATE = """
SELECT count(*) AS rows, coalesce(sum(('x' || encode(substr(hash, 1, 8), 'hex'))::bit(64)::bigint), 0)::text AS checksum
  FROM (SELECT sha256(convert_to(ROW({columns})::text, 'UTF8')) AS hash FROM ONLY {quoted}) hashed"""
_LOCALE = """
SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
  FROM pg_database WHERE datname = current_database()"""

Counted = Callable[[int, int], None]
"""Told how many tables of how many are done."""


async def connect(url: str, database: str | None = None) -> Connection:
    """Without the limits of a request; raises BackupError."""
    args = parse_database_url(url).asyncpg_args
    args["server_settings"] = args["server_settings"] | _TEXT | _PATIENCE | {"application_name": "tandem-backup"}
    if database is not None:
        args["database"] = database
    try:
        connection: Connection = await asyncpg.connect(**args)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BackupError(f"could not connect to the database: {error or type(error).__name__}") from None
    return connection


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection for the block, whose errors of the database are BackupErrors."""
    connection = await connect(url)
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError) as error:
        raise BackupError(f"the database refused: {error or type(error).__name__}") from None
    finally:
        connection.terminate()  # closing politely would wait for a server that may be gone


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[str]:
    """One moment of the database, by whose name pg_dump sees the same while the block lasts."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield await connection.fetchval("SELECT pg_export_snapshot()")


async def states(connection: Connection, counted: Counted) -> dict[str, TableState]:
    """Every table by `schema.name`; in a `snapshot` all at the same moment."""
    tables = await connection.fetch(_TABLES)
    found: dict[str, TableState] = {}
    for number, table in enumerate(tables, 1):
        sql = _STATE.format(columns=table["columns"], quoted=table["quoted"])
        row: Any = await connection.fetchrow(sql)
        found[table["name"]] = TableState(rows=row["rows"], checksum=row["checksum"])
        counted(number, len(tables))
    return found


async def is_empty(connection: Connection) -> bool:
    return not await connection.fetch(_TABLES)


async def revision(connection: Connection) -> str | None:
    """The migration the database is at, None when it knows of none."""
    if not await connection.fetchval("SELECT to_regclass('public.alembic_version') IS NOT NULL"):
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM public.alembic_version")
    return found


async def locale(connection: Connection) -> Locale:
    row: Any = await connection.fetchrow(_LOCALE)
    return Locale(**row)


def server_major(connection: Connection) -> int:
    return int(connection.get_server_version().major)


def server_version(connection: Connection) -> str:
    version = connection.get_server_version()
    return f"{version.major}.{version.minor}"
