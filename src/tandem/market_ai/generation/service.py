"""Starting a generation: the brief is read, its worst case is checked against the budget, and the job is queued."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.jobs import enqueue
from tandem.market_ai.asking import worst_case
from tandem.market_ai.audit.service import record
from tandem.market_ai.budget.service import check_room
from tandem.market_ai.campaigns.service import read_brief, require_open
from tandem.market_ai.fields import decimal_string
from tandem.market_ai.generation.prompts import Excerpt, Prepared, writing_prompt
from tandem.market_ai.generation.schemas import GenerateContent, GenerateRequest, JobStarted
from tandem.market_ai.knowledge.service import retrieve
from tandem.market_ai.llm.protocol import Model
from tandem.market_ai.tenancy import OrgWriter

MAX_EXCERPTS = 6


async def start_generation(
    writer: OrgWriter, campaign_id: UUID, data: GenerateRequest, model: Model, request_cap: int
) -> JobStarted:
    """`request_cap` in micro-dollars. Raises NotFound, CampaignArchived, BudgetExceeded, ModelUnavailable."""
    await require_open(writer, campaign_id)
    order = GenerateContent(campaign_id=campaign_id, **data.model_dump())
    prepared = await prepare(writer.connection, writer.org_id, order, searches_files=model.searches_files)
    worst = await worst_case(model, writing_prompt(order, prepared))
    await check_room(writer.connection, writer.org_id, campaign_id, worst, request_cap)
    job_id = await enqueue(writer.connection, order, owner=writer.org_id)
    await record(writer, "content.generation_started", "campaign", campaign_id, job_id=job_id, kind=data.kind)
    return started(job_id, "generate_content", worst)


async def prepare(connection: Connection, org_id: str, order: GenerateContent, *, searches_files: bool) -> Prepared:
    """Everything a prompt is made of; raises NotFound when the campaign is gone."""
    brief = await read_brief(connection, org_id, order.campaign_id)
    excerpts: list[Excerpt] = []
    if order.use_knowledge and not searches_files:
        wanted = f"{order.brief}\n{brief.campaign.name}\n{brief.campaign.objective}"
        brand_id = brief.brand.id if brief.brand else None
        found = await retrieve(connection, org_id, text=wanted, brand_id=brand_id, limit=MAX_EXCERPTS)
        excerpts = [
            Excerpt(id=str(one.id), document_id=one.document_id, title=one.title, text=one.text) for one in found
        ]
    return Prepared(brief=brief, excerpts=excerpts, file_search=order.use_knowledge and searches_files)


def started(job_id: UUID, job_type: Any, worst: int) -> JobStarted:
    url = f"/api/jobs/{job_id}"
    return JobStarted(
        id=job_id, type=job_type, status="queued", worst_case=decimal_string(worst), url=url, events=f"{url}/events"
    )
