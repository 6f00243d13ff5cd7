"""Making a backup: pg_dump and the checksums see one snapshot, the archive goes to its place as it is written."""

import asyncio
import hashlib
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from tandem.core.db import Connection
from tandem.core.postgres_url import parse_database_url
from tandem.ops.backup import snapshot
from tandem.ops.backup.catalog import path_of
from tandem.ops.backup.destination import Store
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import ARCHIVE, MANIFEST, SEALED, Archive, Manifest, TableState, new_id
from tandem.ops.backup.programs import LOCK_WAIT, find_program, libpq_environment, require_success, running
from tandem.ops.backup.sealing import BackupKey, seal
from tandem.ops.services import Service

READ = 256 * 1024  # bytes
# Owners and rights belong to a server, not to the data; comments on extensions are refused to all but their owner.
_DUMP = ("--format=custom", "--no-owner", "--no-privileges", "--no-comments", "--no-password", "--no-publications",
         "--no-subscriptions", "--no-security-labels")  # fmt: skip


class Meter(Protocol):
    """Shown while it takes its time."""

    def step(self, text: str) -> None: ...

    def moved(self, size: int) -> None: ...

    def counted(self, done: int, total: int) -> None: ...


@dataclass
class Stream:
    """Counts and hashes what passes."""

    meter: Meter
    size: int = 0

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256()

    async def through(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in parts:
            self.size += len(part)
            self._hash.update(part)
            self.meter.moved(self.size)
            yield part

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Order:
    """What is backed up, and how."""

    service: Service
    url: str
    store: Store
    key: BackupKey | None


async def create(order: Order, meter: Meter) -> Manifest:
    """The manifest of the backup that was made; raises BackupError and leaves nothing behind that counts as one."""
    refuse_pooler(order.url)
    async with snapshot.connected(order.url) as connection:
        if await snapshot.is_empty(connection):
            raise BackupError("the database is empty: there is nothing to back up")
        manifest = (await _archived(order, connection, meter)).sealed_with(order.key)
    text = manifest.model_dump_json(indent=2).encode()
    await asyncio.to_thread(order.store.write, path_of(order.service.name, manifest.id) + MANIFEST, text)
    return manifest


async def _archived(order: Order, connection: Connection, meter: Meter) -> Manifest:
    began, key = datetime.now(UTC), order.key
    backup_id = new_id(began)
    path = path_of(order.service.name, backup_id) + (SEALED if key else ARCHIVE)
    program, dump_version = find_program("pg_dump", snapshot.server_major(connection))
    meter.step(f"dumping with pg_dump {dump_version}")
    stream = Stream(meter)
    async with snapshot.snapshot(connection) as name:
        dump = Dump(program, order.url, name)
        parts = stream.through(seal(dump.parts(), key) if key else dump.parts())
        tables = await _together(order.store.upload(path, parts), snapshot.states(connection, meter.counted), dump.stop)
        revision, locale = await snapshot.revision(connection), await snapshot.locale(connection)
    return Manifest(
        format=1,
        id=backup_id,
        service=order.service.name,
        revision=revision,
        version=version("tandem"),
        started_at=began,
        finished_at=datetime.now(UTC),
        server_version=snapshot.server_version(connection),
        dump_version=dump_version,
        locale=locale,
        archive=Archive(path=path, size=stream.size, sha256=stream.sha256, key_id=key.id if key else None),
        tables=tables,
    )


async def _together(
    upload: Coroutine[Any, Any, None], counting: Coroutine[Any, Any, dict[str, TableState]], stop: Callable[[], None]
) -> dict[str, TableState]:
    """Both at once. When one fails, or the caller is cancelled, the other is stopped too: the counting by a
    cancellation, the upload by the end of its source, as it tidies up after a failing source but not when cut off."""
    uploading, counted = asyncio.create_task(upload), asyncio.create_task(counting)
    try:
        await asyncio.wait({uploading, counted}, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((one for one in (counted, uploading) if one.done() and one.exception()), None)
    finally:
        if not (uploading.done() and counted.done()):
            counted.cancel()
            stop()
            await asyncio.gather(uploading, counted, return_exceptions=True)
    if failed is not None:
        failed.result()
    return counted.result()


class Dump:
    """What pg_dump writes. After `stop` it has ended, and who reads gets a BackupError."""

    def __init__(self, program: Path, url: str, snapshot_name: str) -> None:
        self._program, self._environment = program, libpq_environment(url)
        self._arguments = [*_DUMP, f"--snapshot={snapshot_name}", f"--lock-wait-timeout={LOCK_WAIT}"]
        self._process: Process | None = None
        self._stopped = False

    async def parts(self) -> AsyncIterator[bytes]:
        program, environment = self._program, self._environment
        async with running(program, *self._arguments, environment=environment, reads=False) as (process, complaint):
            assert process.stdout is not None  # noqa: S101 - it is asked for
            self._process = process
            if self._stopped:
                self.stop()
            while part := await process.stdout.read(READ):
                yield part
            await require_success(program, process, complaint)  # before the end of the stream: nothing is stored

    def stop(self) -> None:
        self._stopped = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


def refuse_pooler(url: str) -> None:
    where = parse_database_url(url)
    if where.transaction_pooler:
        raise BackupError(
            f"{where.url.host or 'the database URL'} is a connection pooler in transaction mode, which keeps no "
            "snapshot: set DIRECT_DATABASE_URL to the same database's direct address"
        )
