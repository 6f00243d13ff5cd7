"""HTTP of brands."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.core.openapi import responses
from tandem.core.responses import entity_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.brands import queries, service
from tandem.market_ai.brands.schemas import BrandCreate, BrandFilter, BrandOut, BrandPage, BrandPatch
from tandem.market_ai.brands.service import BrandExists, BrandInUse
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/brands", tags=["brands"])
Read = Annotated[OrgReader, reading("brands:read")]
Write = Annotated[OrgWriter, writing("brands:write", role="manager")]
Create = Annotated[OrgWriter, creating("brands:write", role="manager")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if it is still at this ETag.")]


@router.get("", response_model=BrandPage)
async def list_brands(reader: Read, query: Annotated[BrandFilter, Query()]) -> Response:
    """By name."""
    return (await queries.list_brands(reader.connection, reader.org_id, query)).response(query)


@router.post("", response_model=BrandOut, status_code=201, responses=responses(BrandExists, InsufficientRole))
async def create_brand(writer: Create, data: BrandCreate) -> Response:
    """For managers."""
    return await writer.answer(saved_response(await service.create_brand(writer, data)))


@router.get("/{brand_id}", response_model=BrandOut)
async def get_brand(reader: Read, brand_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    row = await queries.get_brand(reader.connection, reader.org_id, brand_id)
    return entity_response(row, if_none_match)


@router.patch("/{brand_id}", response_model=BrandOut, responses=responses(BrandExists, InsufficientRole))
async def patch_brand(writer: Write, brand_id: UUID, data: BrandPatch, if_match: IfMatch = None) -> Response:
    """For managers. Fields that are absent stay, those of `voice` too."""
    return saved_response(await service.patch_brand(writer, brand_id, data, if_match))


@router.delete("/{brand_id}", status_code=204, responses=responses(BrandInUse, InsufficientRole))
async def delete_brand(writer: Write, brand_id: UUID, if_match: IfMatch = None) -> None:
    """For managers, once only archived campaigns use it; these then have no brand."""
    await service.delete_brand(writer, brand_id, if_match)
