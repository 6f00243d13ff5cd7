"""Starting and stopping imports."""

import asyncio
from uuid import UUID

from tandem.core.errors import NotFound
from tandem.core.ids import uuid7
from tandem.core.jobs import enqueue, operate
from tandem.market_ai.audit.service import record
from tandem.market_ai.imports.queries import FOR_UPDATE, NOT_FOUND, get_import
from tandem.market_ai.imports.schemas import ImportRows, Incoming, Kind
from tandem.market_ai.job_api.service import JobEnded
from tandem.market_ai.tenancy import OrgWriter

CHUNK = 262_144  # bytes of the file in one row

_INSERT = """
INSERT INTO imports (org_id, id, kind, filename, size, sha256, options, header, created_by, read_bytes, read_lines)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11)"""
_INSERT_CHUNK = "INSERT INTO import_chunks (org_id, import_id, number, data) VALUES ($1, $2, $3, $4)"


async def start_import(writer: OrgWriter, kind: Kind, incoming: Incoming) -> str:
    """The import as JSON; its job, which has the same id, reads the file that is kept here."""
    import_id = uuid7()
    options = incoming.options.model_dump_json()
    file = (incoming.filename, incoming.size, incoming.sha256, options, incoming.header)
    place = (incoming.end, incoming.lines)
    await writer.connection.execute(_INSERT, writer.org_id, import_id, kind, *file, writer.user_id, *place)
    await _keep(writer, import_id, incoming)
    job = ImportRows(org_id=writer.org_id, import_id=import_id)
    await enqueue(writer.connection, job, job_id=import_id, owner=writer.org_id)
    await record(writer, "import.started", "import", import_id, kind=kind, size=incoming.size)
    json: str = (await get_import(writer.connection, writer.org_id, kind, import_id))["json"]
    return json


async def cancel_import(writer: OrgWriter, kind: Kind, import_id: UUID) -> tuple[str, bool]:
    """The import as JSON, and whether it is cancelled already; what was imported stays. Raises JobEnded."""
    before = await writer.connection.fetchval(FOR_UPDATE, writer.org_id, kind, import_id)
    if before is None:
        raise NotFound(NOT_FOUND)
    status = await operate.cancel(writer.connection, import_id)
    if status is None:
        raise JobEnded(f"Its status is {before}", state=before)
    await record(writer, "import.cancelled", "import", import_id, before=before)
    json: str = (await get_import(writer.connection, writer.org_id, kind, import_id))["json"]
    return json, status == "cancelled"


async def _keep(writer: OrgWriter, import_id: UUID, incoming: Incoming) -> None:
    """Piece by piece: the file need not fit into memory."""
    incoming.file.seek(0)
    number = 0
    while data := await asyncio.to_thread(incoming.file.read, CHUNK):
        await writer.connection.execute(_INSERT_CHUNK, writer.org_id, import_id, number, data)
        number += 1
