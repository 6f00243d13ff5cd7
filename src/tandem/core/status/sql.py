"""Statements of the status page."""

# Several instances see the same minute; what they saw is added up, latencies bucket by bucket.
RECORD = """
INSERT INTO status_samples AS s (minute, component, good, bad, latencies)
SELECT * FROM jsonb_to_recordset($1::jsonb)
    AS x (minute timestamptz, component text, good int, bad int, latencies bigint[])
ON CONFLICT (minute, component) DO UPDATE
   SET good = s.good + excluded.good, bad = s.bad + excluded.bad,
       latencies = CASE WHEN excluded.latencies IS NULL THEN s.latencies ELSE (
         SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY place)
           FROM unnest(s.latencies, excluded.latencies) WITH ORDINALITY AS t (a, b, place)) END"""
FORGET = "DELETE FROM status_samples WHERE minute < now() - interval '25 hours'"
JOBS_WAIT = "SELECT EXISTS (SELECT FROM jobs WHERE status = 'queued' AND run_at < now() - $1::interval)"
# By component and hour before $1: minutes with a sample, and how many of them were good.
HOURS = """
SELECT component, ceil(extract(epoch FROM $1::timestamptz - minute) / 3600)::int AS hours_ago, count(*)::int AS minutes,
       sum(good::float8 / greatest(good + bad, 1)) AS good,
       (avg(good::float8 / greatest(good + bad, 1)) FILTER (WHERE minute >= $1 - interval '5 minutes')) AS lately,
       min(minute) AS first
  FROM status_samples WHERE minute >= $1 - interval '24 hours' AND minute < $1
 GROUP BY 1, 2"""
LATENCIES = """
SELECT hours_ago, array_agg(total ORDER BY place)::bigint[] AS counts
  FROM (SELECT ceil(extract(epoch FROM $1::timestamptz - minute) / 3600)::int AS hours_ago, place, sum(n) AS total
          FROM status_samples, unnest(latencies) WITH ORDINALITY AS t (n, place)
         WHERE minute >= $1 - interval '24 hours' AND minute < $1 AND component = 'api'
         GROUP BY 1, 2) AS sums
 GROUP BY 1"""
