"""What happens to a job, as single statements. Each that ends a run is fenced: it counts for the latest run only.

A run is known by (job, attempt). A worker that was taken for dead and is not finds its attempt overtaken, and what it
wanted to write is refused. Every change of state is an event too, numbered under the lock of the job's row, so that a
reader who has seen event n has seen every one before it.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from tandem.core.jobs.errors import Superseded

EVENTS_CHANNEL = "tandem_job_events"  # payload: the job's id
MAX_ERROR = 4000  # characters


class Fetch(Protocol):
    """Runs one statement; the worker's rides out a restart of the database."""

    async def __call__(self, sql: str, *args: Any) -> Any: ...


def _recorded(update: str, kind: str, data: str = "NULL") -> str:
    """The UPDATE of one row of jobs with its event, told to who listens."""
    return f"""
WITH job AS ({update} RETURNING *), event AS (
  INSERT INTO job_events (job_id, seq, kind, data) SELECT id, events, {kind}, {data} FROM job)
SELECT pg_notify('{EVENTS_CHANNEL}', id::text) FROM job"""


_MINE = "WHERE id = $1 AND attempts = $2 AND status = 'running'"

# A row that is still `running` belongs to a start that never ended: its process died.
_START = f"""
WITH was AS (
  SELECT id, lost + (status = 'running')::int AS lost, cancel_requested_at IS NOT NULL AS unwanted
    FROM jobs WHERE id = $1 AND status IN ('queued', 'running') FOR UPDATE),
next AS (
  SELECT *, CASE WHEN unwanted THEN 'cancelled' WHEN lost >= $3::int THEN 'held' ELSE 'running' END AS status FROM was),
job AS (
  UPDATE jobs SET events = events + 1, started_at = now(), worker_id = $2, lost = next.lost, status = next.status,
      attempts = attempts + (next.status = 'running')::int,
      finished_at = CASE WHEN next.status <> 'running' THEN now() END,
      error = CASE next.status WHEN 'held' THEN 'held: ' || next.lost || ' starts never ended' ELSE error END
    FROM next WHERE jobs.id = next.id RETURNING jobs.*),
event AS (
  INSERT INTO job_events (job_id, seq, kind, data)
  SELECT id, events, status, jsonb_build_object('attempt', attempts) FROM job)
SELECT status, type, payload::text AS payload, attempts, failures, lost, owner, traceparent, now() - run_at AS waited,
       pg_notify('{EVENTS_CHANNEL}', id::text) FROM job"""
_SUCCEED = _recorded(
    "UPDATE jobs SET events = events + 1, status = 'succeeded', finished_at = now(), error = NULL, progress = 1,"
    f" result = $3::jsonb {_MINE}",
    "status",
)
_FAIL = _recorded(
    "UPDATE jobs SET events = events + 1, status = 'failed', finished_at = now(), failures = failures + 1,"
    f" error = $3 {_MINE}",
    "status",
    "jsonb_build_object('error', error)",
)
_RETRY = _recorded(
    "UPDATE jobs SET events = events + 1, status = 'queued', failures = failures + 1, run_at = now() + $4::interval,"
    f" error = $3 {_MINE}",
    "'retry'",
    "jsonb_build_object('error', error, 'run_at', run_at)",
)
_GIVE_BACK = _recorded(
    f"UPDATE jobs SET events = events + 1, status = 'queued', lost = lost + $3 {_MINE}", "'given_back'"
)
_CANCELLED = _recorded(
    f"UPDATE jobs SET events = events + 1, status = 'cancelled', finished_at = now() {_MINE}", "status"
)
_PROGRESS = _recorded(
    f"UPDATE jobs SET events = events + 1, progress = coalesce($5, progress) {_MINE}", "$3::text", "$4::jsonb"
)
_STATE = "SELECT status, attempts FROM jobs WHERE id = $1"
_STEP = """
SELECT j.status = 'running' AND j.attempts = $2 AS mine, s.job_id IS NOT NULL AS done, s.result::text AS result
  FROM jobs j LEFT JOIN job_steps s ON s.job_id = j.id AND s.step = $3 WHERE j.id = $1"""
_SAVE_STEP = """
INSERT INTO job_steps (job_id, step, result) VALUES ($1, $2, $3::jsonb) ON CONFLICT (job_id, step) DO NOTHING"""


@dataclass(frozen=True)
class Started:
    """A job as its run finds it. `status` is `running`, unless it was cancelled or held instead."""

    id: UUID
    status: str
    type: str
    payload: str  # JSON
    attempt: int
    failures: int
    lost: int
    owner: str | None
    waited: timedelta  # since it was due
    traceparent: str | None = None  # of who enqueued it


async def start(fetch: Fetch, job_id: UUID, worker_id: UUID, max_lost: int) -> Started | None:
    """Begin a run; None when there is nothing to run: the job has ended."""
    rows = await fetch(_START, job_id, worker_id, max_lost)
    if not rows:
        return None
    row = rows[0]
    return Started(
        job_id, row["status"], row["type"], row["payload"], row["attempts"], row["failures"], row["lost"], row["owner"],
        row["waited"], row["traceparent"],
    )  # fmt: skip


async def succeed(fetch: Fetch, job_id: UUID, attempt: int, result: Any) -> None:
    """Raises Superseded. Asked twice, because an answer was lost on its way, it succeeded all the same."""
    if await fetch(_SUCCEED, job_id, attempt, None if result is None else json.dumps(result)):
        return
    rows = await fetch(_STATE, job_id)
    if not rows or (rows[0]["status"], rows[0]["attempts"]) != ("succeeded", attempt):
        raise Superseded


async def fail(fetch: Fetch, job_id: UUID, attempt: int, error: str) -> bool:
    """False when this run was not the job's any more, as from the next three."""
    return bool(await fetch(_FAIL, job_id, attempt, error[:MAX_ERROR]))


async def retry(fetch: Fetch, job_id: UUID, attempt: int, error: str, delay: timedelta) -> bool:
    return bool(await fetch(_RETRY, job_id, attempt, error[:MAX_ERROR], delay))


async def give_back(fetch: Fetch, job_id: UUID, attempt: int, *, lost: bool) -> bool:
    """Queued again without counting as a failure. `lost` counts towards holding it."""
    return bool(await fetch(_GIVE_BACK, job_id, attempt, int(lost)))


async def cancelled(fetch: Fetch, job_id: UUID, attempt: int) -> bool:
    return bool(await fetch(_CANCELLED, job_id, attempt))


async def progress(fetch: Fetch, job_id: UUID, attempt: int, *, kind: str, data: Any, fraction: float | None) -> None:
    """Raises Superseded."""
    if not await fetch(_PROGRESS, job_id, attempt, kind, json.dumps(data), fraction):
        raise Superseded


async def finished_step(fetch: Fetch, job_id: UUID, attempt: int, step: str) -> tuple[bool, str | None]:
    """Whether the step is done, and its result as JSON; raises Superseded, so that nobody else's run pays again."""
    rows = await fetch(_STEP, job_id, attempt, step)
    if not rows or not rows[0]["mine"]:
        raise Superseded
    return rows[0]["done"], rows[0]["result"]


async def save_step(fetch: Fetch, job_id: UUID, step: str, result: str) -> None:
    """Also for a run that was superseded meanwhile: what was paid for is worth keeping. The first result stays."""
    await fetch(_SAVE_STEP, job_id, step, result)
