"""Analysing a campaign: its facts are computed here, and the model only puts them into words."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.jobs import enqueue
from tandem.market_ai.analysis import queries
from tandem.market_ai.analysis.prompts import summary_prompt
from tandem.market_ai.analysis.schemas import AnalyzeCampaign, AnalyzeRequest
from tandem.market_ai.asking import worst_case
from tandem.market_ai.audit.service import record
from tandem.market_ai.budget.service import check_room
from tandem.market_ai.campaigns.service import read_brief
from tandem.market_ai.content.service import inventory
from tandem.market_ai.fields import decimal_string
from tandem.market_ai.generation.schemas import JobStarted
from tandem.market_ai.generation.service import started
from tandem.market_ai.llm.protocol import Model
from tandem.market_ai.tenancy import OrgWriter


async def start_analysis(
    writer: OrgWriter, campaign_id: UUID, data: AnalyzeRequest, model: Model, request_cap: int
) -> JobStarted:
    """`request_cap` in micro-dollars. Raises NotFound, BudgetExceeded, ModelUnavailable."""
    facts = await compute(writer.connection, writer.org_id, campaign_id)
    worst = await worst_case(model, summary_prompt(data.language, facts))
    await check_room(writer.connection, writer.org_id, campaign_id, worst, request_cap)
    order = AnalyzeCampaign(campaign_id=campaign_id, language=data.language)
    job_id = await enqueue(writer.connection, order, owner=writer.org_id)
    await record(writer, "campaign.analysis_started", "campaign", campaign_id, job_id=job_id)
    return started(job_id, "analyze_campaign", worst)


async def compute(connection: Connection, org_id: str, campaign_id: UUID) -> dict[str, Any]:
    """The facts as JSON: campaign, content by kind and status, the newest variants, AI spending. Raises NotFound."""
    brief = await read_brief(connection, org_id, campaign_id)
    spent = await queries.spending(connection, org_id, campaign_id)
    counted = await inventory(connection, org_id, campaign_id)
    shown = {"name", "type", "status", "objective", "audience", "budget", "starts_at", "ends_at", "channels"}
    by_status: dict[str, int] = {}
    for one in counted:
        by_status[one.status] = by_status.get(one.status, 0) + one.assets
    return {
        "campaign": brief.campaign.model_dump(mode="json", include=shown),
        "brand": brief.brand.name if brief.brand else None,
        "content": {
            "total": sum(by_status.values()),
            "by_status": by_status,
            "inventory": [one.model_dump(mode="json") for one in counted],
            "variants": await queries.latest_variants(connection, org_id, campaign_id),
        },
        "ai_budget": {
            "calls": spent["calls"],
            **{name: decimal_string(spent[name]) for name in ("spent", "reserved", "unknown")},
            "cap": None if spent["cap"] is None else decimal_string(spent["cap"]),
        },
    }
