"""Export: everything a user has, streamed in pages that each take a connection for one statement only.

A slow reader thus never holds a connection. Pages follow the ids, so what is there from start to end is exported once.
"""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tandem.core.db import Database, fetch_one
from tandem.momentum.labels import sql as labels
from tandem.momentum.preferences.sql import DEFAULTS
from tandem.momentum.projects import sql as projects
from tandem.momentum.tasks import sql as tasks
from tandem.momentum.transfer.schemas import FORMAT

PAGE = 1000
NIL = UUID(int=0)
_TABLES = {"projects": ("p", projects.COLUMNS), "labels": ("l", labels.COLUMNS), "tasks": ("t", tasks.COLUMNS)}
_SETTINGS = f"SELECT row_to_json(r)::text FROM (SELECT {DEFAULTS} FROM user_settings s WHERE s.user_id = $1) r"
_CSV_COLUMNS = (
    "id", "title", "description", "completed", "completed_at", "priority", "project", "labels", "parent_id",
    "due_date", "due_time", "timezone", "due_at", "created_at", "updated_at",
)  # fmt: skip
_CSV = f"""
SELECT t.id, t.title, t.description, t.completed_at IS NOT NULL AS completed, t.completed_at, t.priority::text,
       p.name AS project, array_to_string(ARRAY(
         SELECT l.name FROM labels l WHERE l.user_id = $1 AND l.id = ANY(t.labels)
          ORDER BY lower(l.name)), ', ') AS labels,
       t.parent_id, t.due_date, t.due_time, t.timezone, t.due_at, t.created_at, t.updated_at
  FROM tasks t LEFT JOIN projects p ON p.user_id = $1 AND p.id = t.project_id
 WHERE t.user_id = $1 AND t.deleted_at IS NULL AND t.id > $2 ORDER BY t.id LIMIT {PAGE}"""


async def export_json(database: Database, user_id: str) -> AsyncIterator[str]:
    async with database.connection() as connection:
        settings = await connection.fetchval(_SETTINGS, user_id) or "null"
    head = {"format": FORMAT, "exported_at": datetime.now(UTC).isoformat()}
    yield f'{json.dumps(head)[:-1]},"settings":{settings}'
    for table, (alias, columns) in _TABLES.items():
        yield f',"{table}":['
        first = True
        async for page in _pages(database, user_id, table, alias, columns):
            yield page if first else "," + page
            first = False
        yield "]"
    yield "}"


async def _pages(database: Database, user_id: str, table: str, alias: str, columns: str) -> AsyncIterator[str]:
    sql = f"""
SELECT string_agg(row_to_json(r)::text, ',' ORDER BY r.id) AS rows, (array_agg(r.id ORDER BY r.id DESC))[1] AS last
  FROM (SELECT {columns} FROM {table} {alias} WHERE {alias}.user_id = $1 AND {alias}.id > $2
         ORDER BY {alias}.id LIMIT {PAGE}) r"""
    last = NIL
    while True:
        async with database.connection() as connection:
            row = await fetch_one(connection, sql, user_id, last)
        if row["rows"] is None:
            return
        yield row["rows"]
        last = row["last"]


async def export_csv(database: Database, user_id: str) -> AsyncIterator[str]:
    """RFC 4180, one task a line, with the names of its project and labels."""
    yield ",".join(_CSV_COLUMNS) + "\r\n"
    last = NIL
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(_CSV, user_id, last)
        if not rows:
            return
        text = io.StringIO()
        csv.writer(text).writerows([_cell(row[column]) for column in _CSV_COLUMNS] for row in rows)
        yield text.getvalue()
        last = rows[-1]["id"]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    # A spreadsheet would run a cell that begins like this as a formula (OWASP, CSV injection).
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
