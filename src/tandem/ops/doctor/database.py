"""The database and the queue in it."""

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg

from tandem.core.db import Connection
from tandem.core.jobs import operate
from tandem.core.postgres_url import DatabaseUrl
from tandem.core.revisions import expected_heads
from tandem.core.settings import Settings
from tandem.ops.doctor.capacity import CONNECTIONS, Processes, budget
from tandem.ops.doctor.result import Check, Result
from tandem.ops.doctor.subject import Subject

REACHABLE = Check("database.reachable", "Every request needs it.")
TLS = Check("database.tls", "Over the internet anybody on the way can read the password and every row.")
VERSION = Check("database.version", "Tandem's SQL is written for and tested with Postgres 16 and newer.")
DIRECT = Check("migrations.direct", "Through a pooler in transaction mode locks do not hold and nobody can listen.")
HEADS = Check("migrations.one-head", "With two heads nobody knows which schema is meant, and the release step fails.")
AT_HEAD = Check(
    "migrations.at-head", "Code that meets an older schema fails at the first query that needs the newer one."
)
SAFE = Check("migrations.safe", "A lock on a large table stops every query on it for as long as the statement takes.")
WORKERS = Check("queue.workers", "Without a worker nothing is generated, sent or purged; jobs only wait.")
DEPTH = Check("queue.depth", "A queue that grows means too few workers, or one job that blocks them.")
OLDEST = Check("queue.oldest", "How long whoever waits for a job has waited.")

_WITH_A_CONNECTION = (TLS, VERSION, CONNECTIONS, AT_HEAD, WORKERS, DEPTH, OLDEST)
OLDEST_VERSION = 160000
CONNECT = 15.0  # seconds; a database that was suspended takes its time
DEEP, LATE = 1000, 300.0  # due jobs; seconds


async def check_database(subject: Subject, *, instances: int = 1) -> AsyncIterator[Result]:
    yield heads_result(expected_heads(subject.service.versions_dir.parent.name))
    settings, where = subject.settings, subject.direct_database or subject.database
    if settings is None or where is None:
        for check in (REACHABLE, *_WITH_A_CONNECTION):
            yield check.skipped("a DATABASE_URL that can be read")
        return
    yield _direct(subject)
    if subject.direct_database and subject.database:  # requests take one way, migrations and workers the other
        result, connection = await _connect("DATABASE_URL", subject.database)
        yield result
        if connection is not None:
            await connection.close(timeout=5)
    result, connection = await _connect("DIRECT_DATABASE_URL" if subject.direct_database else "DATABASE_URL", where)
    yield result
    if connection is None:
        for check in _WITH_A_CONNECTION:
            yield check.skipped("a database that answers")
        return
    try:
        async for result in _connected(subject, settings, where, connection, instances):
            yield result
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        yield REACHABLE.error(f"it stopped answering: {_words(error)}", _remedy(error, where))
    finally:
        await connection.close(timeout=5)


async def _connect(name: str, where: DatabaseUrl) -> "tuple[Result, asyncpg.Connection[Any] | None]":
    try:
        connection = await asyncpg.connect(**where.asyncpg_args | {"timeout": CONNECT})
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return REACHABLE.error(f"{name}: {_words(error)}", _remedy(error, where)), None
    return REACHABLE.ok(f"{name}: {where.url.host or 'a local socket'} answers"), connection


async def _connected(
    subject: Subject, settings: Settings, where: DatabaseUrl, connection: Connection, instances: int
) -> AsyncIterator[Result]:
    encrypted = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    yield tls_result(where, bool(encrypted), addresses(where))
    yield version_result(int(await connection.fetchval("SHOW server_version_num")))
    limit = int(await connection.fetchval("SHOW max_connections"))
    yield budget(CONNECTIONS, str(where.url.database), [processes_of(subject, settings, instances)], limit)
    yield await _at_head(subject, connection)
    async for result in _queue(subject, connection):
        yield result


def processes_of(subject: Subject, settings: Settings, instances: int) -> Processes:
    """What this environment starts; a separate worker is counted, as its API's environment does not tell."""
    return Processes(
        subject.service.name, settings.pool_size + settings.pool_overflow, settings.web_concurrency, instances,
        serves=True, works=True,
    )  # fmt: skip


def addresses(where: DatabaseUrl) -> list[str]:
    """Where the host name leads; empty for a socket and for a name that leads nowhere."""
    host = where.url.host
    if not host:
        return []
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []


def tls_result(where: DatabaseUrl, encrypted: bool, places: list[str]) -> Result:
    if encrypted:
        return TLS.ok("encrypted")
    public = [place for place in places if not ipaddress.ip_address(place.partition("%")[0]).is_private]
    if not public:
        return TLS.ok("not encrypted, and never leaves the private network")
    return TLS.error(
        f"{where.url.host} is on the internet and the connection is not encrypted",
        "append ?sslmode=require to DATABASE_URL",
    )


def version_result(number: int) -> Result:
    name = f"Postgres {number // 10000}.{number % 10000}"
    return VERSION.ok(name) if number >= OLDEST_VERSION else VERSION.error(name, "move to Postgres 16 or newer")


def heads_result(heads: frozenset[str]) -> Result:
    names = ", ".join(sorted(heads))
    if len(heads) == 1:
        return HEADS.ok(names)
    return HEADS.error(
        f"{len(heads)} heads: {names or 'no migration was found'}",
        "`alembic merge heads`, or renumber the newer one",
    )


def _direct(subject: Subject) -> Result:
    used = "DIRECT_DATABASE_URL" if subject.direct_database else "DATABASE_URL"
    where = subject.direct_database or subject.database
    if where is not None and where.transaction_pooler:
        return DIRECT.error(
            f"{used} names {where.url.host}, a pooler in transaction mode",
            "DIRECT_DATABASE_URL to the direct address (Neon: the host without -pooler; Supabase: port 5432)",
        )
    return DIRECT.ok(f"migrations and workers use {used}, which is direct")


async def _at_head(subject: Subject, connection: Connection) -> Result:
    service = subject.service
    expected = expected_heads(service.versions_dir.parent.name)
    current = await _revisions(connection)
    if current == expected:
        return AT_HEAD.ok(", ".join(sorted(current)))
    now = ", ".join(sorted(current)) or "nothing, the database is empty"
    seen = f"at {now}; the code expects {', '.join(sorted(expected))}"
    return AT_HEAD.error(
        seen, f"`tandem migrate {service.name}`; a database that is newer wants the newer version deployed"
    )


async def current_revision(subject: Subject) -> str | None:
    """What the database says it is at, or None; the first of several."""
    where = subject.direct_database or subject.database
    if where is None:
        return None
    connection = await asyncpg.connect(**where.asyncpg_args)
    try:
        return next(iter(sorted(await _revisions(connection))), None)
    finally:
        await connection.close(timeout=5)


async def _revisions(connection: Connection) -> set[str]:
    try:
        return {row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version")}
    except asyncpg.UndefinedTableError:
        return set()


async def _queue(subject: Subject, connection: Connection) -> AsyncIterator[Result]:
    if not subject.service.jobs_path:
        return
    try:
        depth = await operate.depth(connection)
    except asyncpg.UndefinedTableError:
        for check in (WORKERS, DEPTH, OLDEST):
            yield check.skipped("a migrated database")
        return
    for result in queue_results(subject.service.name, depth):
        yield result


def queue_results(name: str, depth: operate.Depth) -> Iterator[Result]:
    start = f"`tandem worker {name}`, or RUN_WORKER=true for the web process"
    yield (
        WORKERS.ok(f"{depth.workers} say that they live")
        if depth.workers
        else WORKERS.error("no worker says that it lives", start)
    )
    due = depth.total("due")
    yield (
        DEPTH.ok(f"{due} due")
        if due < DEEP
        else DEPTH.error(f"{due} due", f"more workers; `tandem jobs list {name}` shows what waits")
    )
    waited = f"the oldest due job has waited {depth.oldest:.0f} s"
    if depth.oldest < LATE:
        yield OLDEST.ok(waited if due else "nothing is due")
    else:
        yield OLDEST.error(waited, f"read the worker's log; `tandem jobs list {name} --status queued`")


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _remedy(error: BaseException, where: DatabaseUrl) -> str:
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return "copy the URL from the provider's dashboard anew: user or password is wrong"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"create the database {where.url.database}, or correct its name in DATABASE_URL"
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return "its connections are used up: see database.connections, or end idle ones in pg_stat_activity"
    return "does it run, may this machine connect (allow list, network), and is the port right?"
