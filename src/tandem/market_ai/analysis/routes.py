"""HTTP of campaign analysis."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import AI, creating
from tandem.market_ai.analysis import service
from tandem.market_ai.analysis.schemas import AnalyzeRequest
from tandem.market_ai.asking import ModelUnavailable, model_of, request_cap
from tandem.market_ai.budget.service import BudgetExceeded
from tandem.market_ai.generation.schemas import JobStarted
from tandem.market_ai.tenancy import InsufficientRole, OrgWriter

router = APIRouter(prefix="/api/campaigns", tags=["analysis"])
Analyze = Annotated[OrgWriter, creating("campaigns:write", limit=AI)]


@router.post(
    "/{campaign_id}/analyze",
    response_model=JobStarted,
    status_code=202,
    responses=responses(InsufficientRole, BudgetExceeded, ModelUnavailable),
)
async def analyze_campaign(request: Request, writer: Analyze, campaign_id: UUID, data: AnalyzeRequest) -> Response:
    """Queue a job whose result has the campaign's computed facts and a summary of them by the model.

    402 when the budget has no room for what it may cost; nothing is queued then.
    """
    settings = request.app.state.settings
    job = await service.start_analysis(writer, campaign_id, data, model_of(settings), request_cap(settings))
    return await writer.answer(json_response(job.model_dump_json(), status=202, headers={"Location": job.url}))
