"""HTTP of templates."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.templates import queries, service
from tandem.market_ai.templates.schemas import (
    TemplateCreate,
    TemplateFilter,
    TemplateOut,
    TemplatePage,
    TemplatePatch,
)
from tandem.market_ai.templates.service import TemplateExists
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/templates", tags=["templates"])
Read = Annotated[OrgReader, reading("sending:read")]
Write = Annotated[OrgWriter, writing("sending:write", role="manager")]
Create = Annotated[OrgWriter, creating("sending:write", role="manager")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]


@router.get("", response_model=TemplatePage)
async def list_templates(reader: Read, query: Annotated[TemplateFilter, Query()]) -> Response:
    """By name, without the HTML."""
    return (await queries.list_templates(reader.connection, reader.org_id, query)).response(query)


@router.post("", response_model=TemplateOut, status_code=201, responses=responses(TemplateExists, InsufficientRole))
async def create_template(writer: Create, data: TemplateCreate) -> Response:
    """For managers. A layout that mails are set in."""
    return await writer.answer(saved_response(await service.create_template(writer, data)))


@router.get("/{template_id}", response_model=TemplateOut)
async def get_template(reader: Read, template_id: UUID) -> Response:
    row = await queries.get_template(reader.connection, reader.org_id, template_id)
    return json_response(row["json"], version=row["version"])


@router.patch("/{template_id}", response_model=TemplateOut, responses=responses(TemplateExists, InsufficientRole))
async def patch_template(writer: Write, template_id: UUID, data: TemplatePatch, if_match: IfMatch = None) -> Response:
    """For managers. Fields that are absent stay."""
    return saved_response(await service.patch_template(writer, template_id, data, if_match))


@router.delete("/{template_id}", status_code=204, responses=responses(InsufficientRole))
async def delete_template(writer: Write, template_id: UUID, if_match: IfMatch = None) -> None:
    """For managers. Mails that were ordered with it stay as they were."""
    await service.delete_template(writer, template_id, if_match)
