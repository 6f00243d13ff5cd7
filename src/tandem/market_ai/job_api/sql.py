"""What the API shows of a job `j` and of its events `e`, and whose jobs those are.

An error is kept as one text: `budget_exceeded: The day has …` where a handler named its cause, an exception's class and
text where nobody foresaw it. The latter is for operators, and no business of whoever asked for the job.
"""

from tandem.market_ai.budget.sql import COST
from tandem.market_ai.job_api.schemas import TYPES

_OURS = "j.type IN (" + ", ".join(f"'{name}'" for name in TYPES) + ")"
_UNFORESEEN = "Something went wrong on our side; it was logged under the id of the job"


def owned(*conditions: str) -> str:
    """$1 is the organization."""
    return "WHERE " + " AND ".join(("j.owner = $1", _OURS, *conditions))


def error_of(text: str) -> str:
    """JSON of `code` and `detail`, or NULL."""
    return f"""CASE WHEN {text} IS NULL THEN NULL
    WHEN {text} ~ '^[a-z][a-z0-9_]*: ' THEN
      json_build_object('code', split_part({text}, ': ', 1), 'detail', substr({text}, strpos({text}, ': ') + 2))
    WHEN {text} LIKE 'took longer than %' THEN json_build_object('code', 'timeout', 'detail', {text})
    WHEN {text} ~ '^[A-Z][A-Za-z0-9]*(: |$)' THEN
      json_build_object('code', 'internal_error', 'detail', '{_UNFORESEEN}')
    ELSE json_build_object('code', 'job_failed', 'detail', {text}) END"""


COLUMNS = f"""j.id, j.type, j.status, j.payload->>'campaign_id' AS campaign_id, j.progress, j.result,
  {error_of("j.error")} AS error, j.attempts, {COST} AS cost, j.events AS last_event_id, j.cancel_requested_at,
  j.created_at, j.started_at, j.finished_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

_DATA = f"""CASE WHEN e.kind IN ('failed', 'retry') AND jsonb_typeof(e.data->'error') = 'string'
  THEN e.data || jsonb_build_object('error', {error_of("(e.data->>'error')")}) ELSE e.data END"""
EVENT = f"row_to_json((SELECT r FROM (SELECT e.seq AS id, e.kind, e.at, {_DATA} AS data) r))::text"
