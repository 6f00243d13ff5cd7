"""HTTP of imports: the same addresses under leads and under suppressions."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from tandem.core.errors import InvalidPayload, UnsupportedMediaType
from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import Organization, caller, creating, reading
from tandem.market_ai.imports import queries, service
from tandem.market_ai.imports.report import report
from tandem.market_ai.imports.schemas import (
    ImportFields,
    ImportFilter,
    ImportOut,
    ImportPage,
    Incoming,
    Kind,
    LeadImportFields,
    SuppressionImportFields,
)
from tandem.market_ai.imports.uploads import MAX_BYTES, upload_body, uploading
from tandem.market_ai.job_api.following import STREAM, LastEventId, follow
from tandem.market_ai.job_api.hub import TooManyStreams
from tandem.market_ai.job_api.schemas import EventsQuery
from tandem.market_ai.job_api.service import JobEnded
from tandem.market_ai.job_api.stream import EventStream
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

KINDS: tuple[Kind, ...] = ("leads", "suppressions")
BODY_LIMITS = {f"/api/{kind}/imports": MAX_BYTES + 500_000 for kind in KINDS}
"""Bytes, for `create_app`: the file and what is around it."""

_ASKED: dict[int | str, Any] = {202: {"model": ImportOut, "description": "It runs, and its worker was asked to stop."}}
_REPORT: dict[int | str, Any] = {200: {"content": {"text/csv": {}}, "description": "The file, streamed."}}


def _router(kind: Kind, fields: type[ImportFields]) -> APIRouter:
    """What both kinds have. An import has the id of its job, and is followed as that is."""
    router = APIRouter(prefix=f"/api/{kind}/imports", tags=[kind])
    read, create = f"{kind}:read", f"{kind}:write"

    @router.get("", response_model=ImportPage)
    async def list_imports(query: Annotated[ImportFilter, Query()], reader: OrgReader = reading(read)) -> Response:
        """The latest first. They are kept for 30 days."""
        return (await queries.list_imports(reader.connection, reader.org_id, kind, query)).response(query)

    @router.post(
        "",
        response_model=ImportOut,
        status_code=202,
        responses=responses(InsufficientRole, InvalidPayload, UnsupportedMediaType),
        openapi_extra=upload_body(fields),
    )
    async def start_import(
        incoming: Incoming = uploading(kind, fields), writer: OrgWriter = creating(create)
    ) -> Response:
        """A CSV file in UTF-8 whose first line names the columns. Its rows are read in the background.

        Each address counts once. What is wrong with a row stands in the report; the others are imported all the same.
        """
        return await writer.answer(json_response(await service.start_import(writer, kind, incoming), status=202))

    @router.get("/{import_id}", response_model=ImportOut)
    async def get_import(import_id: UUID, reader: OrgReader = reading(read)) -> Response:
        """How far it is."""
        row = await queries.get_import(reader.connection, reader.org_id, kind, import_id)
        return json_response(row["json"])

    @router.get("/{import_id}/report", response_class=StreamingResponse, responses=_REPORT)
    async def get_report(request: Request, import_id: UUID, reader: OrgReader = reading(read)) -> StreamingResponse:
        """The rows that were refused, as CSV: the line, a code, a message, and the cells, to be corrected."""
        row = await queries.get_import(reader.connection, reader.org_id, kind, import_id)
        lines = report(request.app.state.database, reader.org_id, import_id, row["header"])
        headers = {"Content-Disposition": f'attachment; filename="{kind}-import-{import_id}.csv"'}
        return StreamingResponse(lines, media_type="text/csv", headers=headers)

    @router.post(
        "/{import_id}/cancel", response_model=ImportOut, responses=_ASKED | responses(JobEnded, InsufficientRole)
    )
    async def cancel_import(import_id: UUID, writer: OrgWriter = creating(create)) -> Response:
        """200 when it is cancelled, 202 when its worker was asked to stop. What is imported already stays."""
        found, cancelled = await service.cancel_import(writer, kind, import_id)
        return await writer.answer(json_response(found, status=200 if cancelled else 202))

    @router.get(
        "/{import_id}/events", status_code=200, response_class=EventStream, responses=STREAM | responses(TooManyStreams)
    )
    async def follow_import(
        request: Request,
        import_id: UUID,
        query: Annotated[EventsQuery, Query()],
        organization: Organization = None,
        last_event_id: LastEventId = None,
    ) -> Response:
        """Its events as Server-Sent Events, as those of a job."""
        async with caller(request, organization or query.organization, read, "viewer") as reader:
            place = await queries.get_import(reader.connection, reader.org_id, kind, import_id)
        after = query.after if last_event_id is None else last_event_id
        return follow(request, import_id, after, place, reader.user_id)

    return router


leads = _router("leads", LeadImportFields)
suppressions = _router("suppressions", SuppressionImportFields)
