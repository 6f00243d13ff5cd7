"""`analyze_campaign`: the facts are computed, the model sums them up, its numbers are checked, and a report is kept."""

from datetime import timedelta
from typing import Any

from tandem.core.errors import NotFound
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed
from tandem.core.jobs.registry import handles
from tandem.market_ai.analysis.schemas import AnalyzeCampaign, Told
from tandem.market_ai.analysis.service import compute, keep_report
from tandem.market_ai.analysis.telling import told

COMPUTED, SUMMARIZED = 0.3, 0.9  # of the whole, as progress shows it


@handles(AnalyzeCampaign, retries=4, timeout=timedelta(minutes=15), profile="paid", event="analysis")
async def analyze_campaign(job: JobContext, order: AnalyzeCampaign) -> None:
    facts = await job.step("compute", lambda: _computed(job, order))
    await job.progress(COMPUTED, kind="computed", **facts["content"]["by_status"])
    summarized = await told(job, order, facts)
    await job.progress(SUMMARIZED, kind="summarized", model=summarized.model, rejected=len(summarized.rejected))
    await _finish(job, order, facts, summarized)


async def _computed(job: JobContext, order: AnalyzeCampaign) -> dict[str, Any]:
    """All of one moment, whatever comes in meanwhile."""
    try:
        async with (
            job.database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await compute(connection, str(job.owner), order.campaign_id)
    except NotFound:
        raise _campaign_gone() from None


async def _finish(job: JobContext, order: AnalyzeCampaign, facts: dict[str, Any], summarized: Told) -> None:
    try:
        async with job.database.connection() as connection, connection.transaction():
            report_id = await keep_report(connection, str(job.owner), order, facts, summarized, job_id=job.id)
            result = {
                **facts,
                **summarized.summary.model_dump(),
                "model": summarized.model,
                "report_id": str(report_id),
            }
            await job.finish_in(connection, result)
    except NotFound:
        raise _campaign_gone() from None


def _campaign_gone() -> JobFailed:
    return JobFailed("the campaign was deleted before it was analyzed", code="campaign_gone")
