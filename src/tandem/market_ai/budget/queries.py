"""SELECTs of the budget; $1 is the organization."""

from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page, PageQuery
from tandem.market_ai.budget.schemas import CallFilter
from tandem.market_ai.budget.sql import BALANCES, CALL, ENTRY, LIMITS, USED, money

_USED = f"coalesce({USED}, 0)"
# Of an account `s` with its cap `l` and balance `a`. With a cap of zero nothing is left, however little was used.
_BALANCE = f"""json_build_object('key', nullif(s.key, ''), 'cap', {money("l.cap_micros")},
    'spent', {money("coalesce(a.spent_micros, 0)")}, 'reserved', {money("coalesce(a.reserved_micros, 0)")},
    'unknown', {money("coalesce(a.unknown_micros, 0)")},
    'available', CASE WHEN l.cap_micros IS NOT NULL THEN {money(f"greatest(l.cap_micros - {_USED}, 0)")} END,
    'used_percent', CASE WHEN l.cap_micros = 0 THEN 100 ELSE trunc({_USED} * 100.0 / l.cap_micros, 1) END,
    'warning', (SELECT max(t) FROM unnest(ARRAY[80, 90, 100]) t WHERE {_USED} * 100.0 >= l.cap_micros::numeric * t))"""
_KEYS = """
  SELECT key FROM budget_limits WHERE org_id = $1 AND scope = 'campaign' AND ($2::text IS NULL OR key = $2)
   UNION SELECT key FROM budget_accounts WHERE org_id = $1 AND scope = 'campaign' AND ($2::text IS NULL OR key = $2)
   UNION SELECT id::text FROM campaigns WHERE org_id = $1 AND id = $2::uuid"""
_OF_REQUEST = "(SELECT cap_micros FROM budget_limits WHERE org_id = $1 AND scope = 'request')"
_REQUEST = f"json_build_object('cap', {money(f'least($3::bigint, {_OF_REQUEST})')})"
_WARNING = f"""json_build_object('scope', w.scope, 'key', nullif(w.key, ''), 'threshold', w.threshold,
    'cap', {money("w.cap_micros")}, 'used', {money("w.used_micros")}, 'at', w.created_at)"""
_OVERVIEW = f"""
WITH now AS (SELECT now() AT TIME ZONE 'UTC' AS utc),
balance AS (
  SELECT s.scope, s.key, {USED} AS used, {_BALANCE} AS json
    FROM (SELECT 'organization' AS scope, '' AS key
          UNION ALL SELECT 'month', to_char(utc, 'YYYY-MM') FROM now
          UNION ALL SELECT 'day', to_char(utc, 'YYYY-MM-DD') FROM now
          UNION ALL SELECT 'campaign', key FROM ({_KEYS}) k) s {LIMITS} {BALANCES})
SELECT (SELECT count(*) FROM balance WHERE scope = 'campaign') AS campaigns, json_build_object(
  'organization', (SELECT json FROM balance WHERE scope = 'organization'),
  'month', (SELECT json FROM balance WHERE scope = 'month'),
  'day', (SELECT json FROM balance WHERE scope = 'day'),
  'request', {_REQUEST},
  'campaigns', (SELECT coalesce(json_agg(json), '[]') FROM (
      SELECT json FROM balance WHERE scope = 'campaign' ORDER BY used DESC NULLS LAST, key LIMIT 200) c),
  'warnings', (SELECT coalesce(json_agg({_WARNING}), '[]')
      FROM (SELECT * FROM budget_warnings WHERE org_id = $1
             ORDER BY created_at DESC, threshold DESC, scope, key LIMIT 50) w))::text AS json"""
# The numbers of entries have no gaps, so a page is a range of them, as fast at any depth.
_ENTRIES = f"""
WITH chain AS (SELECT coalesce((SELECT entries FROM budget_chains WHERE org_id = $1), 0) AS entries)
SELECT (SELECT coalesce(json_agg(p), '[]')::text FROM (
          SELECT {ENTRY} FROM budget_ledger e, chain
           WHERE e.org_id = $1 AND e.seq <= chain.entries - $3::bigint AND e.seq > chain.entries - $3 - $2::bigint
           ORDER BY e.seq DESC) p) AS items, entries AS total FROM chain"""


async def read_overview(connection: Connection, org_id: str, campaign_id: UUID | None, request_cap: int) -> str:
    """Raises NotFound for a campaign that the organization neither has nor ever spent on."""
    row = await fetch_one(connection, _OVERVIEW, org_id, campaign_id and str(campaign_id), request_cap)
    if campaign_id is not None and not row["campaigns"]:
        raise NotFound("You have no campaign with this id")
    return str(row["json"])


async def list_calls(connection: Connection, org_id: str, query: CallFilter) -> Page:
    arg = Args([org_id])
    where = ["c.org_id = $1"]
    for column in ("state", "job_id", "campaign_id"):
        if (value := getattr(query, column)) is not None:
            where.append(f"c.{column} = {arg(value)}")
    matching = " AND ".join(where)
    limit, offset = arg(query.limit), arg((query.page - 1) * query.limit)
    sql = f"""
SELECT (SELECT coalesce(json_agg(p), '[]')::text FROM (
          SELECT {CALL} FROM budget_calls c WHERE {matching} ORDER BY c.id DESC LIMIT {limit} OFFSET {offset}) p
       ) AS items, (SELECT count(*) FROM budget_calls c WHERE {matching}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


async def list_entries(connection: Connection, org_id: str, query: PageQuery) -> Page:
    row = await fetch_one(connection, _ENTRIES, org_id, query.limit, (query.page - 1) * query.limit)
    return Page(row["items"], row["total"])
