"""HTTP of labels."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.accounts.access import reading, writing
from tandem.accounts.principal import Reader, Writer
from tandem.core.openapi import responses
from tandem.core.paging import PageQuery
from tandem.core.responses import entity_response
from tandem.core.saved import saved_response
from tandem.momentum.labels import queries, service
from tandem.momentum.labels.schemas import LabelCreate, LabelOut, LabelPage, LabelPatch
from tandem.momentum.labels.service import LabelExists, TooManyLabels

router = APIRouter(prefix="/api/labels", tags=["labels"])
Read = Annotated[Reader, reading("labels:read")]
Write = Annotated[Writer, writing("labels:write")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if it is still at this ETag.")]
_CREATED: dict[int | str, Any] = {200: {"model": LabelOut, "description": "The label that already has the `id` sent"}}


@router.get("", response_model=LabelPage)
async def list_labels(reader: Read, query: Annotated[PageQuery, Query()]) -> Response:
    """By name."""
    return (await queries.list_labels(reader.connection, reader.user_id, query)).response(query)


@router.post("", response_model=LabelOut, status_code=201, responses=_CREATED | responses(LabelExists, TooManyLabels))
async def create_label(writer: Write, data: LabelCreate) -> Response:
    return saved_response(await service.create_label(writer, data))


@router.get("/{label_id}", response_model=LabelOut)
async def get_label(reader: Read, label_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    row = await queries.get_label(reader.connection, reader.user_id, label_id)
    return entity_response(row, if_none_match)


@router.patch("/{label_id}", response_model=LabelOut, responses=responses(LabelExists))
async def patch_label(writer: Write, label_id: UUID, data: LabelPatch, if_match: IfMatch = None) -> Response:
    return saved_response(await service.patch_label(writer, label_id, data, if_match))


@router.delete("/{label_id}", status_code=204)
async def delete_label(writer: Write, label_id: UUID, if_match: IfMatch = None) -> None:
    """Takes it off every task that carries it."""
    await service.delete_label(writer, label_id, if_match)
