"""What statements about campaigns have in common."""

# What the API shows of a row. Multiplying keeps all six places; dividing would round.
COLUMNS = """c.id, c.name, c.type, c.status, c.objective, c.audience,
  CASE WHEN c.budget_micros IS NOT NULL THEN
    json_build_object('amount', (c.budget_micros * 0.000001)::text, 'currency', c.budget_currency) END AS budget,
  c.starts_at, c.ends_at, c.channels, c.brand_id, c.activated_at, c.paused_at, c.resumed_at, c.completed_at,
  c.archived_at, c.version, c.created_at, c.updated_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"
