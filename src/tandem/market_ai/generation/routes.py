"""HTTP of content generation."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import AI, creating
from tandem.market_ai.asking import ModelUnavailable, model_of, request_cap
from tandem.market_ai.budget.service import BudgetExceeded
from tandem.market_ai.campaigns.service import CampaignArchived
from tandem.market_ai.generation import service
from tandem.market_ai.generation.schemas import GenerateRequest, JobStarted
from tandem.market_ai.tenancy import InsufficientRole, OrgWriter

router = APIRouter(prefix="/api/campaigns", tags=["generation"])
Generate = Annotated[OrgWriter, creating("content:write", limit=AI)]


@router.post(
    "/{campaign_id}/generate",
    response_model=JobStarted,
    status_code=202,
    responses=responses(InsufficientRole, BudgetExceeded, ModelUnavailable, CampaignArchived),
)
async def generate_content(request: Request, writer: Generate, campaign_id: UUID, data: GenerateRequest) -> Response:
    """Queue a job that writes variants of this kind. Watch it at `events`; its assets are drafts of the campaign.

    402 when the budget has no room for what it may cost; nothing is queued then.
    """
    settings = request.app.state.settings
    job = await service.start_generation(writer, campaign_id, data, model_of(settings), request_cap(settings))
    return await writer.answer(json_response(job.model_dump_json(), status=202, headers={"Location": job.url}))
