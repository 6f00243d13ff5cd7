"""HTTP of the suppression list."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.suppressions import queries, service
from tandem.market_ai.suppressions.schemas import (
    SuppressionCreate,
    SuppressionFilter,
    SuppressionOut,
    SuppressionPage,
)
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/suppressions", tags=["suppressions"])
Read = Annotated[OrgReader, reading("suppressions:read")]
Create = Annotated[OrgWriter, creating("suppressions:write")]
Manage = Annotated[OrgWriter, writing("suppressions:write", role="manager")]
_THERE: dict[int | str, Any] = {200: {"model": SuppressionOut, "description": "It was suppressed before"}}


@router.get("", response_model=SuppressionPage)
async def list_suppressions(reader: Read, query: Annotated[SuppressionFilter, Query()]) -> Response:
    """The latest first."""
    return (await queries.list_suppressions(reader.connection, reader.org_id, query)).response(query)


@router.post("", response_model=SuppressionOut, status_code=201, responses=_THERE | responses(InsufficientRole))
async def create_suppression(writer: Create, data: SuppressionCreate) -> Response:
    """From now on nothing is sent to the address. The first reason stays."""
    found, made = await service.create_suppression(writer, data)
    return await writer.answer(json_response(found, status=201 if made else 200))


@router.get("/{suppression_id}", response_model=SuppressionOut)
async def get_suppression(reader: Read, suppression_id: UUID) -> Response:
    return json_response(await queries.get_suppression(reader.connection, reader.org_id, suppression_id))


@router.delete("/{suppression_id}", status_code=204, responses=responses(InsufficientRole))
async def delete_suppression(writer: Manage, suppression_id: UUID) -> None:
    """Write to the address again, where there is consent. For managers."""
    await service.delete_suppression(writer, suppression_id)
