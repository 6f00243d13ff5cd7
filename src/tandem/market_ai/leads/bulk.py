"""Adding many leads in a few statements, whatever their number."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from tandem.core.db import Connection
from tandem.core.ids import uuid7
from tandem.market_ai.leads.fields import MAX_ATTRIBUTES, MAX_TAGS
from tandem.market_ai.leads.schemas import NewLead

_BATCH = """
batch AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset($2::jsonb) AS b (id uuid, line integer, email text, key text, name text,
    attributes jsonb, tags text[], timezone text, locale text, consent text, consent_at timestamptz,
    consent_source text, proof text))"""
# In the order of the addresses, so that two imports wait for each other instead of locking each other out.
_INSERT = f"""
WITH {_BATCH},
new AS (
  INSERT INTO leads (org_id, id, email, email_key, name, attributes, tags, timezone, locale, consent, consent_at,
                     consent_source)
  SELECT $1, id, email, key, name, attributes, tags, timezone, locale, consent, consent_at, consent_source
    FROM batch ORDER BY key
      ON CONFLICT (org_id, email_key) DO NOTHING RETURNING id),
told AS (
  INSERT INTO lead_consents (org_id, lead_id, status, source, proof, at, actor)
  SELECT $1, b.id, b.consent, b.consent_source, b.proof, b.consent_at, $3
    FROM batch b JOIN new USING (id) WHERE b.consent <> 'none')
SELECT id FROM new"""
_UPDATE = f"""
WITH {_BATCH},
before AS MATERIALIZED (
  SELECT l.id, l.name, l.attributes, l.tags, l.timezone, l.locale, l.consent, l.email_key
    FROM leads l JOIN batch b ON b.key = l.email_key WHERE l.org_id = $1 ORDER BY l.email_key FOR NO KEY UPDATE OF l),
wanted AS MATERIALIZED (
  SELECT l.id, b.line, coalesce(b.name, l.name) AS name, l.attributes || b.attributes AS attributes,
         ARRAY(SELECT DISTINCT t COLLATE "C" FROM unnest(l.tags || b.tags) t ORDER BY 1) AS tags,
         coalesce(b.timezone, l.timezone) AS timezone, coalesce(b.locale, l.locale) AS locale,
         b.consent, b.consent_at, b.consent_source, b.proof,
         (b.consent = 'granted' AND l.consent = 'none') OR (b.consent = 'withdrawn' AND l.consent <> 'withdrawn')
           AS decides
    FROM before l JOIN batch b ON b.key = l.email_key),
fitting AS (
  SELECT * FROM wanted w WHERE cardinality(w.tags) <= {MAX_TAGS}
     AND (SELECT count(*) FROM jsonb_object_keys(w.attributes)) <= {MAX_ATTRIBUTES}),
changed AS (
  UPDATE leads l SET name = w.name, attributes = w.attributes, tags = w.tags, timezone = w.timezone,
      locale = w.locale, version = l.version + 1, updated_at = now(),
      consent = CASE WHEN w.decides THEN w.consent ELSE l.consent END,
      consent_at = CASE WHEN w.decides THEN w.consent_at ELSE l.consent_at END,
      consent_source = CASE WHEN w.decides THEN w.consent_source ELSE l.consent_source END
    FROM fitting w
   WHERE l.org_id = $1 AND l.id = w.id AND (w.decides
      OR (l.name, l.attributes, l.tags, l.timezone, l.locale)
         IS DISTINCT FROM (w.name, w.attributes, w.tags, w.timezone, w.locale))
  RETURNING l.id),
told AS (
  INSERT INTO lead_consents (org_id, lead_id, status, source, proof, at, actor)
  SELECT $1, w.id, w.consent, w.consent_source, w.proof, w.consent_at, $3 FROM fitting w WHERE w.decides)
SELECT w.line, w.id IN (SELECT id FROM changed) AS changed, w.id NOT IN (SELECT id FROM fitting) AS refused
  FROM wanted w"""


class Outcome(NamedTuple):
    """`refused` are the lines whose lead would have too many tags or attributes."""

    created: int
    updated: int
    refused: list[int]


async def add(connection: Connection, org_id: str, rows: Sequence[NewLead], *, actor: str, update: bool) -> Outcome:
    """New ones are made. Those that are there, with `update`, get what the row has besides: values that are not
    empty replace, attributes and tags are added, and a decision about consent is taken over unless the person withdrew
    before. Each address may be in `rows` once.
    """
    batch = [{"id": uuid7(), **row._asdict()} for row in rows]
    made = await connection.fetch(_INSERT, org_id, _json(batch), actor)
    new = {row["id"] for row in made}
    rest = [row for row in batch if row["id"] not in new]
    if not update or not rest:
        return Outcome(len(new), 0, [])
    found = await connection.fetch(_UPDATE, org_id, _json(rest), actor)
    return Outcome(len(new), sum(row["changed"] for row in found), [row["line"] for row in found if row["refused"]])


def _json(batch: list[dict[str, Any]]) -> str:
    return json.dumps(batch, default=str)
