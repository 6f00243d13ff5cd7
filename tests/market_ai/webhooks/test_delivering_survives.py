"""At least once, although workers are killed in the middle of their attempts: nothing is lost, and ids tell doubles."""

import asyncio
import random
from datetime import timedelta

from tandem.core.jobs.registry import Backoff
from tandem.core.jobs.worker import run_worker
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.webhooks import outcomes
from tandem.market_ai.webhooks.service import emit_many
from tandem.market_ai.worker import JOBS
from tests.conformance.worker_processes import Workers
from tests.core.jobs_service import QUICK
from tests.market_ai.making import connected
from tests.market_ai.webhooks.receiving import answer

EVENTS = 150
KILLS = 6
BOUND = 60.0  # seconds until all is delivered


def work(settings: MarketAiSettings) -> None:
    """A worker process that is in no mood to wait."""
    outcomes.BACKOFF = Backoff(timedelta(milliseconds=50), 1.0, timedelta(milliseconds=50))
    outcomes.LONGEST_REST = timedelta(0)
    asyncio.run(run_worker(settings, JOBS, stop=asyncio.Event(), options=QUICK))


async def test_no_event_is_lost_when_workers_are_killed(member, webhook, receiver, market_settings, market_url):
    ada = await member()
    made = await webhook(ada, events=["lead.*"])
    rng = random.Random(4)  # noqa: S311 - who fails, and who is killed

    async def slowly(writer):
        await asyncio.sleep(0.1)
        writer.write(answer(rng.choice([200, 204, 500])))

    receiver.answers = [slowly] * 10_000
    async with connected(market_url) as connection:
        await emit_many(connection, ada.org_id, [("lead.created", {"number": number}) for number in range(EVENTS)])
        workers = Workers(2, work, market_settings)
        try:
            await receiver.until(5)
            for _ in range(KILLS):
                await asyncio.sleep(0.3)
                await asyncio.to_thread(workers.kill_one, rng)
            async with asyncio.timeout(BOUND):
                while await connection.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'"):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            await asyncio.to_thread(workers.stop)
        states = await connection.fetch("SELECT status, count(*) FROM webhook_deliveries GROUP BY 1")
        logged = await connection.fetchval("SELECT count(*) FROM webhook_attempts")
    assert [tuple(row) for row in states] == [("succeeded", EVENTS)]
    numbers: dict[str, set[int]] = {}
    for one in receiver.received:
        numbers.setdefault(one.headers["webhook-id"], set()).add(one.event(made["secret"])["data"]["number"])
    assert sorted(number for said in numbers.values() for number in said) == list(range(EVENTS))
    assert len(numbers) == EVENTS
    assert len(receiver.received) >= logged
