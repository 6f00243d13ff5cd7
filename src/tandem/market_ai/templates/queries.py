"""SELECTs of templates; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.templates.schemas import TemplateFilter
from tandem.market_ai.templates.sql import JSON, SUMMARY


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("t.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, t.version, t.html FROM email_templates t {owned('t.id = $2')}"
FOR_UPDATE = f"SELECT t.version, t.name FROM email_templates t {owned('t.id = $2')} FOR UPDATE"
_NAMED = "($4::text IS NULL OR strpos(lower(t.name), lower($4)) > 0)"
_PAGE = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {SUMMARY} FROM email_templates t {owned(_NAMED)} ORDER BY lower(t.name), t.id LIMIT $2 OFFSET $3) q
       ) AS items, (SELECT count(*) FROM email_templates t {owned(_NAMED)}) AS total"""


async def list_templates(connection: Connection, org_id: str, query: TemplateFilter) -> Page:
    row = await fetch_one(connection, _PAGE, org_id, query.limit, (query.page - 1) * query.limit, query.q)
    return Page(row["items"], row["total"])


async def get_template(connection: Connection, org_id: str, template_id: UUID) -> Any:
    """A record of `json`, `version` and `html`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, template_id)
    if row is None:
        raise NotFound("You have no template with this id")
    return row
