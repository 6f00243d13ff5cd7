"""What is done to tasks by a worker."""

from datetime import timedelta

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.registry import handles
from tandem.momentum.tasks.schemas import PurgeTrash
from tandem.momentum.tasks.service import purge_trash


@handles(PurgeTrash, retries=3, timeout=timedelta(minutes=30), concurrency=1)
async def purge_old_trash(job: JobContext, _: PurgeTrash) -> dict[str, int]:
    return {"removed": await job.in_parts(purge_trash)}
