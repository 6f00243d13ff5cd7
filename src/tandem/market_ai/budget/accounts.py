"""Whether there is room under every cap, and taking it: in all scopes or in none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import structlog

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import Problem
from tandem.market_ai.budget.sql import BALANCES, LIMITS, USED
from tandem.market_ai.fields import decimal_string
from tandem.market_ai.webhooks.service import emit

log = structlog.get_logger(__name__)

# In the order of `Place.accounts`, which is the order in which rows are locked. A statement sees what was committed
# before it began, and the chain's lock lets nothing be committed after that; the condition of the UPDATE would hold the
# cap even so. `least` ignores NULL, which is no cap.
_ROOM = f"""
WITH room AS MATERIALIZED (
  SELECT s.place, s.scope, s.key, coalesce({USED}, 0) AS used,
         least(l.cap_micros, CASE s.scope WHEN 'request' THEN $5::bigint END) AS cap
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS s(scope, key, place) {LIMITS} {BALANCES}),
lacking AS (SELECT * FROM room WHERE used + $4::bigint > cap ORDER BY place LIMIT 1)"""
_CHECK = f"{_ROOM} SELECT scope, cap, used FROM lacking"
_TAKE = f"""{_ROOM},
taken AS (
  INSERT INTO budget_accounts AS a (org_id, scope, key, reserved_micros)
  SELECT $1, scope, key, $4 FROM room WHERE NOT EXISTS (SELECT FROM lacking) ORDER BY place
      ON CONFLICT (org_id, scope, key) DO UPDATE SET reserved_micros = a.reserved_micros + excluded.reserved_micros
   WHERE {USED} + excluded.reserved_micros
         <= coalesce((SELECT cap FROM room r WHERE r.scope = excluded.scope), 9223372036854775807)
  RETURNING 1)
SELECT l.scope, l.cap, l.used, (SELECT count(*) FROM taken) AS taken FROM (SELECT) AS one LEFT JOIN lacking l ON true"""
# Not for single requests: what is reserved for one is the worst case, and would warn about most of them.
_WARN = f"""
INSERT INTO budget_warnings (org_id, scope, key, cap_micros, threshold, used_micros)
SELECT $1, s.scope, s.key, l.cap_micros, t.threshold, {USED}
  FROM unnest($2::text[], $3::text[]) AS s(scope, key) {LIMITS} {BALANCES}
  CROSS JOIN (VALUES (80), (90), (100)) AS t(threshold)
 WHERE s.scope <> 'request' AND {USED} > 0 AND {USED}::numeric * 100 >= l.cap_micros::numeric * t.threshold
    ON CONFLICT DO NOTHING RETURNING scope, key, threshold, cap_micros, used_micros"""


class BudgetExceeded(Problem):
    """`scope` is the first without room. `available` is what its cap leaves, `shortfall` what that lacks."""

    status, code, title = 402, "budget_exceeded", "The AI budget does not allow this"

    @classmethod
    def of(cls, row: Any, required: int) -> "BudgetExceeded":
        scope, cap, available = row["scope"], row["cap"], max(row["cap"] - row["used"], 0)
        return cls(
            f"The {scope} limit leaves ${decimal_string(available)} and this may cost ${decimal_string(required)}",
            scope=scope,
            cap=decimal_string(cap),
            available=decimal_string(available),
            required=decimal_string(required),
            shortfall=decimal_string(required - available),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Which accounts a call counts in: those of the day (UTC) it was reserved on, for good."""

    org_id: str
    job_id: UUID | None
    campaign_id: UUID | None
    day: date

    @classmethod
    def of(cls, call: Any) -> "Place":
        """From a row of budget_calls."""
        return cls(call["org_id"], call["job_id"], call["campaign_id"], call["day"])

    @property
    def accounts(self) -> tuple[list[str], list[str]]:
        """Scopes and keys, in the one order in which they are locked."""
        pairs = [("organization", ""), ("month", f"{self.day:%Y-%m}"), ("day", f"{self.day:%Y-%m-%d}")]
        if self.campaign_id is not None:
            pairs.append(("campaign", str(self.campaign_id)))
        pairs.append(("request", "" if self.job_id is None else str(self.job_id)))
        return [scope for scope, _ in pairs], [key for _, key in pairs]


async def take(connection: Connection, place: Place, micros: int, request_cap: int) -> BudgetExceeded | None:
    """Reserve in every scope; the problem, and nothing reserved, when one of them lacks room."""
    scopes, keys = place.accounts
    row = await fetch_one(connection, _TAKE, place.org_id, scopes, keys, micros, request_cap)
    if row["scope"] is not None:
        return BudgetExceeded.of(row, micros)
    if row["taken"] != len(scopes):
        raise RuntimeError("a budget changed although its chain was locked")
    await warn(connection, place.org_id, scopes, keys)
    return None


async def check_room(
    connection: Connection, org_id: str, campaign_id: UUID | None, micros: int, request_cap: int
) -> None:
    """Raises BudgetExceeded when a job of so many micro-dollars would find no room now. Reserves nothing."""
    day = await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    place = Place(org_id, None, campaign_id, day)
    row = await connection.fetchrow(_CHECK, org_id, *place.accounts, micros, request_cap)
    if row is not None:
        raise BudgetExceeded.of(row, micros)


async def warn(connection: Connection, org_id: str, scopes: Sequence[str], keys: Sequence[str]) -> None:
    """Write down and tell, once, that these accounts reached 80, 90 or 100 % of their caps."""
    for row in await connection.fetch(_WARN, org_id, scopes, keys):
        details = {
            "scope": row["scope"],
            "key": row["key"],
            "percent": row["threshold"],
            "cap": decimal_string(row["cap_micros"]),
            "used": decimal_string(row["used_micros"]),
        }
        log.warning("budget_warning", org_id=org_id, **details)
        told = {"object_type": "budget", "object_id": org_id, "details": details}
        await emit(connection, org_id, "budget.warning", told)
