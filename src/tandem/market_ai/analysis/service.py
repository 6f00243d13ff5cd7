"""Analysing a campaign: its facts are computed here, and the model only puts them into words."""

import json
from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.ids import uuid7
from tandem.core.jobs import enqueue
from tandem.market_ai.analysis import queries
from tandem.market_ai.analysis.findings import findings
from tandem.market_ai.analysis.measuring import measured
from tandem.market_ai.analysis.prompts import summary_prompt
from tandem.market_ai.analysis.schemas import AnalyzeCampaign, AnalyzeRequest, Told
from tandem.market_ai.asking import worst_case
from tandem.market_ai.audit.service import record, record_system
from tandem.market_ai.budget.service import check_room
from tandem.market_ai.campaigns.service import hold_campaign, read_brief
from tandem.market_ai.content.service import inventory
from tandem.market_ai.fields import decimal_string
from tandem.market_ai.generation.schemas import JobStarted
from tandem.market_ai.generation.service import started
from tandem.market_ai.llm.protocol import Model
from tandem.market_ai.tenancy import OrgWriter

_KEEP = """
INSERT INTO campaign_reports
       (org_id, id, campaign_id, job_id, model, language, summary, recommendations, rejected, facts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::json, $9::json, $10::json)"""


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
    """The facts as JSON: campaign, content by kind and status, the newest variants, AI spending, and what its metrics
    come to: `metrics` is None without any, else there are `findings` of them too. Raises NotFound."""
    brief = await read_brief(connection, org_id, campaign_id)
    spent = await queries.spending(connection, org_id, campaign_id)
    counted = await inventory(connection, org_id, campaign_id)
    metrics = await measured(connection, org_id, campaign_id)
    shown = {"name", "type", "status", "objective", "audience", "budget", "starts_at", "ends_at", "channels"}
    by_status: dict[str, int] = {}
    for one in counted:
        by_status[one.status] = by_status.get(one.status, 0) + one.assets
    facts: dict[str, Any] = {
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
        "metrics": metrics,
    }
    return facts if metrics is None else facts | {"findings": findings(metrics)}


async def keep_report(
    connection: Connection,
    org_id: str,
    order: AnalyzeCampaign,
    facts: dict[str, Any],
    told: Told,
    *,
    job_id: UUID,
) -> UUID:
    """Its id. Call it in the transaction in which the job finishes; raises NotFound when the campaign is gone."""
    await hold_campaign(connection, org_id, order.campaign_id)
    report_id = uuid7()
    rejected = [one.model_dump() for one in told.rejected]
    documents = (told.summary.recommendations, rejected, facts)
    await connection.execute(
        _KEEP,
        *(org_id, report_id, order.campaign_id, job_id, told.model, order.language, told.summary.summary),
        *(json.dumps(one, ensure_ascii=False) for one in documents),
    )
    await record_system(
        connection,
        org_id,
        f"job:{job_id}",
        "campaign.analyzed",
        object_type="campaign",
        object_id=order.campaign_id,
        report_id=report_id,
        model=told.model,
    )
    return report_id
