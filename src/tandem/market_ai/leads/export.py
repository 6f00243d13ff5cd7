"""Export: streamed in pages that each take a connection for one statement only, so that a slow reader holds none.

Pages follow the ids, so whoever is there from start to end is exported once.
"""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, Database, fetch_one
from tandem.core.errors import Conflict
from tandem.market_ai.csv_cells import guarded
from tandem.market_ai.leads.queries import owned
from tandem.market_ai.leads.sql import COLUMNS, compile_filter

PAGE = 1000
MAX_ATTRIBUTE_COLUMNS = 500
NIL = UUID(int=0)
FIELDS = (
    "id", "email", "name", "tags", "consent", "consent_at", "consent_source", "timezone", "locale", "suppressed",
    "created_at", "updated_at",
)  # fmt: skip


class TooManyColumns(Conflict):
    code, title = "too_many_columns", "The leads have too many attributes for the columns of a table; export JSON"


async def attribute_names(connection: Connection, org_id: str, text: str | None) -> list[str]:
    """Of all leads that will be exported; raises TooManyColumns."""
    arg = Args([org_id])
    rows = await connection.fetch(
        f"""SELECT DISTINCT k.name FROM leads l, jsonb_object_keys(l.attributes) AS k (name) {_selected(text, arg)}
             ORDER BY k.name LIMIT {MAX_ATTRIBUTE_COLUMNS + 1}""",
        *arg,
    )
    if len(rows) > MAX_ATTRIBUTE_COLUMNS:
        raise TooManyColumns()
    return [row["name"] for row in rows]


async def export_json(database: Database, org_id: str, text: str | None) -> AsyncIterator[str]:
    """An array of leads as the API shows them."""
    arg = Args([org_id, NIL])
    sql = f"""
SELECT string_agg(row_to_json(r)::text, ',' ORDER BY r.id) AS rows, (array_agg(r.id ORDER BY r.id DESC))[1] AS last
  FROM (SELECT {COLUMNS} FROM leads l {_selected(text, arg)} AND l.id > $2 ORDER BY l.id LIMIT {PAGE}) r"""
    yield "["
    separator = ""
    while True:
        async with database.connection() as connection:
            row = await fetch_one(connection, sql, *arg)
        if row["rows"] is None:
            break
        yield separator + row["rows"]
        separator, arg[1] = ",", row["last"]
    yield "]"


async def export_csv(database: Database, org_id: str, text: str | None, attributes: list[str]) -> AsyncIterator[str]:
    """RFC 4180, one lead a line, in columns that an import understands."""
    arg = Args([org_id, NIL])
    sql = f"""
SELECT r.*, r.attributes::text AS attributes_json FROM (
  SELECT {COLUMNS} FROM leads l {_selected(text, arg)} AND l.id > $2 ORDER BY l.id LIMIT {PAGE}) r ORDER BY r.id"""
    yield _lines([[*FIELDS, *(f"attributes.{name}" for name in attributes)]])
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(sql, *arg)
        if not rows:
            return
        yield _lines(_cells(row, attributes) for row in rows)
        arg[1] = rows[-1]["id"]


def _selected(text: str | None, arg: Args) -> str:
    """$1 is the organization."""
    conditions = ["l.erased_at IS NULL"]
    if text is not None:
        conditions.append(compile_filter(text, arg)[0])
    return owned(*conditions)


def _cells(row: Any, attributes: list[str]) -> list[str]:
    values = json.loads(row["attributes_json"])
    return [_cell(row[name]) for name in FIELDS] + [_cell(values.get(name)) for name in attributes]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int | float):
        return str(value)
    return guarded(", ".join(value) if isinstance(value, list) else str(value))


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
