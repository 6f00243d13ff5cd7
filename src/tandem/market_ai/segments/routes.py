"""HTTP of segments."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.leads.schemas import LeadFilter, LeadPage
from tandem.market_ai.segments import queries, service
from tandem.market_ai.segments.schemas import (
    Preview,
    PreviewQuery,
    SegmentCreate,
    SegmentFilter,
    SegmentOut,
    SegmentPage,
    SegmentPatch,
)
from tandem.market_ai.segments.service import SegmentExists, TooManySegments
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/segments", tags=["segments"])
Read = Annotated[OrgReader, reading("leads:read")]
Write = Annotated[OrgWriter, writing("leads:write")]
Create = Annotated[OrgWriter, creating("leads:write")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]


@router.get("", response_model=SegmentPage)
async def list_segments(reader: Read, query: Annotated[SegmentFilter, Query()]) -> Response:
    """By name."""
    return (await queries.list_segments(reader.connection, reader.org_id, query)).response(query)


@router.post(
    "",
    response_model=SegmentOut,
    status_code=201,
    responses=responses(SegmentExists, TooManySegments, InsufficientRole),
)
async def create_segment(writer: Create, data: SegmentCreate) -> Response:
    """A filter with a name. Who is in it is asked anew each time."""
    return await writer.answer(saved_response(await service.create_segment(writer, data)))


@router.get("/preview", response_model=Preview)
async def preview_filter(reader: Read, query: Annotated[PreviewQuery, Query()]) -> Preview:
    """How many leads a filter selects, before it is saved."""
    return await service.preview(reader.connection, reader.org_id, query.filter)


@router.get("/{segment_id}", response_model=SegmentOut)
async def get_segment(reader: Read, segment_id: UUID) -> Response:
    row = await queries.get_segment(reader.connection, reader.org_id, segment_id)
    return json_response(row["json"], version=row["version"])


@router.get("/{segment_id}/preview", response_model=Preview)
async def preview_segment(reader: Read, segment_id: UUID) -> Preview:
    """How many leads are in it at this moment."""
    text = await service.filter_of(reader.connection, reader.org_id, segment_id)
    return await service.preview(reader.connection, reader.org_id, text)


@router.get("/{segment_id}/leads", response_model=LeadPage)
async def list_leads_of_segment(reader: Read, segment_id: UUID, query: Annotated[LeadFilter, Query()]) -> Response:
    """Who is in it at this moment, as `GET /api/leads` lists them."""
    return (await service.leads_of(reader.connection, reader.org_id, segment_id, query)).response(query)


@router.patch("/{segment_id}", response_model=SegmentOut, responses=responses(SegmentExists, InsufficientRole))
async def patch_segment(writer: Write, segment_id: UUID, data: SegmentPatch, if_match: IfMatch = None) -> Response:
    """Fields that are absent stay."""
    return saved_response(await service.patch_segment(writer, segment_id, data, if_match))


@router.delete("/{segment_id}", status_code=204, responses=responses(InsufficientRole))
async def delete_segment(writer: Write, segment_id: UUID, if_match: IfMatch = None) -> None:
    """Its leads stay."""
    await service.delete_segment(writer, segment_id, if_match)
