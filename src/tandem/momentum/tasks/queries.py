"""SELECTs of tasks. Each starts from `owned`, the one place where rows are filtered by their owner ($1)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import DataError

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import InvalidCursor, KeysetQuery, Page, decode_cursor, encode_cursor
from tandem.momentum.tasks.schemas import TaskFilter
from tandem.momentum.tasks.sql import COLUMNS, DUE_DATE, DUE_TIME, JSON, OVERDUE, USER_ZONE

LIVE = "t.deleted_at IS NULL"


def owned(*conditions: str) -> str:
    """The WHERE clause of one user's tasks; the user is always $1."""
    return "WHERE " + " AND ".join(("t.user_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, t.version FROM tasks t {owned('t.id = $2', LIVE)}"

# Opens the change log and locks the row in one round trip; FOR UPDATE reads what the last writer committed.
FOR_UPDATE = f"""
SELECT t.id, t.version, t.project_id, t.parent_id, t.due_date, t.due_time, t.timezone, t.completed_at, t.deleted_at,
       t.position, {USER_ZONE} AS user_zone
  FROM momentum_begin_write($1, $3) w, tasks t {owned("t.id = $2")} FOR UPDATE OF t"""

SUBTREE = f"""
WITH RECURSIVE subtree AS (
  SELECT t.id, t.deleted_at, 1 AS height FROM tasks t {owned("t.id = ANY($2::uuid[])")}
  UNION ALL
  SELECT t.id, t.deleted_at, s.height + 1 FROM tasks t JOIN subtree s ON t.parent_id = s.id {owned()}
)"""

ANCESTORS = f"""
WITH RECURSIVE line AS (
  SELECT t.id, t.parent_id, t.project_id, 1 AS level FROM tasks t {owned("t.id = $2", LIVE)}
  UNION ALL
  SELECT t.id, t.parent_id, t.project_id, l.level + 1 FROM tasks t JOIN line l ON t.id = l.parent_id {owned()}
) SELECT id, project_id, level FROM line"""


@dataclass(frozen=True)
class Sort:
    """SQL expressions (and the types their text form is cast back to) that order a list; the id breaks ties."""

    expressions: tuple[tuple[str, str], ...]
    descending: bool = False

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        return (*self.expressions, ("t.id", "uuid"))

    def order_by(self) -> str:
        direction = "DESC" if self.descending else "ASC"
        return ", ".join(f"{expression} {direction}" for expression, _ in self.keys)

    def after(self, values: list[Any], arg: Args) -> str:
        """The condition for rows that come after the one with these values."""
        left = ", ".join(expression for expression, _ in self.keys)
        right = ", ".join(f"{arg(v)}::text::{kind}" for v, (_, kind) in zip(values, self.keys, strict=True))
        return f"({left}) {'<' if self.descending else '>'} ({right})"


_ASCENDING = {
    "position": (("t.position", "text"),),
    "created_at": (("t.created_at", "timestamptz"),),
    "updated_at": (("t.version", "bigint"),),  # versions grow with every update of this user's data, and are indexed
    "due": ((DUE_DATE, "date"), (DUE_TIME, "time")),
    "priority": (("t.priority", "task_priority"),),
    "title": (("lower(t.title)", "text"),),
}
# Descending by due date, what has none still comes last.
_DUE_DESCENDING = (("coalesce(due_date, '-infinity'::date)", "date"), ("coalesce(due_time, '00:00'::time)", "time"))
SORTS = (
    {name: Sort(keys) for name, keys in _ASCENDING.items()}
    | {f"-{name}": Sort(keys, descending=True) for name, keys in _ASCENDING.items()}
    | {"-due": Sort(_DUE_DESCENDING, descending=True)}
)


async def list_tasks(connection: Connection, user_id: str, query: TaskFilter) -> Page:
    """One page in one statement; raises InvalidCursor."""
    arg = Args([user_id])
    conditions = [LIVE, *_conditions(query, arg)]
    name = query.sort or ("relevance" if query.search else "position")
    columns = COLUMNS
    if query.search:
        words = arg(query.search)
        wanted = f"(SELECT momentum_query($1, {words}))"  # a subselect is evaluated once, not for every row
        conditions.append(f"t.search @@ {wanted}")
        columns += f", {_highlight(f'(SELECT momentum_words({words}))')} AS highlight"
        relevance = Sort(((f"ts_rank_cd(t.search, {wanted})", "real"),), descending=True)
    sort = relevance if name == "relevance" else SORTS[name]
    return await _page(connection, query, name=name, sort=sort, columns=columns, conditions=conditions, arg=arg)


async def list_trash(connection: Connection, user_id: str, query: KeysetQuery) -> Page:
    sort = Sort((("t.deleted_at", "timestamptz"),), descending=True)
    conditions = ["t.deleted_at IS NOT NULL"]
    return await _page(
        connection, query, name="trash", sort=sort, columns=COLUMNS, conditions=conditions, arg=Args([user_id])
    )


async def _page(
    connection: Connection, query: KeysetQuery, *, name: str, sort: Sort, columns: str, conditions: list[str], arg: Args
) -> Page:
    where = owned(*conditions)
    total = "NULL::bigint"
    offset = ""
    limit = arg(query.limit)
    if query.cursor is None:
        total = f"(SELECT count(*) FROM tasks t {where})"
        offset = f"OFFSET {arg((query.page - 1) * query.limit)}"
    elif query.cursor:
        values = decode_cursor(query.cursor, name, len(sort.keys))
        if not all(isinstance(value, str) for value in values):
            raise InvalidCursor()
        where += " AND " + sort.after(values, arg)
    keys = ", ".join(f"({expression})::text" for expression, _ in sort.keys)
    # One row more than asked for tells whether there is a next page.
    sql = f"""
SELECT coalesce(json_agg(p.item) FILTER (WHERE p.n <= {limit}), '[]')::text AS items,
       max(p.keys) FILTER (WHERE p.n = {limit}) AS last, count(*) > {limit} AS more, {total} AS total
  FROM (SELECT row_to_json((SELECT r FROM (SELECT {columns}) r)) AS item, ARRAY[{keys}] AS keys,
               row_number() OVER () AS n
          FROM (SELECT * FROM tasks t {where} ORDER BY {sort.order_by()} LIMIT {limit} + 1 {offset}) t) p"""
    try:
        row = await fetch_one(connection, sql, *arg)
    except DataError:
        if not query.cursor:
            raise
        raise InvalidCursor() from None  # its values come from outside, and Postgres casts them
    return Page(row["items"], row["total"], encode_cursor(name, *row["last"]) if row["more"] else None)


def _conditions(query: TaskFilter, arg: Args) -> list[str]:
    found = []
    for column, value in (("project_id", query.project), ("parent_id", query.parent)):
        if value is not None:
            found.append(f"t.{column} " + ("IS NULL" if value == "none" else f"= {arg(value)}"))
    if query.label:
        found.append(f"t.labels @> {arg(query.label)}::uuid[]")
    if query.priority:
        found.append(f"t.priority = ANY({arg(query.priority)}::text[]::task_priority[])")
    if query.completed is not None:
        found.append(f"t.completed_at IS {'NOT ' if query.completed else ''}NULL")
    if query.due_before is not None:
        found.append(_due("<", query.due_before, arg))
    if query.due_after is not None:
        found.append(_due(">", query.due_after, arg))
    if query.overdue is not None:
        found.append(f"{'' if query.overdue else 'NOT '}({OVERDUE})")
    return found


def _due(operator: str, bound: Any, arg: Args) -> str:
    given = f"t.due_date IS NOT NULL AND {DUE_DATE}"
    if not isinstance(bound, datetime):
        return f"({given} {operator} {arg(bound)}::date)"
    moment = f"{arg(bound)}::timestamptz"
    day = f"({moment} AT TIME ZONE {USER_ZONE})::date"
    return (
        f"({given} IS NOT NULL"
        f" AND CASE WHEN t.due_at IS NULL THEN t.due_date {operator} {day} ELSE t.due_at {operator} {moment} END)"
    )


def _highlight(words: str) -> str:
    """Found words in <mark>, everything else escaped.

    While Postgres looks for words, control characters stand for the marks and for what `tasks.search` takes out of the
    text; those that the text itself contains are left out.
    """

    def marked(column: str, options: str) -> str:
        text = rf"translate({column}, E'<&/.@-+\x02\x03\x04\x05\x06\x07\x08\x0e\x0f', E'\x04\x05\x06\x07\x08\x0e\x0f')"
        found = rf"ts_headline('simple', {text}, {words}, E'StartSel=\x02, StopSel=\x03, {options}')"
        headline = rf"translate({found}, E'\x06\x07\x08\x0e\x0f', '/.@-+')"
        escapes = {r"\x05": "&amp;", r"\x04": "&lt;", ">": "&gt;", '"': "&quot;", r"\x02": "<mark>", r"\x03": "</mark>"}
        for character, escaped in escapes.items():
            headline = f"replace({headline}, E'{character}', '{escaped}')"
        return headline

    title = marked("t.title", "HighlightAll=true")
    description = marked("t.description", "MaxFragments=2, MinWords=5, MaxWords=20")
    return f"json_build_object('title', {title}, 'description', {description})"


async def get_task(connection: Connection, user_id: str, task_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, user_id, task_id)
    if row is None:
        raise NotFound("You have no task with this id")
    return row
