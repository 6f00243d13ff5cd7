"""Reading a file into the tables, batch by batch: a batch and the place it was read to are one transaction.

Whatever happens to the worker or the database, the next run goes on from the last batch.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from tandem.core.db import Connection, Database, fetch_one
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed
from tandem.core.jobs.registry import handles
from tandem.market_ai.audit.service import record_system
from tandem.market_ai.imports.batches import Target, write_batch
from tandem.market_ai.imports.records import Record, RecordParser
from tandem.market_ai.imports.schemas import ImportRows, Options, PurgeImports
from tandem.market_ai.imports.service import CHUNK
from tandem.market_ai.webhooks.service import emit

BATCH = 500  # records; reading them takes some 15 ms, in which the worker does nothing else
STEP = 0.02  # of the file, between two events
KEPT = timedelta(days=30)

_FIND = """
SELECT kind, options::text AS options, size, read_bytes, read_lines FROM imports
 WHERE org_id = $1 AND id = $2 AND finished_at IS NULL"""
_CHUNK = "SELECT data FROM import_chunks WHERE org_id = $1 AND import_id = $2 AND number = $3"
_FINISH = """
UPDATE imports SET finished_at = now(), read_bytes = size, updated_at = now(), version = version + 1
 WHERE org_id = $1 AND id = $2 RETURNING rows, created, updated, unchanged, errors"""
_FORGET_FILE = "DELETE FROM import_chunks WHERE org_id = $1 AND import_id = $2"
# By their places: of a table without statistics yet, a join by address would compare each row with each.
_FORGET_EMAILS = """
DELETE FROM import_emails WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM import_emails WHERE org_id = $1 AND import_id = $2 LIMIT 20000)) RETURNING 1"""
_PURGE = """
DELETE FROM imports WHERE (org_id, id) IN (
  SELECT i.org_id, i.id FROM imports i LEFT JOIN jobs j ON j.id = i.id
   WHERE i.created_at < now() - $1::interval AND j.status IS DISTINCT FROM 'queued'
     AND j.status IS DISTINCT FROM 'running' LIMIT 1)
RETURNING 1"""


@handles(ImportRows, retries=5, timeout=timedelta(hours=2), concurrency=4)
async def import_rows(job: JobContext, payload: ImportRows) -> None:
    ids = (payload.org_id, payload.import_id)
    async with job.database.connection() as connection:
        found = await connection.fetchrow(_FIND, *ids)
    if found is None:
        raise JobFailed("the import is gone", code="import_gone")
    target = Target(*ids, found["kind"], Options.model_validate_json(found["options"]))
    await _read(job, target, found)

    async def forget_emails(connection: Connection) -> int:
        return len(await connection.fetch(_FORGET_EMAILS, *ids))

    await job.in_parts(forget_emails)
    async with job.finish() as connection:
        counts = dict(await fetch_one(connection, _FINISH, *ids))
        await connection.execute(_FORGET_FILE, *ids)
        what = {"object_type": "import", "object_id": payload.import_id, "kind": target.kind, **counts}
        await record_system(connection, payload.org_id, target.actor, "import.finished", **what)
        if target.kind == "leads":
            told = {"object_type": "import", "object_id": str(payload.import_id), "details": counts}
            await emit(connection, payload.org_id, "lead.imported", told)


@handles(PurgeImports, retries=3, timeout=timedelta(minutes=10), concurrency=1)
async def purge_imports(job: JobContext, _: PurgeImports) -> dict[str, int]:
    """With their reports, and the files of those that failed."""

    async def part(connection: Connection) -> int:
        return len(await connection.fetch(_PURGE, KEPT))

    return {"removed": await job.in_parts(part)}


async def _read(job: JobContext, target: Target, found: Any) -> None:
    """From where it was left to the end of the file."""
    place, told, batch = found["read_bytes"], 0.0, list[Record]()

    async def write() -> None:
        nonlocal place, told
        async with job.database.connection() as connection, connection.transaction():
            so_far = await write_batch(connection, target, batch, place)
        place = batch[-1].end
        batch.clear()
        if place / found["size"] - told >= STEP:
            told = place / found["size"]
            await job.progress(round(told, 4), rows=so_far["rows"], errors=so_far["errors"])

    parser = RecordParser(target.options.delimiter, end=place, lines=found["read_lines"])
    async for record in _records(job.database, target, parser, place, found["size"]):
        batch.append(record)
        if len(batch) == BATCH:
            await write()
    if batch:
        await write()


async def _records(
    database: Database, target: Target, parser: RecordParser, place: int, size: int
) -> AsyncIterator[Record]:
    """Of the file from byte `place` on, of which a chunk at a time is in memory."""
    number, skipped = divmod(place, CHUNK)
    while number * CHUNK < size:
        async with database.connection() as connection:
            data = await connection.fetchval(_CHUNK, target.org_id, target.import_id, number)
        if data is None:
            raise JobFailed("the file is gone", code="file_gone")
        number += 1
        for record in parser.feed(data[skipped:], last=number * CHUNK >= size):
            yield record
        skipped = 0
