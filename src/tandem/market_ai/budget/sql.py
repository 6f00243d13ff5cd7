"""What statements about the budget have in common.

Other features show what a job cost by putting `COST` into their SELECT, in which `j` is the job.
"""


def money(expression: str) -> str:
    """Micro-dollars as the API's decimal string. Multiplying keeps all six places; dividing would round."""
    return f"({expression} * 0.000001)::text"


USED = "(a.spent_micros + a.reserved_micros + a.unknown_micros)"
COST = f"""(SELECT json_build_object(
    'spent', {money("coalesce(sum(a.spent_micros), 0)")}, 'reserved', {money("coalesce(sum(a.reserved_micros), 0)")},
    'unknown', {money("coalesce(sum(a.unknown_micros), 0)")})
  FROM budget_accounts a WHERE a.org_id = j.owner AND a.scope = 'request' AND a.key = j.id::text)"""

# Of the accounts `s` (scope, key): their caps `l` and their balances `a`. $1 is the organization.
LIMITS = """LEFT JOIN budget_limits l ON l.org_id = $1 AND l.scope = s.scope
      AND l.key = CASE s.scope WHEN 'campaign' THEN s.key ELSE '' END"""
BALANCES = "LEFT JOIN budget_accounts a ON a.org_id = $1 AND a.scope = s.scope AND a.key = s.key"

# What the API shows of a call `c` and of an entry `e`.
CALL = f"""c.id, c.job_id, c.step, c.attempt, c.prompt_hash, c.campaign_id, c.model, c.state,
  {money("c.reserved_micros")} AS reserved, {money("c.settled_micros")} AS settled, c.overrun, c.usage, c.error,
  c.created_at, c.expires_at, c.settled_at, c.resolved_by, c.note"""
CALL_JSON = f"row_to_json((SELECT r FROM (SELECT {CALL}) r))::text"
ENTRY = f"""e.seq, budget_instant(e.created_at) AS at, e.kind, e.call_id, e.job_id, e.campaign_id, e.day,
  (SELECT coalesce(json_agg(json_build_object('account', v.account, 'amount', {money("v.micros")})), '[]')
     FROM (VALUES ('budget', e.budget_micros), ('reserved', e.reserved_micros), ('unknown', e.unknown_micros),
                  ('spent', e.spent_micros)) v(account, micros) WHERE v.micros <> 0) AS lines,
  encode(e.prev_hash, 'hex') AS prev_hash, encode(e.hash, 'hex') AS hash"""
