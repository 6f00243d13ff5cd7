"""HTTP of leads."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from tandem.core.conditional import etag, not_modified
from tandem.core.openapi import responses
from tandem.core.paging import PageQuery
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.leads import export, queries, service
from tandem.market_ai.leads.export import TooManyColumns
from tandem.market_ai.leads.schemas import (
    ConsentIn,
    ConsentPage,
    ExportQuery,
    LeadCreate,
    LeadFilter,
    LeadOut,
    LeadPage,
    LeadPatch,
    TagFilter,
    TagPage,
)
from tandem.market_ai.leads.service import LeadErased, LeadExists, LeadInUse
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/leads", tags=["leads"])
Read = Annotated[OrgReader, reading("leads:read")]
Export = Annotated[OrgReader, reading("leads:read", role="manager")]
Write = Annotated[OrgWriter, writing("leads:write")]
Create = Annotated[OrgWriter, creating("leads:write")]
Manage = Annotated[OrgWriter, writing("leads:write", role="manager")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
_FILE: dict[int | str, Any] = {
    200: {"content": {"application/json": {}, "text/csv": {}}, "description": "The file, streamed."}
}
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if it is still at this ETag.")]


@router.get("", response_model=LeadPage)
async def list_leads(reader: Read, query: Annotated[LeadFilter, Query()]) -> Response:
    """The latest first unless `sort` says otherwise."""
    return (await queries.list_leads(reader.connection, reader.org_id, query)).response(query)


@router.post("", response_model=LeadOut, status_code=201, responses=responses(LeadExists, InsufficientRole))
async def create_lead(writer: Create, data: LeadCreate) -> Response:
    """An address is there once, whatever its spelling."""
    return await writer.answer(saved_response(await service.create_lead(writer, data)))


@router.get("/tags", response_model=TagPage)
async def list_tags(reader: Read, query: Annotated[TagFilter, Query()]) -> Response:
    """The tags that leads have, the most frequent first."""
    return (await queries.list_tags(reader.connection, reader.org_id, query)).response(query)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses=_FILE | responses(TooManyColumns, InsufficientRole),
)
async def export_leads(reader: Export, query: Annotated[ExportQuery, Query()], request: Request) -> StreamingResponse:
    """CSV that an import takes back, or JSON; without those who were erased. For managers."""
    database = request.app.state.database
    if query.format == "csv":
        attributes = await export.attribute_names(reader.connection, reader.org_id, query.filter)
        lines = export.export_csv(database, reader.org_id, query.filter, attributes)
    else:
        lines = export.export_json(database, reader.org_id, query.filter)
    name = f"leads-{datetime.now(UTC):%Y-%m-%d}.{query.format}"
    return StreamingResponse(
        lines,
        media_type="text/csv" if query.format == "csv" else "application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/{lead_id}", response_model=LeadOut)
async def get_lead(reader: Read, lead_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    row = await queries.get_lead(reader.connection, reader.org_id, lead_id)
    if not_modified(if_none_match, row["version"]):
        return Response(status_code=304, headers={"ETag": etag(row["version"])})
    return json_response(row["json"], version=row["version"])


@router.patch("/{lead_id}", response_model=LeadOut, responses=responses(LeadExists, LeadErased, InsufficientRole))
async def patch_lead(writer: Write, lead_id: UUID, data: LeadPatch, if_match: IfMatch = None) -> Response:
    """Fields that are absent stay; null clears. With another address the consent is gone."""
    return saved_response(await service.patch_lead(writer, lead_id, data, if_match))


@router.delete("/{lead_id}", status_code=204, responses=responses(LeadInUse, InsufficientRole))
async def delete_lead(writer: Manage, lead_id: UUID, if_match: IfMatch = None) -> None:
    """As if it had never been there; for a person who wants to be forgotten use `erase`. For managers."""
    await service.delete_lead(writer, lead_id, if_match)


@router.post("/{lead_id}/erase", response_model=LeadOut, responses=responses(InsufficientRole))
async def erase_lead(writer: Manage, lead_id: UUID, if_match: IfMatch = None) -> Response:
    """Personal data goes for good, the row stays for statistics, and the address stays suppressed. For managers."""
    return saved_response(await service.erase_lead(writer, lead_id, if_match))


@router.get("/{lead_id}/consents", response_model=ConsentPage)
async def list_consents(reader: Read, lead_id: UUID, query: Annotated[PageQuery, Query()]) -> Response:
    """What the person decided and how it is known, the latest first."""
    return (await queries.list_consents(reader.connection, reader.org_id, lead_id, query)).response(query)


@router.post("/{lead_id}/consents", response_model=LeadOut, responses=responses(LeadErased, InsufficientRole))
async def record_consent(writer: Create, lead_id: UUID, data: ConsentIn, if_match: IfMatch = None) -> Response:
    """The latest decision counts. The lead is answered."""
    return await writer.answer(saved_response(await service.record_consent(writer, lead_id, data, if_match)))
