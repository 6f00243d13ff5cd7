"""What is done to jobs from outside a worker: by a service's API for its users, by `tandem jobs` for operators.

Everything that writes runs in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tandem.core.db import Args
from tandem.core.jobs import queue_table
from tandem.core.jobs.statements import Row, Target, fetch, require_transaction
from tandem.core.jobs.store import EVENTS_CHANNEL

CANCEL_CHANNEL = "tandem_job_cancel"  # payload: the job's id
STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "held")
ENDED = ("succeeded", "failed", "cancelled", "held")
RETRYABLE = ("failed", "cancelled", "held")

_COLUMNS = """id, type, status, attempts, failures, lost, priority, progress, owner, dedupe_key, error, run_at,
  created_at, started_at, finished_at, cancel_requested_at"""
_CANCEL = f"""
WITH job AS (
  UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()), events = events + 1,
      finished_at = CASE status WHEN 'queued' THEN now() END,
      status = CASE status WHEN 'queued' THEN 'cancelled' ELSE status END
   WHERE id = $1 AND status IN ('queued', 'running') RETURNING *),
event AS (
  INSERT INTO job_events (job_id, seq, kind)
  SELECT id, events, CASE status WHEN 'cancelled' THEN status ELSE 'cancel_requested' END FROM job)
SELECT status, pg_notify('{CANCEL_CHANNEL}', id::text), pg_notify('{EVENTS_CHANNEL}', id::text) FROM job"""
_RETRY = f"""
WITH job AS (
  UPDATE jobs SET status = 'queued', failures = 0, lost = 0, run_at = now(), finished_at = NULL,
      cancel_requested_at = NULL, events = events + 1
   WHERE id = $1 AND status IN ('failed', 'cancelled', 'held') RETURNING *),
event AS (
  INSERT INTO job_events (job_id, seq, kind) SELECT id, events, 'queued' FROM job)
SELECT pg_notify('{EVENTS_CHANNEL}', id::text) FROM job"""
_PURGE = """
DELETE FROM jobs WHERE id IN (
  SELECT id FROM jobs WHERE status = ANY($1::text[]) AND finished_at < now() - $2::interval LIMIT $3)
RETURNING id"""
_DEPTH = """
SELECT type, CASE WHEN status = 'running' THEN 'running' WHEN run_at > now() THEN 'delayed' ELSE 'due' END AS state,
       count(*) AS count, extract(epoch FROM max(now() - run_at))::float8 AS oldest
  FROM jobs WHERE status IN ('queued', 'running') GROUP BY 1, 2"""
_STEPS = "SELECT step, finished_at FROM job_steps WHERE job_id = $1 ORDER BY finished_at"
_WORKERS = "SELECT count(*) AS count FROM job_workers WHERE seen_at > now() - $1::interval"
WORKER_SILENCE = timedelta(seconds=30)


@dataclass(frozen=True)
class Depth:
    """`counts` by (type, state), a state being due, delayed or running. `oldest` in seconds, of those that are due."""

    counts: dict[tuple[str, str], int]
    oldest: float
    workers: int

    def total(self, state: str) -> int:
        return sum(count for (_, one), count in self.counts.items() if one == state)


async def cancel(target: Target, job_id: UUID) -> str | None:
    """`cancelled`; `running` when a worker has been asked to stop at it; None when there was nothing to cancel."""
    require_transaction(target)
    rows = await fetch(target, _CANCEL, job_id)
    if not rows:
        return None
    if rows[0]["status"] == "cancelled":
        await fetch(target, queue_table.FORGET, str(job_id))
    return str(rows[0]["status"])


async def retry(target: Target, job_id: UUID) -> bool:
    """Queue a failed, held or cancelled job once more, with all its retries; finished steps are not repeated."""
    require_transaction(target)
    rows = await fetch(target, _RETRY, job_id)
    if not rows:
        return False
    await fetch(target, queue_table.FORGET, str(job_id))
    await fetch(target, queue_table.AGAIN, [job_id])
    return True


async def purge(target: Target, statuses: Sequence[str], older_than: timedelta, *, limit: int = 10_000) -> int:
    """Delete jobs that ended, with their steps and events; how many went, `limit` at most. Raises ValueError."""
    if wrong := set(statuses) - set(ENDED):
        raise ValueError(f"only jobs that ended are purged, not {', '.join(sorted(wrong))}")
    return len(await fetch(target, _PURGE, list(statuses), older_than, limit))


async def find(
    target: Target,
    *,
    statuses: Sequence[str] = (),
    job_type: str | None = None,
    owner: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[Row]:
    """Jobs, the newest first; `before` is the last id of the page before."""
    arg, wanted = Args(), ["true"]
    if statuses:
        wanted.append(f"status = ANY({arg(list(statuses))}::text[])")
    if job_type is not None:
        wanted.append(f"type = {arg(job_type)}")
    if owner is not None:
        wanted.append(f"owner = {arg(owner)}")
    if before is not None:
        wanted.append(f"id < {arg(before)}")
    where = " AND ".join(wanted)
    return await fetch(target, f"SELECT {_COLUMNS} FROM jobs WHERE {where} ORDER BY id DESC LIMIT {arg(limit)}", *arg)


async def show(target: Target, job_id: UUID) -> dict[str, Any] | None:
    """The job with `payload` and `result` as JSON text, its `steps` and its `events`."""
    rows = await fetch(
        target, f"SELECT {_COLUMNS}, payload::text AS payload, result::text AS result FROM jobs WHERE id = $1", job_id
    )
    if not rows:
        return None
    steps = await fetch(target, _STEPS, job_id)
    return {**rows[0], "steps": [dict(one) for one in steps], "events": await events(target, job_id)}


async def events(target: Target, job_id: UUID, *, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """Events in order, `data` as JSON text. Whoever has seen number n asks on with `after=n` and misses none."""
    sql = """SELECT seq, kind, data::text AS data, at FROM job_events
              WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"""
    return [dict(row) for row in await fetch(target, sql, job_id, after, limit)]


async def depth(target: Target) -> Depth:
    """What waits, what runs, and how many workers there are; two small queries."""
    counts, oldest = {}, 0.0
    for row in await fetch(target, _DEPTH):
        counts[row["type"], row["state"]] = row["count"]
        if row["state"] == "due":
            oldest = max(oldest, row["oldest"])
    workers = await fetch(target, _WORKERS, WORKER_SILENCE)
    return Depth(counts, oldest, workers[0]["count"])
