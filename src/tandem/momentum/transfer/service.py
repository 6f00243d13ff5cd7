"""Import: what an export gave, back into an account. Idempotent: rows whose id is already there are left alone."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from tandem.accounts.principal import Writer
from tandem.core.errors import InvalidPayload
from tandem.momentum.changes.service import begin_write
from tandem.momentum.fields import instant
from tandem.momentum.labels.service import MAX_LABELS, TooManyLabels
from tandem.momentum.projects.service import MAX_PROJECTS, TooManyProjects
from tandem.momentum.transfer.schemas import Counts, ImportData, ImportProject, ImportResult, ImportTask

MAX_LEVELS = 5
ROWS_AT_ONCE = 1000
Row = TypeVar("Row", ImportProject, ImportTask)
_COLUMNS = {
    "projects": "id uuid, name text, description text, color text, parent_id uuid, archived_at timestamptz,"
    " created_at timestamptz",
    "labels": "id uuid, name text, color text, created_at timestamptz",
    "tasks": "id uuid, title text, description text, completed_at timestamptz, priority task_priority,"
    " project_id uuid, parent_id uuid, labels uuid[], due_date date, due_time time, timezone text, due_at timestamptz,"
    " deleted_at timestamptz, created_at timestamptz",
}
_PARENTS = {
    "tasks": "SELECT t.id, t.parent_id, t.project_id, t.deleted_at FROM tasks t WHERE t.user_id = $1",
    "projects": "SELECT p.id, p.parent_id FROM projects p WHERE p.user_id = $1",
}


async def import_data(writer: Writer, data: ImportData) -> ImportResult:
    """Raises InvalidPayload when parents form a circle or go too deep; then nothing is imported."""
    await begin_write(writer)
    # Rows go in by the thousand and in the user's order, so a child may come before its parent.
    await writer.connection.execute("SET CONSTRAINTS ALL DEFERRED")
    if data.settings is not None:
        await writer.connection.execute(
            "INSERT INTO user_settings (user_id, timezone, week_start) SELECT $1, $2, $3"
            " WHERE NOT EXISTS (SELECT FROM user_settings WHERE user_id = $1)",
            writer.user_id,
            data.settings.timezone,
            data.settings.week_start,
        )
    label_ids = await _import_labels(writer, data)
    projects = await _import_projects(writer, data.projects)
    tasks = await _import_tasks(writer, data.tasks, label_ids)
    imported = Counts(projects=projects, labels=label_ids.made, tasks=tasks)
    return ImportResult(
        imported=imported,
        skipped=Counts(
            projects=len(data.projects) - projects,
            labels=len(data.labels) - label_ids.made,
            tasks=len(data.tasks) - tasks,
        ),
    )


class _LabelIds(dict[UUID, UUID]):
    """The label that stands for each imported one: itself, or the user's own of the same name."""

    made = 0


async def _import_labels(writer: Writer, data: ImportData) -> _LabelIds:
    rows = await writer.connection.fetch(
        "SELECT id, lower(name) AS name FROM labels WHERE user_id = $1", writer.user_id
    )
    ids = _LabelIds({row["id"]: row["id"] for row in rows})
    by_name = {row["name"]: row["id"] for row in rows}
    new = []
    folded = await writer.connection.fetchval(  # by the database, whose rules the unique index follows
        "SELECT array_agg(lower(n) ORDER BY i) FROM unnest($1::text[]) WITH ORDINALITY u(n, i)",
        [label.name for label in data.labels],
    )
    for label, name in zip(data.labels, folded or [], strict=True):
        if label.id not in ids:
            ids[label.id] = by_name.setdefault(name, label.id)
            if ids[label.id] == label.id:
                new.append(_row(label, "name", "color", "created_at"))
    if len(rows) + len(new) > MAX_LABELS:
        raise TooManyLabels()
    ids.made = await _insert(writer, "labels", new)
    return ids


async def _import_projects(writer: Writer, projects: list[ImportProject]) -> int:
    there = await _parents(writer, "projects")
    new = _new(projects, there)
    if len(there) + len(new) > MAX_PROJECTS:
        raise TooManyProjects()
    _check_levels("projects", {p.id: p.parent_id for p in new}, there)
    known = there.keys() | {p.id for p in new}
    rows = []
    for project in sorted(new, key=lambda p: p.position):
        row = _row(project, "name", "description", "color", "archived_at", "created_at")
        rows.append(row | {"parent_id": project.parent_id if project.parent_id in known else None})
    return await _insert(writer, "projects", rows)


async def _import_tasks(writer: Writer, tasks: list[ImportTask], label_ids: _LabelIds) -> int:
    there = await _parents(writer, "tasks")
    projects = (await _parents(writer, "projects")).keys()
    new = _new(tasks, there)
    parents = {t.id: t.parent_id for t in new}
    _check_levels("tasks", parents, there)
    trash = {t.id for t in new if t.deleted_at} | {key for key, value in there.items() if value["deleted_at"]}
    # What lives is not inside what is in the trash, or emptying that would take it along.
    parents = {t: None if parent in trash and t not in trash else parent for t, parent in parents.items()}
    homes: dict[UUID, UUID | None] = {t.id: t.project_id if t.project_id in projects else None for t in new}
    homes |= {key: value["project_id"] for key, value in there.items()}
    rows = []
    for task in sorted(new, key=lambda t: t.position):
        root = task.id
        while (parent := parents.get(root)) in homes:
            root = parent
        row = _row(task, "title", "description", "completed_at", "priority", "deleted_at", "created_at") | _due(task)
        row["labels"] = list(dict.fromkeys(label_ids[label] for label in task.labels if label in label_ids))
        parent_id = parents[task.id]
        row |= {"parent_id": parent_id if parent_id in homes else None, "project_id": homes[root]}
        rows.append(row)
    return await _insert(writer, "tasks", rows)


def _due(task: ImportTask) -> dict[str, Any]:
    timed = task.due_date is not None and task.due_time is not None
    zone = task.timezone or ("UTC" if timed else None)
    due_at = instant(task.due_date, task.due_time, zone) if task.due_date and task.due_time and zone else None
    due_time = task.due_time if timed else None
    return {"due_date": task.due_date, "due_time": due_time, "timezone": zone, "due_at": due_at}


async def _parents(writer: Writer, table: str) -> dict[UUID, Any]:
    return {row["id"]: row for row in await writer.connection.fetch(_PARENTS[table], writer.user_id)}


def _new(rows: list[Row], there: Mapping[UUID, Any]) -> list[Row]:
    """Those not there yet; of one id the first."""
    found: dict[UUID, Row] = {}
    for row in rows:
        if row.id not in there:
            found.setdefault(row.id, row)
    return list(found.values())


def _check_levels(field: str, parents: Mapping[UUID, UUID | None], there: Mapping[UUID, Any]) -> None:
    for index, row in enumerate(parents):
        level = 0
        at: UUID | None = row
        while at is not None and level <= MAX_LEVELS:
            level += 1
            at = parents[at] if at in parents else there[at]["parent_id"] if at in there else None
            if at is not None and at not in parents and at not in there:
                at = None
        if level > MAX_LEVELS:
            message = f"{row} is in a circle of parents, or more than {MAX_LEVELS} levels deep"
            raise InvalidPayload.of(f"{field}.{index}.parent_id", message, "too_deep")


def _row(source: Any, *fields: str) -> dict[str, Any]:
    return {"id": source.id} | {field: getattr(source, field) for field in fields}


async def _insert(writer: Writer, table: str, rows: list[dict[str, Any]]) -> int:
    """How many rows. Each statement is short, for the statement time-out and for the requests that wait."""
    columns = [column.split()[0] for column in _COLUMNS[table].split(", ")]
    values = ", ".join(f"coalesce(r.{c}, now())" if c == "created_at" else f"r.{c}" for c in columns)
    sql = f"""INSERT INTO {table} (user_id, {", ".join(columns)})
SELECT $1, {values} FROM ROWS FROM (jsonb_to_recordset($2::jsonb) AS ({_COLUMNS[table]})) WITH ORDINALITY r
 ORDER BY r.ordinality"""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = json.dumps(rows[start : start + ROWS_AT_ONCE], default=str)
        await writer.connection.execute(sql, writer.user_id, some)
    return len(rows)
