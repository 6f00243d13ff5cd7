"""Migrations that many instances may start at once.

Whoever holds an advisory lock migrates, the others wait for it and then find nothing left to do. The lock lives on a
connection of its own and is polled, never waited for: a blocking lock function holds a snapshot, for which CREATE INDEX
CONCURRENTLY in the holder would wait in turn, forever. It goes with its connection, so a crash leaves none behind.

A migration that cannot get a table lock in LOCK_TIMEOUT gives up, lets the queue behind it pass, and tries again:
waiting longer would stop every query on that table. `migrations/env.py` goes through `online`, so all of this holds
for a plain `alembic upgrade head` too.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, pool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tandem.core.db import Connection as Asyncpg
from tandem.core.jobs.queue_table import TABLES
from tandem.core.operator_error import OperatorError
from tandem.core.postgres_url import DatabaseUrl, parse_database_url
from tandem.core.revisions import migrations_dir
from tandem.ops.services import Service
from tandem.ops.target import START_DEADLINE, TURN_DEADLINE, Progress, Target

LOCK_KEY = 0x74616E64656D  # "tandem"; advisory locks belong to one database, so services do not meet
LOCK_TIMEOUT = 2.0  # seconds a statement queues for a table lock
LOCK_RETRIES = 10
POLL = 0.25

# The server answers but not yet, or nobody listens yet. A wrong password or a missing database will not mend itself.
_NOT_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    ConnectionError,
    TimeoutError,
    FileNotFoundError,  # a unix socket that is not there yet
)


class MigrationError(OperatorError):
    """Nothing or not everything was migrated; the message says why and what to do."""


@dataclass(frozen=True)
class Status:
    """Revisions; `current` is None for an empty database."""

    current: str | None
    head: str
    pending: tuple[str, ...]


def migrate(
    service: Service,
    url: str,
    *,
    direct_url: str | None = None,
    target: str = "head",
    on_progress: Progress = lambda _: None,
    start_deadline: float = START_DEADLINE,
    turn_deadline: float = TURN_DEADLINE,
) -> Status:
    """Bring a database to `target` (`head`, a revision, or `base` and `-1` to go down); raises MigrationError.

    Runs an event loop of its own: from asynchronous code, call it in a thread.
    """
    config = alembic_config(service.versions_dir)
    where = Target(direct_url or url, on_progress, start_deadline, turn_deadline)
    _refuse_pooler(parse_database_url(where.url))
    config.attributes["target"] = where
    script = ScriptDirectory.from_config(config)
    current = status(service, where.url, start_deadline=start_deadline).current
    run = command.downgrade if _is_downgrade(script, current, target) else command.upgrade
    run(config, target)
    return status(service, where.url)


def status(service: Service, url: str, *, start_deadline: float = START_DEADLINE) -> Status:
    """Where the database stands and what is missing; needs no lock. Raises MigrationError."""
    script = ScriptDirectory.from_config(alembic_config(service.versions_dir))
    heads = script.get_heads()
    if len(heads) != 1:
        raise MigrationError(f"{service.name} has {len(heads)} migration heads ({', '.join(heads)}); there must be one")
    current = asyncio.run(_current(parse_database_url(url), start_deadline))
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise MigrationError(
            f"the database is at revision {current}, which this version of Tandem does not know: it is newer; "
            "deploy the version that wrote it"
        )
    pending = tuple(revision.revision for revision in script.iterate_revisions(heads[0], current))[::-1]
    return Status(current, heads[0], pending)


def alembic_config(versions_dir: Path) -> Config:
    """What alembic.ini says, for callers that are somewhere else."""
    config = Config()
    config.set_main_option("script_location", _escape(migrations_dir()))
    config.set_main_option("version_locations", _escape(versions_dir))
    config.set_main_option("path_separator", "newline")
    return config


def online(target: Target, context: EnvironmentContext) -> None:
    """Run what Alembic was asked for, alone and with patience. Called by env.py, with no event loop running."""
    asyncio.run(_online(target, context))


def configure(context: EnvironmentContext, metadata: MetaData | None, **options: Any) -> None:
    """One set of options for every way of running: each migration commits by itself, models are compared in full."""
    context.configure(
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
        include_name=is_ours,
        **options,
    )


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether the models describe it: Alembic's `include_name`. The job engine's tables are its own business."""
    return kind != "table" or name not in TABLES


async def _online(target: Target, context: EnvironmentContext) -> None:
    where = parse_database_url(target.url)
    _refuse_pooler(where)
    args = dict(where.connect_args)
    own = {"lock_timeout": f"{LOCK_TIMEOUT:.0f}s", "statement_timeout": "0", "application_name": "tandem-migrate"}
    args["server_settings"] = args["server_settings"] | own
    engine = create_async_engine(where.url, connect_args=args, poolclass=pool.NullPool)
    try:
        async with _our_turn(target, where):
            for attempt in range(1, LOCK_RETRIES + 1):
                try:
                    async with engine.connect() as connection:
                        await connection.run_sync(partial(_run, target, context))
                    return
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) != asyncpg.LockNotAvailableError.sqlstate:
                        raise
                    target.on_progress(f"a table is in use; attempt {attempt} of {LOCK_RETRIES} gave way")
                    await asyncio.sleep(min(0.5 * 2 ** (attempt - 1), 10))
            raise MigrationError(
                f"a table stayed locked through {LOCK_RETRIES} attempts: look for long transactions in pg_stat_activity"
            )
    finally:
        await engine.dispose()


def _run(target: Target, context: EnvironmentContext, connection: Connection) -> None:
    def applied(*, step: Any, **_: Any) -> None:
        verb = "applied" if step.is_upgrade else "undid"
        target.on_progress(f"{verb} {step.up_revision_id}")

    configure(context, target.metadata, connection=connection, on_version_apply=applied)
    with context.begin_transaction():
        context.run_migrations()


@asynccontextmanager
async def _our_turn(target: Target, where: DatabaseUrl) -> AsyncIterator[None]:
    connection = await _connect(where, target.start_deadline, target.on_progress)
    try:
        deadline = time.monotonic() + target.turn_deadline
        told = False
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            if time.monotonic() > deadline:
                raise MigrationError(f"another instance has been migrating for more than {target.turn_deadline:.0f} s")
            if not told:
                target.on_progress("another instance is migrating; waiting for it")
                told = True
            await asyncio.sleep(POLL)
        yield
    finally:
        connection.terminate()  # closing politely would wait for a server that may be gone; the lock ends either way


async def _connect(where: DatabaseUrl, deadline: float, on_progress: Progress) -> Asyncpg:
    until = time.monotonic() + deadline
    told = False
    while True:
        try:
            connection: Asyncpg = await asyncpg.connect(**where.asyncpg_args)
            return connection
        except _NOT_YET as error:
            if time.monotonic() > until:
                raise MigrationError(f"no answer from the database in {deadline:.0f} s: {_reason(error)}") from None
            if not told:
                on_progress("waiting for the database to start")
                told = True
            await asyncio.sleep(POLL)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise MigrationError(f"could not connect to the database: {_reason(error)}") from None


async def _current(where: DatabaseUrl, deadline: float) -> str | None:
    await (await _connect(where, deadline, lambda _: None)).close()
    engine = create_async_engine(where.url, connect_args=where.connect_args, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    finally:
        await engine.dispose()


def _refuse_pooler(where: DatabaseUrl) -> None:
    if where.transaction_pooler:
        raise MigrationError(
            f"{where.url.host or 'the database URL'} is a connection pooler in transaction mode, through which locks "
            "of a session do not hold: set DIRECT_DATABASE_URL to the same database's direct address "
            "(Neon: the host without -pooler; Supabase: port 5432)"
        )


def _is_downgrade(script: ScriptDirectory, current: str | None, target: str) -> bool:
    if target == "base" or target.startswith("-"):
        return True
    if current is None or target in {"head", "heads"} or target.startswith("+"):
        return False
    wanted = script.get_revision(target)
    below = {revision.revision for revision in script.iterate_revisions(current, "base")} - {current}
    return wanted is not None and wanted.revision in below


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _escape(path: Path) -> str:
    return str(path).replace("%", "%%")  # ConfigParser interpolates
