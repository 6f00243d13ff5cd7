"""Market AI's worker as a process that is killed at its work: it reads imports in small batches."""

import asyncio
import os
import signal
from typing import Any

from pydantic import SecretStr

from tandem.core.jobs.registry import Jobs
from tandem.core.log import configure_logging
from tandem.market_ai.imports import jobs
from tandem.market_ai.settings import MarketAiSettings
from tandem.ops.worker import work
from tests.core.jobs_service import QUICK

write_batch = jobs.write_batch


def main(url: str, batches: int | None) -> None:
    """Until SIGTERM, or until it has written so many batches, of which the last one is not committed."""
    settings = MarketAiSettings(
        _env_file=None, environment="test", database_url=SecretStr(url), log_level="WARNING", pool_size=5
    )
    configure_logging(settings)
    written = 0

    async def write_and_die(*args: Any) -> Any:
        nonlocal written
        so_far = await write_batch(*args)
        written += 1
        if written == batches:
            os.kill(os.getpid(), signal.SIGKILL)
        return so_far

    jobs.BATCH, jobs.write_batch = 50, write_and_die
    asyncio.run(work(settings, Jobs("test-worker", handlers=[jobs.import_rows]), options=QUICK))
