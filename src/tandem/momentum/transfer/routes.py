"""HTTP of export and import."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from tandem.accounts.access import reading, writing
from tandem.accounts.principal import Reader, Writer
from tandem.momentum.transfer import queries, service
from tandem.momentum.transfer.schemas import ExportQuery, ImportData, ImportResult

router = APIRouter(prefix="/api", tags=["data"])
IMPORT_BYTES = 20_000_000


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/json": {}, "text/csv": {}}, "description": "The file, streamed."}},
)
async def export_data(
    reader: Annotated[Reader, reading("data:read")], query: Annotated[ExportQuery, Query()], request: Request
) -> StreamingResponse:
    """Everything you have: JSON that /api/import takes back (trash included), or the tasks as CSV."""
    database = request.app.state.database
    export = queries.export_csv if query.format == "csv" else queries.export_json
    name = f"momentum-{datetime.now(UTC):%Y-%m-%d}.{query.format}"
    return StreamingResponse(
        export(database, reader.user_id),
        media_type="text/csv" if query.format == "csv" else "application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/import", response_model=ImportResult)
async def import_data(writer: Annotated[Writer, writing("data:write")], data: ImportData) -> ImportResult:
    """Take back what an export gave; up to 20 MB. Rows whose id you already have are left as they are."""
    return await service.import_data(writer, data)
