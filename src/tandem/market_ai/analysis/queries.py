"""What is computed of a campaign, and its reports; $1 is its organization, $2 the campaign."""

import json
from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page, PageQuery
from tandem.market_ai.analysis.sql import COLUMNS, ITEM_COLUMNS

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

_OWNED = "campaign_reports r WHERE r.org_id = $1 AND r.campaign_id = $2"
_REPORTS = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {ITEM_COLUMNS} FROM {_OWNED} ORDER BY r.id DESC LIMIT $3 OFFSET $4) q) AS items,
       (SELECT count(*) FROM {_OWNED}) AS total"""
_REPORT = f"SELECT row_to_json(q)::text FROM (SELECT {COLUMNS} FROM {_OWNED} AND r.id = $3) q"


async def spending(connection: Connection, org_id: str, campaign_id: UUID) -> Any:
    """A record of `calls` and, in micro-dollars, `spent`, `reserved`, `unknown` and `cap` (None for none)."""
    return await fetch_one(connection, _SPENDING, org_id, campaign_id)


async def latest_variants(connection: Connection, org_id: str, campaign_id: UUID) -> list[dict[str, Any]]:
    """The fifty newest assets of the campaign with their status, oldest first."""
    found: list[dict[str, Any]] = json.loads((await fetch_one(connection, _VARIANTS, org_id, campaign_id))["json"])
    return found


async def list_reports(connection: Connection, org_id: str, campaign_id: UUID, query: PageQuery) -> Page:
    """The latest first; raises NotFound for a campaign of somebody else."""
    row = await fetch_one(connection, _REPORTS, org_id, campaign_id, query.limit, (query.page - 1) * query.limit)
    if not row["total"]:
        campaign = "SELECT true FROM campaigns WHERE org_id = $1 AND id = $2"
        if not await connection.fetchval(campaign, org_id, campaign_id):
            raise NotFound("You have no campaign with this id")
    return Page(row["items"], row["total"])


async def get_report(connection: Connection, org_id: str, campaign_id: UUID, report_id: UUID) -> str:
    """As JSON; raises NotFound."""
    found: str | None = await connection.fetchval(_REPORT, org_id, campaign_id, report_id)
    if found is None:
        raise NotFound("This campaign has no report with this id")
    return found
