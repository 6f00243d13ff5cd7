"""`analyze_campaign`: the facts are computed, the model sums them up, and both are the job's result."""

from datetime import timedelta
from typing import Any

from tandem.core.errors import NotFound
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed
from tandem.core.jobs.registry import handles
from tandem.market_ai.analysis.prompts import summary_prompt
from tandem.market_ai.analysis.schemas import AnalyzeCampaign
from tandem.market_ai.analysis.service import compute
from tandem.market_ai.asking import ask


@handles(AnalyzeCampaign, retries=4, timeout=timedelta(minutes=15), profile="paid", event="analysis")
async def analyze_campaign(job: JobContext, order: AnalyzeCampaign) -> dict[str, Any]:
    facts = await job.step("compute", lambda: _computed(job, order))
    await job.progress(0.3, kind="computed", **facts["content"]["by_status"])
    said = await ask(job, summary_prompt(order.language, facts), campaign_id=order.campaign_id, step="summarize")
    return {
        **facts,
        "summary": said.output.summary,
        "recommendations": said.output.recommendations[:5],
        "model": said.model,
    }


async def _computed(job: JobContext, order: AnalyzeCampaign) -> dict[str, Any]:
    try:
        async with job.database.connection() as connection:
            return await compute(connection, str(job.owner), order.campaign_id)
    except NotFound:
        raise JobFailed("the campaign was deleted before it was analyzed", code="campaign_gone") from None
