"""The engine's queue as our own statements see it. Imports nothing of the engine: web processes enqueue without it.

A row there is a job that waits or runs, nothing else: `entrypoint` is the job's type, `payload` its id as 16 bytes and
`dedupe_key` its id as text, so that no job is in the queue twice. The engine's trigger tells the workers at commit. Its
log of states is left to the engine; ours are `jobs` and `job_events`.
"""

TABLES = frozenset({"pgqueuer", "pgqueuer_log", "pgqueuer_statistics", "pgqueuer_schedules"})

_INTO_QUEUE = """
INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, dedupe_key, status)
SELECT priority, type, uuid_send(id), run_at, id::text, 'queued' FROM job
ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL DO NOTHING"""


def queued(jobs: str) -> str:
    """A statement that puts the jobs of a query into the queue; `jobs` yields rows of the table jobs."""
    return f"WITH job AS ({jobs}) {_INTO_QUEUE} RETURNING dedupe_key AS id"


AGAIN = queued("SELECT * FROM jobs WHERE id = ANY($1::uuid[])")
FORGET = "DELETE FROM pgqueuer WHERE dedupe_key = $1"
FORGET_FAILED = "DELETE FROM pgqueuer WHERE status = 'failed'"  # held by the engine after an accident of its own
ANALYZE = "ANALYZE pgqueuer"
PRUNE_LOG = """
DELETE FROM pgqueuer_log WHERE id IN
  (SELECT id FROM pgqueuer_log WHERE created < now() - $1::interval ORDER BY created LIMIT $2)"""
