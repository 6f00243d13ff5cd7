"""Forgetting keys after a day, as docs/market-ai-api.md says."""

from datetime import timedelta

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.registry import handles
from tandem.market_ai.idempotency.queries import purge
from tandem.market_ai.idempotency.schemas import PurgeIdempotencyKeys


@handles(PurgeIdempotencyKeys, retries=3, timeout=timedelta(minutes=10), concurrency=1)
async def purge_idempotency_keys(job: JobContext, _: PurgeIdempotencyKeys) -> dict[str, int]:
    return {"removed": await job.in_parts(purge)}
