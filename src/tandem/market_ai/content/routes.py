"""HTTP of content: of one campaign under `/api/campaigns/{id}/content`, of all under `/api/content`."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response

from tandem.core.conditional import etag, not_modified
from tandem.core.errors import NotFound
from tandem.core.openapi import responses
from tandem.core.paging import PageQuery
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.campaigns.service import CampaignArchived
from tandem.market_ai.content import queries, service
from tandem.market_ai.content.schemas import (
    Approval,
    CampaignContentFilter,
    ContentCreate,
    ContentFilter,
    ContentOut,
    ContentPage,
    ContentPatch,
    Copy,
    Rejection,
    ReviewPage,
    VersionOut,
    VersionPage,
)
from tandem.market_ai.content.service import VersionSuperseded
from tandem.market_ai.states import IllegalTransition, NotDeletable
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/content", tags=["content"])
of_campaign = APIRouter(prefix="/api/campaigns/{campaign_id}/content", tags=["content"])
Read = Annotated[OrgReader, reading("content:read")]
Create = Annotated[OrgWriter, creating("content:write")]
Write = Annotated[OrgWriter, writing("content:write")]
Manage = Annotated[OrgWriter, writing("content:write", role="manager")]
IfMatch = Annotated[
    str | None, Header(max_length=200, description="Only if the asset is still at this ETag; else 412.")
]
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if the asset is still at this ETag.")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_CHANGED = responses(CampaignArchived, InsufficientRole)
_MOVED: dict[str, Any] = {
    "response_model": ContentOut,
    "responses": responses(IllegalTransition, CampaignArchived, InsufficientRole),
}


@of_campaign.get("", response_model=ContentPage)
async def list_campaign_content(
    reader: Read, campaign_id: UUID, query: Annotated[CampaignContentFilter, Query()]
) -> Response:
    """Without the texts; the latest first unless `sort` says otherwise."""
    return (await queries.list_of_campaign(reader.connection, reader.org_id, campaign_id, query)).response(query)


@of_campaign.post("", response_model=ContentOut, status_code=201, responses=_CHANGED | responses(NotFound))
async def create_content(writer: Create, campaign_id: UUID, data: ContentCreate) -> Response:
    """A draft with its version 1."""
    return await writer.answer(saved_response(await service.create_content(writer, campaign_id, data)))


@router.get("", response_model=ContentPage)
async def list_content(reader: Read, query: Annotated[ContentFilter, Query()]) -> Response:
    """Of all campaigns, without the texts; the latest first unless `sort` says otherwise."""
    return (await queries.list_content(reader.connection, reader.org_id, query)).response(query)


@router.get("/{content_id}", response_model=ContentOut)
async def get_content(reader: Read, content_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    """With its latest version."""
    row = await queries.get_asset(reader.connection, reader.org_id, content_id)
    if not_modified(if_none_match, row["version"]):
        return Response(status_code=304, headers={"ETag": etag(row["version"])})
    return json_response(row["json"], version=row["version"])


@router.patch("/{content_id}", response_model=ContentOut, responses=_CHANGED)
async def rename_content(writer: Write, content_id: UUID, data: ContentPatch, if_match: IfMatch = None) -> Response:
    """The title; a new text is a new version."""
    return saved_response(await service.rename_content(writer, content_id, data, if_match))


@router.delete("/{content_id}", status_code=204, responses=responses(NotDeletable, InsufficientRole))
async def delete_content(writer: Write, content_id: UUID, if_match: IfMatch = None) -> None:
    """A draft or an archived one, with its versions and reviews."""
    await service.delete_content(writer, content_id, if_match)


@router.get("/{content_id}/versions", response_model=VersionPage)
async def list_content_versions(reader: Read, content_id: UUID, query: Annotated[PageQuery, Query()]) -> Response:
    """The latest first."""
    return (await queries.list_versions(reader.connection, reader.org_id, content_id, query)).response(query)


@router.post("/{content_id}/versions", status_code=201, **_MOVED)
async def revise_content(writer: Create, content_id: UUID, data: Copy, if_match: IfMatch = None) -> Response:
    """The next version, whole; the asset is a draft again."""
    return await writer.answer(saved_response(await service.revise_content(writer, content_id, data, if_match)))


@router.get("/{content_id}/versions/{number}", response_model=VersionOut)
async def get_content_version(reader: Read, content_id: UUID, number: Number) -> Response:
    return json_response(await queries.get_version(reader.connection, reader.org_id, content_id, number))


@router.get("/{content_id}/reviews", response_model=ReviewPage)
async def list_content_reviews(reader: Read, content_id: UUID, query: Annotated[PageQuery, Query()]) -> Response:
    """Who submitted, approved, rejected, published or archived which version; the latest first."""
    return (await queries.list_reviews(reader.connection, reader.org_id, content_id, query)).response(query)


@router.post("/{content_id}/submit", **_MOVED)
async def submit_content(writer: Write, content_id: UUID, if_match: IfMatch = None) -> Response:
    """A draft goes to review."""
    return saved_response(await service.move_content(writer, content_id, "submit", if_match))


@router.post(
    "/{content_id}/approve",
    response_model=ContentOut,
    responses=responses(IllegalTransition, VersionSuperseded, CampaignArchived, InsufficientRole),
)
async def approve_content(
    writer: Manage, content_id: UUID, data: Approval | None = None, if_match: IfMatch = None
) -> Response:
    """What is in review, at the `version` you have read. For managers."""
    seen = None if data is None else data.version
    return saved_response(await service.move_content(writer, content_id, "approve", if_match, version=seen))


@router.post("/{content_id}/reject", **_MOVED)
async def reject_content(writer: Manage, content_id: UUID, data: Rejection, if_match: IfMatch = None) -> Response:
    """What is in review becomes a draft again. For managers."""
    return saved_response(await service.move_content(writer, content_id, "reject", if_match, reason=data.reason))


@router.post("/{content_id}/publish", **_MOVED)
async def publish_content(writer: Manage, content_id: UUID, if_match: IfMatch = None) -> Response:
    """What is approved, at the version that was. For managers."""
    return saved_response(await service.move_content(writer, content_id, "publish", if_match))


@router.post(
    "/{content_id}/archive", response_model=ContentOut, responses=responses(IllegalTransition, InsufficientRole)
)
async def archive_content(writer: Write, content_id: UUID, if_match: IfMatch = None) -> Response:
    """For good: what is archived can only be read or deleted."""
    return saved_response(await service.move_content(writer, content_id, "archive", if_match))
