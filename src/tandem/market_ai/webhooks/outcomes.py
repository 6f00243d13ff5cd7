"""What follows from an attempt: the log, the next attempt, and how the endpoint fares. In the caller's transaction."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

import structlog

from tandem.core.db import Connection, fetch_one
from tandem.core.jobs import enqueue
from tandem.core.jobs.registry import Backoff
from tandem.market_ai.audit.service import record_system
from tandem.market_ai.webhooks.events import TEST
from tandem.market_ai.webhooks.schemas import DeliverWebhook
from tandem.market_ai.webhooks.sending import Outcome

ATTEMPTS: Final = 12
BACKOFF: Final = Backoff(timedelta(seconds=10), 3.0, timedelta(hours=6))
"""10 s, 30 s, 90 s … 6 h: with jitter the twelfth attempt is made 14 to 27 hours after the first."""
HOPELESS: Final = timedelta(days=2)  # without a success, after which an endpoint is disabled
RESTS_AFTER: Final = 3  # failures in a row, so that one dead endpoint does not keep the workers from all others
LONGEST_REST: Final = timedelta(minutes=5)
LONGEST_WAIT: Final = timedelta(hours=1)  # of a delivery, for an endpoint that rests again and again
KEEP: Final = timedelta(days=30)
_GONE: Final = 410
_BUSY: Final = frozenset({429, 502, 503, 504})

log = structlog.get_logger(__name__)

_POSTPONE = """
UPDATE webhook_deliveries SET next_attempt_at = now() + $4::interval
 WHERE org_id = $1 AND id = $2 AND attempts = $3 - 1 AND status = 'pending' RETURNING true"""
_GIVE_UP = """
UPDATE webhook_deliveries SET status = 'failed', error = 'webhook_disabled', next_attempt_at = NULL, finished_at = now()
 WHERE org_id = $1 AND id = $2 AND attempts = $3 - 1 AND status = 'pending'"""
# The endpoint is held before the delivery is touched, in the order of who deletes it: else the two could wait for each
# other, and the attempt be made once more.
_NOTE = """
WITH endpoint AS MATERIALIZED (SELECT id FROM webhook_endpoints WHERE org_id = $1 AND id = $11 FOR KEY SHARE),
delivery AS (
  UPDATE webhook_deliveries SET attempts = $3, failures = failures + ($4 <> 'succeeded')::int, status = $4, error = $8,
         next_attempt_at = CASE WHEN $4 = 'pending' THEN now() + $5::interval END,
         finished_at = CASE WHEN $4 <> 'pending' THEN now() END
   WHERE org_id = $1 AND id = $2 AND attempts = $3 - 1 AND status = 'pending'
     AND EXISTS (SELECT FROM endpoint) RETURNING org_id, id)
INSERT INTO webhook_attempts (org_id, delivery_id, number, at, duration_ms, status, error, excerpt)
SELECT org_id, id, $3, $6, $7, $9, $8, $10 FROM delivery RETURNING true"""
_WELL = """
UPDATE webhook_endpoints SET consecutive_failures = 0, failing_since = NULL, resting_until = NULL
 WHERE org_id = $1 AND id = $2 AND consecutive_failures > 0"""
_UNWELL = """
UPDATE webhook_endpoints
   SET consecutive_failures = consecutive_failures + 1, failing_since = coalesce(failing_since, now()),
       resting_until = greatest(resting_until, now() + $3::interval, CASE WHEN consecutive_failures + 1 >= $4 THEN
         now() + least(interval '5 s' * 2 ^ least(consecutive_failures + 1 - $4, 20), $5::interval) END)
 WHERE org_id = $1 AND id = $2 RETURNING failing_since < now() - $6::interval AS hopeless"""
_DISABLE = """
UPDATE webhook_endpoints SET enabled = false, disabled_reason = $3, disabled_at = now(), version = version + 1,
       updated_at = now()
 WHERE org_id = $1 AND id = $2 AND enabled RETURNING true"""
_PURGE = """
DELETE FROM webhook_messages WHERE (org_id, id) IN (
  SELECT org_id, id FROM webhook_messages m WHERE created_at < now() - $1::interval AND NOT EXISTS (
    SELECT FROM webhook_deliveries d WHERE d.org_id = m.org_id AND d.message_id = m.id AND d.status = 'pending')
   LIMIT 1000)
RETURNING 1"""
_FORGET_SECRETS = """
UPDATE webhook_endpoints SET previous_secret = NULL, previous_secret_until = NULL WHERE previous_secret_until < now()"""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is due, as `queries.find_due` found it, and the order to attempt it."""

    order: DeliverWebhook
    row: Any

    @property
    def rest(self) -> timedelta:
        """How long its endpoint is left in peace; a person who asks for a delivery is not made to wait."""
        return timedelta(0) if self.order.by_hand else max(self.row["rest"] or timedelta(0), timedelta(0))


async def postpone(connection: Connection, due: Due) -> None:
    """The same attempt later: the longer it has waited, the later, or a dead endpoint's queue would go round and round.

    Jitter, so that not all of it comes at once.
    """
    order, longer = due.order, random.uniform(1.0, 1.5)  # noqa: S311 - spreads load, guards nothing
    wait = max(due.rest, min(due.row["age"] / 2, LONGEST_WAIT)) * longer
    if await connection.fetchval(_POSTPONE, order.org_id, order.delivery_id, order.attempt, wait):
        await enqueue(connection, order, delay=wait)


async def give_up(connection: Connection, due: Due) -> None:
    """Its endpoint is disabled."""
    order = due.order
    await connection.execute(_GIVE_UP, order.org_id, order.delivery_id, order.attempt)


async def note(connection: Connection, due: Due, outcome: Outcome) -> None:
    """Write the attempt down, and see to the next. Does nothing when somebody else made the same attempt meanwhile."""
    order, row = due.order, due.row
    status, wait = _consequence(due, outcome)
    noted = await connection.fetchval(
        _NOTE,
        *(order.org_id, order.delivery_id, order.attempt, status, wait),
        *(outcome.at, outcome.duration_ms, outcome.error, outcome.status, outcome.excerpt),
        row["endpoint_id"],
    )
    if not noted:
        return
    if status == "pending":
        following = DeliverWebhook(org_id=order.org_id, delivery_id=order.delivery_id, attempt=order.attempt + 1)
        await enqueue(connection, following, delay=wait)
    if outcome.error is None:
        await connection.execute(_WELL, order.org_id, row["endpoint_id"])
    else:
        await _unwell(connection, order.org_id, row["endpoint_id"], outcome)


def _consequence(due: Due, outcome: Outcome) -> tuple[Literal["succeeded", "failed", "pending"], timedelta]:
    """The delivery's status, and how long until its next attempt."""
    if outcome.error is None:
        return "succeeded", timedelta(0)
    failures = due.row["failures"] + 1
    if failures >= ATTEMPTS or outcome.status == _GONE or due.row["type"] == TEST:
        return "failed", timedelta(0)
    return "pending", max(BACKOFF.delay(failures), outcome.retry_after or timedelta(0))


async def _unwell(connection: Connection, org_id: str, endpoint_id: UUID, outcome: Outcome) -> None:
    """Leave the endpoint in peace for a while, or for good."""
    asked = outcome.retry_after if outcome.status in _BUSY else None
    limits = (asked, RESTS_AFTER, LONGEST_REST, HOPELESS)
    row = await fetch_one(connection, _UNWELL, org_id, endpoint_id, *limits)
    reason = "gone" if outcome.status == _GONE else "failing" if row["hopeless"] else None
    if reason is None or not await connection.fetchval(_DISABLE, org_id, endpoint_id, reason):
        return
    what = ("service:webhooks", "webhook.disabled")
    await record_system(connection, org_id, *what, object_type="webhook", object_id=endpoint_id, reason=reason)
    log.warning("webhook_disabled", org_id=org_id, webhook_id=str(endpoint_id), reason=reason)


async def purge(connection: Connection) -> int:
    """Forget a thousand messages older than KEEP, with their deliveries; how many there were."""
    await connection.execute(_FORGET_SECRETS)
    return len(await connection.fetch(_PURGE, KEEP))
