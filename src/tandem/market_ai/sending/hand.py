"""The statements of the run that hands mails over. Every one is fenced: it touches only what this run has in hand.

A delivery is claimed in a batch, and marked `handed_off` by itself, at the last moment before the server is given the
message: in that statement, and in none before it, is decided whether it may be sent. A run that is interrupted leaves
`claimed` rows, which were not sent, and `handed_off` ones, of which nobody knows.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.market_ai.leads.sql import MAILABLE

HORIZON = timedelta(seconds=2)  # how far ahead of its time a mail may be claimed
_ALLOWED = """EXISTS (SELECT FROM sends s JOIN campaigns c ON c.org_id = s.org_id AND c.id = s.campaign_id
    WHERE s.org_id = $1 AND s.id = $2 AND s.status = 'sending' AND c.status = 'active')"""
_CLAIM = f"""
WITH due AS (
  SELECT d.id, d.domain FROM deliveries d
   WHERE d.org_id = $1 AND d.send_id = $2 AND d.state = 'planned' AND d.next_try_at <= now() AND {_ALLOWED}
     AND NOT EXISTS (SELECT FROM mail_pace p WHERE p.key = d.domain AND p.key <> '' AND p.next_at > now() + $6)
   ORDER BY d.next_try_at, d.id LIMIT $5 FOR UPDATE OF d SKIP LOCKED),
fair AS (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY domain ORDER BY id) AS n FROM due) q WHERE n <= $7),
mine AS (
  UPDATE deliveries d SET state = 'claimed', claimed_by = $3, claimed_attempt = $4 FROM fair
   WHERE d.org_id = $1 AND d.id = fair.id RETURNING d.id, d.lead_id, d.domain, d.tries)
SELECT m.id, m.lead_id, m.domain, m.tries, l.email, l.name, l.attributes::text, l.tags, l.locale, l.timezone
  FROM mine m LEFT JOIN leads l ON l.org_id = $1 AND l.id = m.lead_id"""
_MINE = "d.claimed_by = $3 AND d.claimed_attempt = $4"
# The lead is locked as well: an unsubscription that is being written is waited for, and then seen.
_MARK = f"""
WITH lead AS MATERIALIZED (
  SELECT l.id FROM leads l WHERE l.org_id = $1 AND l.id = $6 AND l.email = $7 AND {MAILABLE} FOR SHARE OF l)
UPDATE deliveries d SET state = 'handed_off', handed_off_at = clock_timestamp()
  FROM lead WHERE d.org_id = $1 AND d.send_id = $2 AND d.id = $5 AND d.state = 'claimed' AND {_MINE} AND {_ALLOWED}
RETURNING true"""
_REFUSE = f"""
UPDATE deliveries d SET state = CASE WHEN w.why IS NULL THEN 'planned' ELSE 'skipped' END, reason = w.why,
       settled_at = CASE WHEN w.why IS NOT NULL THEN now() END, claimed_by = NULL, claimed_attempt = NULL
  FROM (SELECT CASE WHEN l.id IS NULL OR l.erased_at IS NOT NULL THEN 'lead_gone'
                    WHEN EXISTS (SELECT FROM suppressions s WHERE s.org_id = l.org_id AND s.email_key = l.email_key)
                      THEN 'suppressed'
                    WHEN l.consent <> 'granted' THEN 'no_consent' END AS why
          FROM (SELECT 1) one LEFT JOIN leads l ON l.org_id = $1 AND l.id = $6) w
 WHERE d.org_id = $1 AND d.send_id = $2 AND d.id = $5 AND d.state = 'claimed' AND {_MINE}"""
_SETTLE = f"""
UPDATE deliveries d SET state = $6, reason = $7, answer = $8, tries = d.tries + 1, next_try_at = now() + $9::interval,
       settled_at = CASE WHEN $6 <> 'planned' THEN now() END
 WHERE d.org_id = $1 AND d.send_id = $2 AND d.id = $5 AND {_MINE}
   AND (d.state IN ('claimed', 'handed_off') OR d.state = 'unknown' AND $6 IN ('accepted', 'failed'))
RETURNING true"""
# What was marked and then never given to the server, for its connection was lost.
_TAKE_BACK = f"""
UPDATE deliveries d SET state = 'planned', claimed_by = NULL, claimed_attempt = NULL, handed_off_at = NULL,
       next_try_at = now() + $6::interval
 WHERE d.org_id = $1 AND d.send_id = $2 AND d.id = $5 AND d.state IN ('claimed', 'handed_off') AND {_MINE}"""
_RELEASE = f"""
UPDATE deliveries d SET state = 'planned', claimed_by = NULL, claimed_attempt = NULL
 WHERE d.org_id = $1 AND d.send_id = $2 AND d.state = 'claimed' AND {_MINE}"""
_ORPHANS = """
UPDATE deliveries d SET state = CASE d.state WHEN 'claimed' THEN 'planned' ELSE 'unknown' END,
       reason = CASE d.state WHEN 'handed_off' THEN 'worker_lost' END,
       settled_at = CASE d.state WHEN 'handed_off' THEN now() END,
       claimed_by = CASE d.state WHEN 'handed_off' THEN d.claimed_by END,
       claimed_attempt = CASE d.state WHEN 'handed_off' THEN d.claimed_attempt END"""
_RECOVER = f"""{_ORPHANS}
 WHERE d.org_id = $1 AND d.send_id = $2 AND d.state IN ('claimed', 'handed_off') AND d.claimed_by = $3
   AND d.claimed_attempt < $4"""
SWEEP = f"""{_ORPHANS}
 WHERE d.state IN ('claimed', 'handed_off') AND NOT EXISTS (
   SELECT FROM jobs j WHERE j.id = d.claimed_by AND j.status = 'running' AND j.attempts = d.claimed_attempt)"""
_STANDING = """
SELECT s.status, c.status AS campaign, s.planned,
       count(d.id) FILTER (WHERE d.state = 'planned') AS waiting,
       count(d.id) FILTER (WHERE d.state IN ('claimed', 'handed_off')) AS in_hand,
       count(d.id) FILTER (WHERE d.state = 'accepted') AS accepted,
       extract(epoch FROM min(d.next_try_at) FILTER (WHERE d.state = 'planned') - now())::float8 AS due_in
  FROM sends s JOIN campaigns c ON c.org_id = s.org_id AND c.id = s.campaign_id
  LEFT JOIN deliveries d ON d.org_id = s.org_id AND d.send_id = s.id
 WHERE s.org_id = $1 AND s.id = $2 GROUP BY s.org_id, s.id, c.status"""


@dataclass(frozen=True)
class Hand:
    """Who has deliveries in hand: one run, which is an attempt of a job, of one send."""

    org_id: str
    send_id: UUID
    job_id: UUID
    attempt: int

    @property
    def _key(self) -> tuple[str, UUID, UUID, int]:
        return self.org_id, self.send_id, self.job_id, self.attempt

    async def recover(self, connection: Connection) -> None:
        """What an attempt of this job before had in hand."""
        await connection.execute(_RECOVER, *self._key)

    async def claim(self, connection: Connection, batch: int, per_domain: int) -> list[Any]:
        """Up to so many that are due, with what is known of their leads; none while the send may not go on."""
        return await connection.fetch(_CLAIM, *self._key, batch, HORIZON, per_domain)

    async def mark(self, connection: Connection, delivery: Any) -> bool:
        """From now on it may have been sent. False for one that must not be, or not now; then it is not in hand."""
        about = (delivery["id"], delivery["lead_id"])
        if await connection.fetchval(_MARK, *self._key, *about, delivery["email"]):
            return True
        await connection.execute(_REFUSE, *self._key, *about)
        return False

    async def settle(  # noqa: PLR0917 - a row has as many
        self,
        connection: Connection,
        delivery_id: UUID,
        state: str,
        reason: str | None,
        answer: str | None,
        wait: timedelta = timedelta(0),
    ) -> bool:
        """What became of it; False when it is not this run's any more."""
        settled = await connection.fetchval(
            _SETTLE, *self._key, delivery_id, state, reason, answer and answer[:500], wait
        )
        return bool(settled)

    async def take_back(self, connection: Connection, delivery_id: UUID, wait: timedelta) -> None:
        await connection.execute(_TAKE_BACK, *self._key, delivery_id, wait)

    async def release(self, connection: Connection) -> None:
        await connection.execute(_RELEASE, *self._key)

    async def standing(self, connection: Connection) -> Any:
        return await fetch_one(connection, _STANDING, self.org_id, self.send_id)
