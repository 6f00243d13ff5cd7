"""Restoring a backup, and proving one by restoring it: what came out is counted and compared, table by table."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex

from tandem.ops.backup import snapshot
from tandem.ops.backup.create import Meter, Stream, refuse_pooler
from tandem.ops.backup.databases import Server
from tandem.ops.backup.destination import Store
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import Manifest, differences
from tandem.ops.backup.programs import find_program, libpq_environment, require_success, running
from tandem.ops.backup.sealing import BackupKey, unseal

_RESTORE = ("--no-owner", "--no-privileges", "--no-password", "--exit-on-error", "--single-transaction")


@dataclass(frozen=True)
class Source:
    """Which backup, where it is, and the key it needs."""

    manifest: Manifest
    store: Store
    key: BackupKey | None


@dataclass(frozen=True)
class Restored:
    """`replaced` is the name that the database which had that name before has now."""

    database: str
    replaced: str | None = None


async def restore(source: Source, url: str, name: str | None, *, replace: bool, meter: Meter) -> Restored:
    """Into the database `name` of the server of `url`; without a name into a new one.

    A database with anything in it is refused, unless `replace`: then the backup is restored and compared beside it
    first, and takes its name after that, so that nothing is lost whatever goes wrong. Raises BackupError.
    """
    source.manifest.check_key(source.key)
    refuse_pooler(url)
    server = Server(url)
    name = name or f"{_prefix(source)}_restored_{datetime.now(UTC):%Y%m%d%H%M%S}"
    if not await server.exists(name):
        await _into_new(source, server, name, meter)
        return Restored(name)
    if await _is_empty(server.url_of(name)):
        await _fill(source, server.url_of(name), meter)
        return Restored(name)
    if not replace:
        raise BackupError(
            f"the database {name} is not empty: restore into another one, or give --replace, which keeps what is there "
            "under another name"
        )
    beside = await _beside(source, server, meter)
    try:
        replaced = await server.exchange(beside, name)
    except BaseException:
        await server.drop(beside)
        raise
    return Restored(name, replaced)


async def verify(source: Source, url: str, meter: Meter) -> None:
    """Restore into a scratch database, compare, drop it. Raises BackupError with what differs."""
    source.manifest.check_key(source.key)
    refuse_pooler(url)
    server = Server(url)
    scratch = await _beside(source, server, meter)
    await server.drop(scratch)


async def _beside(source: Source, server: Server, meter: Meter) -> str:
    name = f"{_prefix(source)}_scratch_{token_hex(4)}"
    await _into_new(source, server, name, meter)
    return name


async def _into_new(source: Source, server: Server, name: str, meter: Meter) -> None:
    await server.create(name, source.manifest.locale)
    try:
        await _fill(source, server.url_of(name), meter)
    except BaseException:
        with suppress(BackupError):
            await server.drop(name)
        raise


async def _fill(source: Source, url: str, meter: Meter) -> None:
    async with snapshot.connected(url) as connection:
        await _run_restore(source, url, snapshot.server_major(connection), meter)
        meter.step("comparing")
        wrong = list(differences(source.manifest.tables, await snapshot.states(connection, meter.counted)))
        if wrong:
            raise BackupError("what was restored is not what was backed up: " + "; ".join(wrong))
        await connection.execute("ANALYZE")  # the planner knows nothing of rows that were restored


async def _run_restore(source: Source, url: str, server: int, meter: Meter) -> None:
    program, version = find_program("pg_restore", server)
    meter.step(f"restoring {source.manifest.id} with pg_restore {version}")
    environment = libpq_environment(url)
    arguments = [*_RESTORE, f"--dbname={environment['PGDATABASE']}"]
    async with running(program, *arguments, environment=environment, reads=True) as (process, complaint):
        assert process.stdin is not None  # noqa: S101 - it is asked for
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended early, and says why
            async for part in _archive(source, meter):
                process.stdin.write(part)
                await process.stdin.drain()
            process.stdin.close()
            await process.stdin.wait_closed()
        await require_success(program, process, complaint)


async def _archive(source: Source, meter: Meter) -> AsyncIterator[bytes]:
    """The plain archive. Its end is given out only when all of it was what the manifest says."""
    archive, stream = source.manifest.archive, Stream(meter)
    stored = stream.through(source.store.download(archive.path))
    plain = unseal(stored, source.key) if source.key is not None else stored
    held = b""
    async for part in plain:
        if held:
            yield held
        held = part
    if (stream.size, stream.sha256) != (archive.size, archive.sha256):
        raise BackupError(
            f"{archive.path} is damaged: it has {stream.size} of {archive.size} bytes, or not the same checksum"
        )
    yield held


def _prefix(source: Source) -> str:
    return source.manifest.service.replace("-", "_")


async def _is_empty(url: str) -> bool:
    async with snapshot.connected(url) as connection:
        return await snapshot.is_empty(connection)
