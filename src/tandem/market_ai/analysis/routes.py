"""HTTP of campaign analysis, and of the reports that it writes."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tandem.core.openapi import responses
from tandem.core.paging import PageQuery
from tandem.core.responses import json_response, styled_response
from tandem.market_ai.access import AI, creating, reading
from tandem.market_ai.analysis import queries, service
from tandem.market_ai.analysis.document import document_of
from tandem.market_ai.analysis.html import STYLE, html
from tandem.market_ai.analysis.markdown import markdown
from tandem.market_ai.analysis.schemas import AnalyzeRequest, ReportOut, ReportPage
from tandem.market_ai.asking import ModelUnavailable, model_of, request_cap
from tandem.market_ai.budget.service import BudgetExceeded
from tandem.market_ai.generation.schemas import JobStarted
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/campaigns", tags=["analysis"])
Analyze = Annotated[OrgWriter, creating("campaigns:write", limit=AI)]
Read = Annotated[OrgReader, reading("campaigns:read")]


def _text(media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string"}}}
    return {"response_class": Response, "responses": {200: {"description": "The report", "content": content}}}


@router.post(
    "/{campaign_id}/analyze",
    response_model=JobStarted,
    status_code=202,
    responses=responses(InsufficientRole, BudgetExceeded, ModelUnavailable),
)
async def analyze_campaign(request: Request, writer: Analyze, campaign_id: UUID, data: AnalyzeRequest) -> Response:
    """Queue a job that writes a report: what can be computed of the campaign, and a summary of it by the model.

    402 when the budget has no room for what it may cost; nothing is queued then.
    """
    settings = request.app.state.settings
    job = await service.start_analysis(writer, campaign_id, data, model_of(settings), request_cap(settings))
    return await writer.answer(json_response(job.model_dump_json(), status=202, headers={"Location": job.url}))


@router.get("/{campaign_id}/reports", response_model=ReportPage)
async def list_reports(reader: Read, campaign_id: UUID, query: Annotated[PageQuery, Query()]) -> Response:
    """Without their facts; the latest first."""
    return (await queries.list_reports(reader.connection, reader.org_id, campaign_id, query)).response(query)


@router.get("/{campaign_id}/reports/{report_id}.md", **_text("text/markdown"))
async def get_report_as_markdown(reader: Read, campaign_id: UUID, report_id: UUID) -> Response:
    report = await _report(reader, campaign_id, report_id)
    return Response(markdown(document_of(report)), media_type="text/markdown; charset=utf-8")


@router.get("/{campaign_id}/reports/{report_id}.html", **_text("text/html"))
async def get_report_as_html(reader: Read, campaign_id: UUID, report_id: UUID) -> Response:
    """A page that needs nothing else: to be read, printed or sent."""
    report = await _report(reader, campaign_id, report_id)
    lang = "en" if report.language.lower().startswith("english") else None
    page = html(f"Report: {report.facts['campaign']['name']}", document_of(report), lang=lang)
    return styled_response(page, "text/html; charset=utf-8", [STYLE])


@router.get("/{campaign_id}/reports/{report_id}", response_model=ReportOut)
async def get_report(reader: Read, campaign_id: UUID, report_id: UUID) -> Response:
    """The same as a page is at this address with `.html` after it, as Markdown with `.md`."""
    return json_response(await queries.get_report(reader.connection, reader.org_id, campaign_id, report_id))


async def _report(reader: OrgReader, campaign_id: UUID, report_id: UUID) -> ReportOut:
    found = await queries.get_report(reader.connection, reader.org_id, campaign_id, report_id)
    return ReportOut.model_validate_json(found)
