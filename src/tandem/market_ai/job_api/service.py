"""What a user may do to a job: cancel it, and have it tried once more."""

from uuid import UUID

import asyncpg

from tandem.core.errors import Conflict, NotFound
from tandem.core.jobs import operate
from tandem.market_ai.audit.service import record
from tandem.market_ai.job_api.queries import FOR_UPDATE, NOT_FOUND, get_job
from tandem.market_ai.tenancy import OrgWriter


class JobEnded(Conflict):
    """`state` is what the job ended in."""

    code, title = "job_ended", "This job has ended already"


class JobNotRetryable(Conflict):
    """`state` is the job's status."""

    code, title = "job_not_retryable", "Only a job that failed, was held or was cancelled can be retried"


class JobUnderWay(Conflict):
    code, title = "job_under_way", "Another job that does the same waits or runs already"


async def cancel_job(writer: OrgWriter, job_id: UUID) -> tuple[str, bool]:
    """The job as JSON, and whether it is cancelled already: the worker of a running one has only been asked to stop."""
    before = await _lock(writer, job_id)
    status = await operate.cancel(writer.connection, job_id)
    if status is None:
        raise JobEnded(f"Its status is {before}", state=before)
    action = "job.cancelled" if status == "cancelled" else "job.cancel_requested"
    await record(writer, action, "job", job_id, before=before)
    return await get_job(writer.connection, writer.org_id, job_id), status == "cancelled"


async def retry_job(writer: OrgWriter, job_id: UUID) -> str:
    """The job as JSON, queued with all its retries; the steps it has finished are not repeated, nor paid again."""
    before = await _lock(writer, job_id)
    try:
        queued = await operate.retry(writer.connection, job_id)
    except asyncpg.UniqueViolationError:  # of its dedupe key
        raise JobUnderWay() from None
    if not queued:
        raise JobNotRetryable(f"Its status is {before}", state=before)
    await record(writer, "job.retried", "job", job_id, before=before)
    return await get_job(writer.connection, writer.org_id, job_id)


async def _lock(writer: OrgWriter, job_id: UUID) -> str:
    """The job's status, which stays until the transaction ends; raises NotFound."""
    status: str | None = await writer.connection.fetchval(FOR_UPDATE, writer.org_id, job_id)
    if status is None:
        raise NotFound(NOT_FOUND)
    return status
