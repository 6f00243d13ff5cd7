"""What may happen to a task, and the writes that make it happen. The first statement of each opens the change log."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncpg import ForeignKeyViolationError

from tandem.accounts.principal import Writer
from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection
from tandem.core.errors import InvalidPayload, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.momentum.changes.service import BEGIN_WRITE, AccountDeleted, begin_write
from tandem.momentum.fields import instant
from tandem.momentum.labels.service import require_labels
from tandem.momentum.ordering import position_for
from tandem.momentum.tasks.placement import ProjectOfParent, move_subtree, place
from tandem.momentum.tasks.queries import FOR_UPDATE, SUBTREE, owned
from tandem.momentum.tasks.schemas import BulkDelete, TaskCreate, TaskMove, TaskPatch, TaskReplace
from tandem.momentum.tasks.sql import JSON, USER_ZONE

TRASH_DAYS = 30
PURGE_AT_ONCE = 1000
_TYPES = {
    "title": "text", "description": "text", "priority": "text::task_priority", "project_id": "uuid",
    "parent_id": "uuid", "labels": "uuid[]", "due_date": "date", "due_time": "time", "timezone": "text",
    "due_at": "timestamptz", "completed_at": "timestamptz", "position": "text",
}  # fmt: skip
_NULL_CLEARS = {"description": "", "priority": "medium", "labels": []}
_DUE = {"due_date", "due_time", "timezone"}


async def create_task(writer: Writer, data: TaskCreate) -> Saved:
    """A plain task costs one statement. With an id of the client's, a retry finds the task that the first try made."""
    values = data.model_dump(exclude={"id"})
    zone = "UTC"
    if data.id is not None or data.parent_id or data.labels or data.due_time:
        await begin_write(writer)
        if data.id is not None and (existing := await _existing(writer, data.id)):
            return existing
        await require_labels(writer, data.labels)
        values["project_id"] = await place(writer, None, data.parent_id, data.project_id)
        zone = await writer.connection.fetchval(f"SELECT {USER_ZONE}", writer.user_id)
    values |= _due(values, zone)
    values["completed_at"] = datetime.now(UTC) if values.pop("completed") else None
    arg = Args([writer.user_id, writer.principal.actor])
    given = [f"{arg(data.id or uuid7())}::uuid", *(f"{arg(v)}::{_TYPES[c]}" for c, v in values.items())]
    sql = f"""INSERT INTO tasks AS t (user_id, id, {", ".join(values)})
SELECT $1, {", ".join(given)} FROM momentum_begin_write($1, $2) RETURNING {JSON} AS json, t.version"""
    row = await _write(writer.connection, sql, arg)
    if row is None:
        raise AccountDeleted()
    return Saved.of(row, created=True)


async def replace_task(writer: Writer, task_id: UUID, data: TaskReplace, if_match: str | None) -> Saved:
    """PUT: what is absent takes its default, for a subtask its parent's project."""
    changes = data.model_dump()
    if data.parent_id is not None and data.project_id is None:
        del changes["project_id"]
    return await _change(writer, task_id, changes, if_match)


async def patch_task(writer: Writer, task_id: UUID, data: TaskPatch, if_match: str | None = None) -> Saved:
    """PATCH: touches the fields that were sent; null clears."""
    changes = data.model_dump(exclude_unset=True)
    changes |= {field: empty for field, empty in _NULL_CLEARS.items() if field in changes and changes[field] is None}
    return await _change(writer, task_id, changes, if_match)


async def complete_task(writer: Writer, task_id: UUID, if_match: str | None = None) -> Saved:
    return await _change(writer, task_id, {"completed": True}, if_match)


async def reopen_task(writer: Writer, task_id: UUID, if_match: str | None = None) -> Saved:
    return await _change(writer, task_id, {"completed": False}, if_match)


async def move_task(writer: Writer, task_id: UUID, data: TaskMove, if_match: str | None = None) -> Saved:
    """To another project, parent or place; to the end when no place is named."""
    changes = data.model_dump(exclude_unset=True, exclude={"before", "after"})
    task = await _lock(writer, task_id, if_match)
    changes["position"] = await position_for(writer, "tasks", task_id, data.before, data.after)
    return await _update(writer, task, changes)


async def delete_task(writer: Writer, task_id: UUID, if_match: str | None = None) -> None:
    """To the trash, with its subtasks."""
    await _lock(writer, task_id, if_match)
    await _trash(writer, [task_id])


async def delete_tasks(writer: Writer, data: BulkDelete) -> tuple[int, list[UUID]]:
    """How many of the tasks went to the trash, and which were not found."""
    await begin_write(writer)
    rows = await writer.connection.fetch(
        f"SELECT t.id FROM tasks t {owned('t.id = ANY($2::uuid[])', 't.deleted_at IS NULL')}",
        writer.user_id,
        data.task_ids,
    )
    found = {row["id"] for row in rows}
    await _trash(writer, list(found))
    return len(found), [task_id for task_id in data.task_ids if task_id not in found]


async def restore_task(writer: Writer, task_id: UUID, if_match: str | None = None) -> Saved:
    """Out of the trash, with the subtasks that went there with it; to the top level if its parent is still there.

    It returns to its place, or to the end when another task was put there meanwhile.
    """
    task = await _lock(writer, task_id, if_match, in_trash=True)
    await writer.connection.execute(
        f"""{SUBTREE}
UPDATE tasks t SET deleted_at = NULL,
       position = CASE WHEN EXISTS (
         SELECT FROM tasks o WHERE o.user_id = $1 AND o.position = t.position AND o.id <> t.id AND o.deleted_at IS NULL
       ) THEN NULL ELSE t.position END,
       parent_id = CASE WHEN t.id = ANY($2::uuid[]) AND EXISTS (
         SELECT FROM tasks p WHERE p.user_id = $1 AND p.id = t.parent_id AND p.deleted_at IS NOT NULL
       ) THEN NULL ELSE t.parent_id END
  FROM subtree s {owned("t.id = s.id", "t.deleted_at = $3")}""",
        writer.user_id,
        [task_id],
        task["deleted_at"],
    )
    saved = await _existing(writer, task_id)
    assert saved is not None  # noqa: S101 - locked above
    return saved


async def empty_trash(writer: Writer) -> int:
    """How many tasks are gone for good."""
    await begin_write(writer)
    done = await writer.connection.execute(f"DELETE FROM tasks t {owned('t.deleted_at IS NOT NULL')}", writer.user_id)
    return int(done.split()[-1])


async def purge_trash(connection: Connection, days: int = TRASH_DAYS) -> int:
    """Delete for good some of what has been in one user's trash for `days`; how many, 0 when nobody has any.

    For the maintenance worker, a user a transaction: locks of several users, held together, could deadlock.
    """
    old = "deleted_at < now() - make_interval(days => $1)"
    user_id = await connection.fetchval(f"SELECT user_id FROM tasks WHERE {old} ORDER BY deleted_at LIMIT 1", days)
    if user_id is None:
        return 0
    await connection.execute(BEGIN_WRITE, user_id, "service:worker")
    some = f"SELECT id FROM tasks WHERE {old} AND user_id = $2 LIMIT {PURGE_AT_ONCE}"
    done = await connection.execute(f"DELETE FROM tasks WHERE user_id = $2 AND id IN ({some})", days, user_id)
    return int(done.split()[-1])


async def _existing(writer: Writer, task_id: UUID) -> Saved | None:
    row = await writer.connection.fetchrow(
        f"SELECT {JSON} AS json, t.version FROM tasks t {owned('t.id = $2')}", writer.user_id, task_id
    )
    return Saved.of(row) if row else None


async def _lock(writer: Writer, task_id: UUID, if_match: str | None, *, in_trash: bool = False) -> Any:
    """Open the change log and read the task as it is now; raises NotFound, PreconditionFailed."""
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.user_id, task_id, writer.principal.actor)
    if row is None or (row["deleted_at"] is not None and not in_trash):
        raise NotFound("You have no task with this id")
    check_if_match(if_match, row["version"])
    return row


async def _change(writer: Writer, task_id: UUID, changes: dict[str, Any], if_match: str | None) -> Saved:
    return await _update(writer, await _lock(writer, task_id, if_match), changes)


async def _update(writer: Writer, task: Any, changes: dict[str, Any]) -> Saved:
    await require_labels(writer, changes.get("labels", []))
    if "parent_id" in changes or "project_id" in changes:
        parent_id = changes.get("parent_id", task["parent_id"])
        wanted = changes.get("project_id") if "project_id" in changes or parent_id else task["project_id"]
        project_id = await place(writer, task["id"], parent_id, wanted)
        if changes.get("project_id", project_id) != project_id:
            raise ProjectOfParent()
        changes["project_id"] = project_id
        if changes["project_id"] != task["project_id"]:
            await _in_known_project(move_subtree(writer, task["id"], changes["project_id"]))
    if not _DUE.isdisjoint(changes):
        merged = {field: changes.get(field, task[field]) for field in _DUE}
        if merged["due_date"] is None and "due_time" not in changes:
            merged["due_time"] = None  # without its day, a time means nothing
        changes |= _due(merged, task["user_zone"])
    if (completed := changes.pop("completed", None)) is not None:
        changes["completed_at"] = (task["completed_at"] or datetime.now(UTC)) if completed else None
    arg = Args([writer.user_id, task["id"]])
    given = ", ".join(f"{column} = {arg(value)}::{_TYPES[column]}" for column, value in changes.items())
    sql = f"UPDATE tasks t SET {given} {owned('t.id = $2')} RETURNING {JSON} AS json, t.version"
    return Saved.of(await _write(writer.connection, sql, arg))


def _due(fields: dict[str, Any], user_zone: str) -> dict[str, Any]:
    """due_date, due_time, timezone and the instant they name; raises InvalidPayload for a time without a day."""
    day, at, zone = fields["due_date"], fields["due_time"], fields["timezone"]
    if at is None:
        return {"due_date": day, "due_time": None, "timezone": zone, "due_at": None}
    if day is None:
        raise InvalidPayload.of("due_time", "needs due_date", "due_time_without_date")
    zone = zone or user_zone
    return {"due_date": day, "due_time": at, "timezone": zone, "due_at": instant(day, at, zone)}


async def _trash(writer: Writer, task_ids: list[UUID]) -> None:
    await writer.connection.execute(
        f"""{SUBTREE}
UPDATE tasks t SET deleted_at = now() FROM (SELECT DISTINCT id FROM subtree) s
 {owned("t.id = s.id", "t.deleted_at IS NULL")}""",
        writer.user_id,
        task_ids,
    )


async def _write(connection: Connection, sql: str, arg: Args) -> Any:
    return await _in_known_project(connection.fetchrow(sql, *arg))


async def _in_known_project(statement: Any) -> Any:
    """The foreign key knows whether the project is this user's; asking first would cost a round trip."""
    try:
        return await statement
    except ForeignKeyViolationError as error:
        if "project" not in (error.constraint_name or ""):
            raise
        raise NotFound("You have no project with this id") from None
