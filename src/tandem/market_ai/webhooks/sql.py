"""What statements about webhooks have in common: what the API shows of an endpoint `e` and of a delivery `d`."""

COLUMNS = """e.id, e.url, e.description, e.events, e.enabled, e.disabled_reason, e.disabled_at, e.consecutive_failures,
  e.failing_since, CASE WHEN e.previous_secret_until > now() THEN e.previous_secret_until END AS previous_secret_until,
  e.version, e.created_at, e.updated_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"
# The secret too, in the one answer that shows it.
JSON_WITH_SECRET = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}, e.secret) r))::text"

# The id that is sent as `webhook-id`.
MESSAGE_ID = "'msg_' || replace(m.id::text, '-', '')"
DELIVERY = f"""d.id, {MESSAGE_ID} AS message_id, m.type, d.status, d.attempts, d.error, d.next_attempt_at, d.created_at,
  d.finished_at"""
ATTEMPTS = """(SELECT coalesce(json_agg(q ORDER BY q.number), '[]') FROM (
    SELECT a.number, a.at, a.duration_ms, a.status, a.error, a.excerpt FROM webhook_attempts a
     WHERE a.org_id = d.org_id AND a.delivery_id = d.id ORDER BY a.number DESC LIMIT 100) q) AS log"""
DELIVERY_JSON = f"row_to_json((SELECT r FROM (SELECT {DELIVERY}, m.body AS payload, {ATTEMPTS}) r))::text"
