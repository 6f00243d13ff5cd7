"""`deliver_webhook`: one attempt at one delivery. The next one is a job of its own, made with this one's outcome.

So the schedule is ours (Retry-After, endpoints at rest, days), and a job that is queued says when: the engine's own
retries are for what goes wrong on our side.
"""

import time
from datetime import timedelta

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.registry import handles
from tandem.market_ai.settings import market_ai_settings
from tandem.market_ai.webhooks import outcomes, queries, signing
from tandem.market_ai.webhooks.outcomes import Due
from tandem.market_ai.webhooks.schemas import DeliverWebhook, PurgeWebhookMessages
from tandem.market_ai.webhooks.sending import Outcome, post

CONCURRENCY = 10  # over all workers: half of what one takes of bulk work, so that mail is never behind slow endpoints


@handles(DeliverWebhook, retries=10, timeout=timedelta(minutes=1), concurrency=CONCURRENCY)
async def deliver_webhook(job: JobContext, order: DeliverWebhook) -> None:
    async with job.database.connection() as connection:
        row = await queries.find_due(connection, order)
    if row is None:
        return
    due = Due(order, row)
    if not row["enabled"]:
        async with job.finish({"outcome": "webhook_disabled"}) as connection:
            await outcomes.give_up(connection, due)
    elif due.rest:
        async with job.finish({"outcome": "postponed"}) as connection:
            await outcomes.postpone(connection, due)
    else:
        outcome = await _attempt(job, due)
        async with job.finish({"outcome": outcome.error or "delivered"}) as connection:
            await outcomes.note(connection, due, outcome)


async def _attempt(job: JobContext, due: Due) -> Outcome:
    settings, row = market_ai_settings(job.settings), due.row
    body: bytes = row["body"].encode()
    secrets = [secret for secret in (row["secret"], row["previous_secret"]) if secret is not None]
    headers = signing.headers(row["message_id"], int(time.time()), body, secrets)
    headers["User-Agent"] = f"Tandem-Webhooks/{settings.app_version}"
    return await post(row["url"], body, headers, settings.webhook_networks)


@handles(PurgeWebhookMessages, retries=3, timeout=timedelta(minutes=10), concurrency=1)
async def purge_webhook_messages(job: JobContext, _: PurgeWebhookMessages) -> dict[str, int]:
    return {"removed": await job.in_parts(outcomes.purge)}
