"""Statistics in one statement; $1 is the user, $2 the number of days."""

from tandem.core.db import Connection, read_json
from tandem.momentum.tasks.sql import OVERDUE, USER_ZONE

STATISTICS = f"""
WITH zone AS (SELECT {USER_ZONE} AS name),
today AS (SELECT (now() AT TIME ZONE zone.name)::date AS day FROM zone),
mine AS MATERIALIZED (
  SELECT t.project_id, t.completed_at IS NOT NULL AS done, ({OVERDUE}) AS overdue,
         (t.completed_at AT TIME ZONE zone.name)::date AS day
    FROM tasks t, zone WHERE t.user_id = $1 AND t.deleted_at IS NULL
),
done_days AS (SELECT day, count(*) AS completed FROM mine WHERE done GROUP BY day),
-- Consecutive days share the difference between the day and its rank.
runs AS (SELECT max(day) AS last, count(*) AS length
           FROM (SELECT done_days.day, done_days.day - (row_number() OVER (ORDER BY done_days.day))::int AS run
                   FROM done_days, today WHERE done_days.day <= today.day) d GROUP BY run)
SELECT json_build_object(
  'timezone', (SELECT name FROM zone),
  'today', (SELECT day FROM today),
  'totals', (SELECT json_build_object('open', count(*) FILTER (WHERE NOT done),
    'completed', count(*) FILTER (WHERE done), 'overdue', count(*) FILTER (WHERE overdue)) FROM mine),
  'days', (SELECT json_agg(json_build_object('date', d::date, 'completed', coalesce(done_days.completed, 0)) ORDER BY d)
             FROM today, generate_series(today.day - ($2::int - 1), today.day, interval '1 day') d
             LEFT JOIN done_days ON done_days.day = d::date),
  'streak', json_build_object(
    'current', coalesce((SELECT length FROM runs, today WHERE runs.last >= today.day - 1), 0),
    'longest', coalesce((SELECT max(length) FROM runs), 0)),
  'by_project', (SELECT coalesce(json_agg(b ORDER BY b.name NULLS FIRST), '[]') FROM (
     SELECT m.project_id, p.name, count(*) FILTER (WHERE NOT m.done) AS open,
            count(*) FILTER (WHERE m.done) AS completed
       FROM mine m LEFT JOIN projects p ON p.user_id = $1 AND p.id = m.project_id GROUP BY m.project_id, p.name) b)
)::text"""


async def statistics(connection: Connection, user_id: str, days: int) -> bytes:
    """A StatisticsOut as JSON."""
    return await read_json(connection, STATISTICS, user_id, days)
