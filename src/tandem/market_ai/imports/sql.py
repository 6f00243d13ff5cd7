"""What statements about imports `i` have in common. Their jobs `j` have the same ids."""

from tandem.market_ai.job_api.sql import error_of

FROM = "FROM imports i LEFT JOIN jobs j ON j.id = i.id"
# A job is forgotten after a while, its import not.
STATUS = "CASE WHEN i.finished_at IS NOT NULL THEN 'succeeded' ELSE coalesce(j.status, 'failed') END"
# What the API shows of a row.
COLUMNS = f"""i.id, {STATUS} AS status, i.filename, i.size,
  (SELECT coalesce(jsonb_object_agg(h.name, i.options->'columns'->(h.number::int - 1)), '{{}}')
     FROM unnest(i.header) WITH ORDINALITY h (name, number)) AS columns,
  CASE WHEN i.finished_at IS NOT NULL THEN 1 ELSE round(i.read_bytes::numeric / i.size, 4) END::float8 AS progress,
  i.rows, i.created, i.updated, i.unchanged, i.errors,
  CASE WHEN i.finished_at IS NULL THEN {error_of("j.error")} END AS error, coalesce(j.events, 0) AS last_event_id,
  i.created_by, i.created_at, coalesce(i.finished_at, j.finished_at) AS finished_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"
