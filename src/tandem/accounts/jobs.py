"""What the accounts of any service have to have done now and then."""

from datetime import timedelta

from tandem.accounts.schemas import PurgeExpiredSessions
from tandem.accounts.sessions import purge_expired
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.registry import handles


@handles(PurgeExpiredSessions, retries=3, timeout=timedelta(minutes=10), concurrency=1)
async def purge_expired_sessions(job: JobContext, _: PurgeExpiredSessions) -> dict[str, int]:
    return {"removed": await job.in_parts(purge_expired)}
