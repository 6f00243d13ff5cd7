"""What may happen to a project."""

from typing import Any
from uuid import UUID

from tandem.accounts.principal import Writer
from tandem.core.conditional import check_if_match
from tandem.core.db import Args
from tandem.core.errors import Conflict, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.momentum.changes.service import begin_write
from tandem.momentum.ordering import position_for
from tandem.momentum.projects.queries import ANCESTORS, FOR_UPDATE, HEIGHT, ONE, owned
from tandem.momentum.projects.schemas import ProjectCreate, ProjectMove, ProjectPatch
from tandem.momentum.projects.sql import JSON

MAX_LEVELS = 5
MAX_PROJECTS = 1000


class ProjectTooDeep(Conflict):
    code, title = "project_too_deep", "Projects go five levels deep at most"


class CircularProject(Conflict):
    code, title = "circular_project", "A project cannot be inside itself"


class TooManyProjects(Conflict):
    code, title = "too_many_projects", f"{MAX_PROJECTS} projects are the most one can have"


async def create_project(writer: Writer, data: ProjectCreate) -> Saved:
    await begin_write(writer)
    if data.id is not None and (row := await writer.connection.fetchrow(ONE, writer.user_id, data.id)):
        return Saved.of(row)
    if await writer.connection.fetchval(f"SELECT count(*) FROM projects p {owned()}", writer.user_id) >= MAX_PROJECTS:
        raise TooManyProjects()
    await _check_parent(writer, None, data.parent_id)
    row = await writer.connection.fetchrow(
        f"""INSERT INTO projects AS p (user_id, id, name, description, color, parent_id)
            VALUES ($1, $2, $3, $4, $5, $6) RETURNING {JSON} AS json, p.version""",
        writer.user_id,
        data.id or uuid7(),
        data.name,
        data.description,
        data.color,
        data.parent_id,
    )
    return Saved.of(row, created=True)


async def patch_project(writer: Writer, project_id: UUID, data: ProjectPatch, if_match: str | None) -> Saved:
    await _lock(writer, project_id, if_match)
    changes = data.model_dump(exclude_unset=True)
    if changes.get("parent_id") is not None:
        await _check_parent(writer, project_id, changes["parent_id"])
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    arg = Args([writer.user_id, project_id])
    given = []
    if (archived := changes.pop("archived", None)) is not None:
        given.append("archived_at = " + ("coalesce(p.archived_at, now())" if archived else "NULL"))
    types = {"parent_id": "uuid"}
    given += [f"{column} = {arg(value)}::{types.get(column, 'text')}" for column, value in changes.items()]
    sql = f"UPDATE projects p SET {', '.join(given)} {owned('p.id = $2')} RETURNING {JSON} AS json, p.version"
    return Saved.of(await writer.connection.fetchrow(sql, *arg))


async def move_project(writer: Writer, project_id: UUID, data: ProjectMove, if_match: str | None) -> Saved:
    await _lock(writer, project_id, if_match)
    position = await position_for(writer, "projects", project_id, data.before, data.after)
    row = await writer.connection.fetchrow(
        f"UPDATE projects p SET position = $3 {owned('p.id = $2')} RETURNING {JSON} AS json, p.version",
        writer.user_id,
        project_id,
        position,
    )
    return Saved.of(row)


async def delete_project(writer: Writer, project_id: UUID, *, trash_tasks: bool, if_match: str | None) -> None:
    """Projects inside it move up to its parent; its tasks stay without a project, or go to the trash."""
    project = await _lock(writer, project_id, if_match)
    await writer.connection.execute(  # the foreign key would do it too, but after the deletion is in the change log
        "UPDATE tasks SET project_id = NULL,"
        " deleted_at = CASE WHEN $3 THEN coalesce(deleted_at, now()) ELSE deleted_at END"
        " WHERE user_id = $1 AND project_id = $2",
        writer.user_id,
        project_id,
        trash_tasks,
    )
    await writer.connection.execute(
        "UPDATE projects SET parent_id = $3 WHERE user_id = $1 AND parent_id = $2",
        writer.user_id,
        project_id,
        project["parent_id"],
    )
    await writer.connection.execute(f"DELETE FROM projects p {owned('p.id = $2')}", writer.user_id, project_id)


async def _lock(writer: Writer, project_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.user_id, project_id, writer.principal.actor)
    if row is None:
        raise NotFound("You have no project with this id")
    check_if_match(if_match, row["version"])
    return row


async def _check_parent(writer: Writer, project_id: UUID | None, parent_id: UUID | None) -> None:
    if parent_id is None:
        return
    line = [row["id"] for row in await writer.connection.fetch(ANCESTORS, writer.user_id, parent_id)]
    if not line:
        raise NotFound("You have no project with this parent_id")
    if project_id in line:
        raise CircularProject()
    height = 1 if project_id is None else await writer.connection.fetchval(HEIGHT, writer.user_id, project_id)
    if len(line) + height > MAX_LEVELS:
        raise ProjectTooDeep()
