"""What statements about sends `s` and deliveries `d` have in common."""

# What the API shows of a send, without its numbers and with them.
COLUMNS = """s.id, s.campaign_id, s.content_id, s.content_version, s.template_id, s.segment_id, s.filter, s.from_name,
  s.reply_to, s.track_opens, s.track_clicks, s.status,
  CASE WHEN s.starts_at IS NOT NULL THEN json_build_object('at', s.starts_at, 'timezone', s.timezone) END AS schedule,
  s.planned, s.job_id, s.created_by, s.finished_at, s.version, s.created_at, s.updated_at"""
_STATES = ("claimed", "handed_off", "accepted", "failed", "unknown", "skipped", "cancelled")
_OUTCOMES = ("delivered", "bounced", "complained", "opened", "clicked", "unsubscribed")
NUMBERS = f"""(SELECT json_build_object('planned', t.waiting, {", ".join(f"'{s}', t.{s}" for s in _STATES)})
    FROM send_totals t WHERE t.org_id = s.org_id AND t.send_id = s.id) AS states,
  (SELECT json_build_object({", ".join(f"'{o}', count(d.{o}_at)" for o in _OUTCOMES)})
    FROM deliveries d WHERE d.org_id = s.org_id AND d.send_id = s.id) AS outcomes"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}, {NUMBERS}) r))::text"

DELIVERY = """d.id, d.send_id, d.campaign_id, d.lead_id, d.state, d.reason, d.answer, d.tries,
  CASE WHEN d.state = 'planned' THEN d.next_try_at END AS next_try_at, d.handed_off_at, d.settled_at, d.delivered_at,
  d.bounced_at, d.complained_at, d.opened_at, d.clicked_at, d.unsubscribed_at, d.resolved_by, d.note, d.created_at"""
EVENTS = """(SELECT coalesce(json_agg(json_build_object('kind', e.kind, 'source', e.source, 'bot', e.bot,
    'detail', e.detail, 'at', e.at) ORDER BY e.at, e.id), '[]') FROM delivery_events e
   WHERE e.org_id = d.org_id AND e.delivery_id = d.id) AS events"""
