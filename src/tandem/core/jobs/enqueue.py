"""Putting jobs into the queue, in the caller's transaction: rolled back with it, seen by workers when it commits."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tandem.core import telemetry
from tandem.core.ids import uuid7
from tandem.core.jobs import queue_table
from tandem.core.jobs.payload import JobPayload
from tandem.core.jobs.statements import Target, fetch, require_transaction

BULK = 1000  # rows after which the planner needs new statistics (100,000 jobs drained at 140/s without, 2,200/s with)
MAX_DEDUPE_KEY = 500  # characters

_INSERT = queue_table.queued("""
INSERT INTO jobs (id, type, payload, priority, run_at, owner, dedupe_key, traceparent)
VALUES ($1::uuid, $2::text, $3::jsonb, $4::int, now() + $5::interval, $6::text, $7::text, $8::text)
ON CONFLICT DO NOTHING
RETURNING *""")
_STANDING = """
SELECT id FROM jobs WHERE id = $3
 UNION ALL
SELECT id FROM jobs WHERE type = $1 AND dedupe_key = $2 AND status IN ('queued', 'running') LIMIT 1"""
_INSERT_MANY = queue_table.queued("""
INSERT INTO jobs (id, type, payload, priority, run_at, owner, traceparent)
SELECT i.id, i.type, i.payload, $4::int, now() + $5::interval, $6::text, $7::text
  FROM unnest($1::uuid[], $2::text[], $3::jsonb[]) AS i(id, type, payload)
RETURNING *""")


async def enqueue(
    target: Target,
    payload: JobPayload,
    *,
    delay: timedelta | None = None,
    run_at: datetime | None = None,
    priority: int = 0,
    dedupe_key: str | None = None,
    owner: str | None = None,
    job_id: UUID | None = None,
) -> UUID:
    """The id of the job, which runs once the caller's transaction commits, and not before `delay` or `run_at`.

    Higher priorities go first. While a job of this type with the same `dedupe_key` waits or runs, no second one is
    made and the first one's id is returned. `owner` is who may see it. `job_id` is an id of the caller's own, of which
    no second job is made whatever became of the first. Raises RuntimeError outside a transaction.
    """
    require_transaction(target)
    if dedupe_key is not None and not 0 < len(dedupe_key) <= MAX_DEDUPE_KEY:
        raise ValueError(f"a dedupe key has 1 to {MAX_DEDUPE_KEY} characters")
    wait = _wait(delay, run_at)
    job_id, name, body = job_id or uuid7(), payload.job_type, payload.model_dump_json()
    row = (job_id, name, body, priority, wait, owner, dedupe_key, telemetry.traceparent())
    while not await fetch(target, _INSERT, *row):
        if standing := await fetch(target, _STANDING, name, dedupe_key, job_id):
            return UUID(str(standing[0]["id"]))  # else it ended in between, and there is room for ours
    return job_id


async def enqueue_many(
    target: Target,
    payloads: Iterable[JobPayload],
    *,
    delay: timedelta | None = None,
    run_at: datetime | None = None,
    priority: int = 0,
    owner: str | None = None,
) -> list[UUID]:
    """The ids of the jobs, in the order of `payloads`; one statement for any number of them."""
    require_transaction(target)
    jobs, wait = [(uuid7(), one) for one in payloads], _wait(delay, run_at)
    names, bodies = [one.job_type for _, one in jobs], [one.model_dump_json() for _, one in jobs]
    ids, traced = [job_id for job_id, _ in jobs], telemetry.traceparent()
    await fetch(target, _INSERT_MANY, ids, names, bodies, priority, wait, owner, traced)
    if len(jobs) >= BULK:
        await fetch(target, queue_table.ANALYZE)
    return ids


def _wait(delay: timedelta | None, run_at: datetime | None) -> timedelta:
    if delay is not None and run_at is not None:
        raise ValueError("give a delay or a run_at, not both")
    if run_at is not None:
        if run_at.tzinfo is None:
            raise ValueError("run_at needs a time zone")
        delay = run_at - datetime.now(UTC)
    return max(delay or timedelta(0), timedelta(0))
