"""The job that forgets old keys."""

from tandem.core.jobs.payload import JobPayload


class PurgeIdempotencyKeys(JobPayload, job_type="purge_idempotency_keys"):
    pass
