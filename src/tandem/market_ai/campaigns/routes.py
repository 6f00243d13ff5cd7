"""HTTP of campaigns."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.core.conditional import etag, not_modified
from tandem.core.errors import NotFound
from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import CREATING, creating, reading, writing
from tandem.market_ai.campaigns import queries, service
from tandem.market_ai.campaigns.schemas import CampaignCreate, CampaignFilter, CampaignOut, CampaignPage, CampaignPatch
from tandem.market_ai.campaigns.service import CampaignArchived
from tandem.market_ai.states import IllegalTransition, NotDeletable
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"])
Read = Annotated[OrgReader, reading("campaigns:read")]
Create = Annotated[OrgWriter, creating("campaigns:write", limit=CREATING)]
Write = Annotated[OrgWriter, writing("campaigns:write")]
Manage = Annotated[OrgWriter, writing("campaigns:write", role="manager")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if it is still at this ETag.")]
_MOVE: dict[str, Any] = {"response_model": CampaignOut, "responses": responses(IllegalTransition, InsufficientRole)}


@router.get("", response_model=CampaignPage)
async def list_campaigns(reader: Read, query: Annotated[CampaignFilter, Query()]) -> Response:
    """The latest first unless `sort` says otherwise."""
    return (await queries.list_campaigns(reader.connection, reader.org_id, query)).response(query)


@router.post("", response_model=CampaignOut, status_code=201, responses=responses(NotFound, InsufficientRole))
async def create_campaign(writer: Create, data: CampaignCreate) -> Response:
    """A draft. Ten a minute for each user."""
    return await writer.answer(saved_response(await service.create_campaign(writer, data)))


@router.get("/{campaign_id}", response_model=CampaignOut)
async def get_campaign(reader: Read, campaign_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    row = await queries.get_campaign(reader.connection, reader.org_id, campaign_id)
    if not_modified(if_none_match, row["version"]):
        return Response(status_code=304, headers={"ETag": etag(row["version"])})
    return json_response(row["json"], version=row["version"])


@router.patch("/{campaign_id}", response_model=CampaignOut, responses=responses(CampaignArchived, InsufficientRole))
async def patch_campaign(writer: Write, campaign_id: UUID, data: CampaignPatch, if_match: IfMatch = None) -> Response:
    """Fields that are absent stay; null clears."""
    return saved_response(await service.patch_campaign(writer, campaign_id, data, if_match))


@router.delete("/{campaign_id}", status_code=204, responses=responses(NotDeletable, InsufficientRole))
async def delete_campaign(writer: Manage, campaign_id: UUID, if_match: IfMatch = None) -> None:
    """A draft or an archived one, with all that belongs to it. For managers."""
    await service.delete_campaign(writer, campaign_id, if_match)


@router.post("/{campaign_id}/activate", **_MOVE)
async def activate_campaign(writer: Manage, campaign_id: UUID, if_match: IfMatch = None) -> Response:
    """A draft becomes active. For managers."""
    return saved_response(await service.move_campaign(writer, campaign_id, "activate", if_match))


@router.post("/{campaign_id}/pause", **_MOVE)
async def pause_campaign(writer: Manage, campaign_id: UUID, if_match: IfMatch = None) -> Response:
    """An active one pauses. For managers."""
    return saved_response(await service.move_campaign(writer, campaign_id, "pause", if_match))


@router.post("/{campaign_id}/resume", **_MOVE)
async def resume_campaign(writer: Manage, campaign_id: UUID, if_match: IfMatch = None) -> Response:
    """A paused one is active again. For managers."""
    return saved_response(await service.move_campaign(writer, campaign_id, "resume", if_match))


@router.post("/{campaign_id}/complete", **_MOVE)
async def complete_campaign(writer: Manage, campaign_id: UUID, if_match: IfMatch = None) -> Response:
    """An active or paused one is over. For managers."""
    return saved_response(await service.move_campaign(writer, campaign_id, "complete", if_match))


@router.post("/{campaign_id}/archive", **_MOVE)
async def archive_campaign(writer: Manage, campaign_id: UUID, if_match: IfMatch = None) -> Response:
    """A completed one, or a draft that is not wanted, stays as it is from now on. For managers."""
    return saved_response(await service.move_campaign(writer, campaign_id, "archive", if_match))
