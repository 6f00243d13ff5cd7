"""Market AI's worker, in this process or as one of its own, and jobs followed to their end through the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tandem.core.jobs.options import profiles
from tandem.core.jobs.registry import Backoff, Jobs
from tandem.core.jobs.worker import Worker, working
from tandem.core.log import configure_logging
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.worker import JOBS
from tandem.ops.worker import work
from tests.core.jobs_service import QUICK

SOON = Backoff(timedelta(milliseconds=20), 2.0, timedelta(milliseconds=100))
HASTY = Jobs(JOBS.service, handlers=[replace(one, backoff=SOON) for one in JOBS.handlers.values()])
"""Everything Market AI does, without crons, and retried at once."""


def settings(values: dict[str, Any]) -> MarketAiSettings:
    return MarketAiSettings(_env_file=None, environment="test", log_level="ERROR", pool_size=5, **values)


def main(values: dict[str, Any]) -> None:
    """The worker as a process: until SIGTERM."""
    configure_logging(settings(values))
    asyncio.run(work(settings(values), HASTY, options=replace(QUICK, profiles=profiles(2))))


@asynccontextmanager
async def a_worker(settings: MarketAiSettings, jobs: Jobs = HASTY) -> AsyncIterator[Worker]:
    async with working(settings, jobs, options=QUICK) as worker:
        yield worker


async def ended(market: Any, who: Any, job_id: str, *, within: float = 30) -> dict[str, Any]:
    """The job as the API shows it, once it has ended."""
    async with asyncio.timeout(within):
        while True:
            answer = await market.get(f"/api/jobs/{job_id}", headers=who.headers)
            assert answer.status_code == 200, answer.text
            job: dict[str, Any] = answer.json()
            if job["status"] not in {"queued", "running"}:
                return job
            await asyncio.sleep(0.05)
