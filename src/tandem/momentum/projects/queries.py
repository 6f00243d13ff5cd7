"""SELECTs of projects; $1 is their owner."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.momentum.projects.schemas import ProjectFilter
from tandem.momentum.projects.sql import COLUMNS, JSON


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("p.user_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, p.version FROM projects p {owned('p.id = $2')}"
FOR_UPDATE = f"""
SELECT p.id, p.version, p.parent_id, p.archived_at
  FROM momentum_begin_write($1, $3) w, projects p {owned("p.id = $2")} FOR UPDATE OF p"""
_SHOWN = "($4::boolean IS NULL OR (p.archived_at IS NOT NULL) = $4)"
PAGE = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM projects p {owned(_SHOWN)} ORDER BY p.position, p.id LIMIT $2 OFFSET $3) q) AS items,
       (SELECT count(*) FROM projects p {owned(_SHOWN)}) AS total"""
ANCESTORS = f"""
WITH RECURSIVE line AS (
  SELECT p.id, p.parent_id FROM projects p {owned("p.id = $2")}
  UNION ALL
  SELECT p.id, p.parent_id FROM projects p JOIN line l ON p.id = l.parent_id {owned()}
) SELECT id FROM line"""
HEIGHT = f"""
WITH RECURSIVE inside AS (
  SELECT p.id, 1 AS height FROM projects p {owned("p.id = $2")}
  UNION ALL
  SELECT p.id, i.height + 1 FROM projects p JOIN inside i ON p.parent_id = i.id {owned()}
) SELECT max(height) FROM inside"""


async def list_projects(connection: Connection, user_id: str, query: ProjectFilter) -> Page:
    row = await fetch_one(connection, PAGE, user_id, query.limit, (query.page - 1) * query.limit, query.archived)
    return Page(row["items"], row["total"])


async def get_project(connection: Connection, user_id: str, project_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, user_id, project_id)
    if row is None:
        raise NotFound("You have no project with this id")
    return row
