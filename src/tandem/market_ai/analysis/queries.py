"""What is computed of a campaign; $1 is its organization, $2 the campaign."""

import json
from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one

_SPENDING = """
SELECT count(*) AS calls,
       coalesce(sum(settled_micros) FILTER (WHERE state = 'settled'), 0)::bigint AS spent,
       coalesce(sum(reserved_micros) FILTER (WHERE state = 'held'), 0)::bigint AS reserved,
       coalesce(sum(reserved_micros) FILTER (WHERE state = 'outcome_unknown'), 0)::bigint AS unknown,
       (SELECT cap_micros FROM budget_limits
         WHERE org_id = $1 AND scope = 'campaign' AND key = $2::uuid::text) AS cap
  FROM budget_calls WHERE org_id = $1 AND campaign_id = $2::uuid"""
_VARIANTS = """
SELECT coalesce(json_agg(q ORDER BY q.created_at, q.id), '[]')::text AS json
  FROM (SELECT a.id, a.kind, a.title, a.status, a.variant, a.current_version, a.approved_version, a.created_at
          FROM content_assets a WHERE a.org_id = $1 AND a.campaign_id = $2
         ORDER BY a.created_at DESC, a.id DESC LIMIT 50) q"""


async def spending(connection: Connection, org_id: str, campaign_id: UUID) -> Any:
    """A record of `calls` and, in micro-dollars, `spent`, `reserved`, `unknown` and `cap` (None for none)."""
    return await fetch_one(connection, _SPENDING, org_id, campaign_id)


async def latest_variants(connection: Connection, org_id: str, campaign_id: UUID) -> list[dict[str, Any]]:
    """The fifty newest assets of the campaign with their status, oldest first."""
    found: list[dict[str, Any]] = json.loads((await fetch_one(connection, _VARIANTS, org_id, campaign_id))["json"])
    return found
