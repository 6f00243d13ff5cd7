"""HTTP of projects."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.accounts.access import reading, writing
from tandem.accounts.principal import Reader, Writer
from tandem.core.errors import Conflict, NotFound
from tandem.core.openapi import responses
from tandem.core.responses import entity_response
from tandem.core.saved import saved_response
from tandem.momentum.projects import queries, service
from tandem.momentum.projects.schemas import (
    ProjectCreate,
    ProjectDelete,
    ProjectFilter,
    ProjectMove,
    ProjectOut,
    ProjectPage,
    ProjectPatch,
)
from tandem.momentum.projects.service import CircularProject, ProjectTooDeep, TooManyProjects

router = APIRouter(prefix="/api/projects", tags=["projects"])
Read = Annotated[Reader, reading("projects:read")]
Write = Annotated[Writer, writing("projects:write")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if it is still at this ETag.")]
_CREATED: dict[int | str, Any] = {
    200: {"model": ProjectOut, "description": "The project that already has the `id` sent"}
}


@router.get("", response_model=ProjectPage)
async def list_projects(reader: Read, query: Annotated[ProjectFilter, Query()]) -> Response:
    """In the user's order, nested ones among them (`parent_id`)."""
    return (await queries.list_projects(reader.connection, reader.user_id, query)).response(query)


@router.post(
    "",
    response_model=ProjectOut,
    status_code=201,
    responses=_CREATED | responses(NotFound, ProjectTooDeep, TooManyProjects),
)
async def create_project(writer: Write, data: ProjectCreate) -> Response:
    """201 with the new project; 200 with the one that already has the `id` sent."""
    return saved_response(await service.create_project(writer, data))


@router.get("/{project_id}", response_model=ProjectOut)
async def get_project(reader: Read, project_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    row = await queries.get_project(reader.connection, reader.user_id, project_id)
    return entity_response(row, if_none_match)


@router.patch("/{project_id}", response_model=ProjectOut, responses=responses(CircularProject, ProjectTooDeep))
async def patch_project(writer: Write, project_id: UUID, data: ProjectPatch, if_match: IfMatch = None) -> Response:
    """Fields that are absent stay; null clears. `archived` hides it without touching its tasks."""
    return saved_response(await service.patch_project(writer, project_id, data, if_match))


@router.post("/{project_id}/move", response_model=ProjectOut, responses=responses(Conflict))
async def move_project(writer: Write, project_id: UUID, data: ProjectMove, if_match: IfMatch = None) -> Response:
    """Before or after another project, else to the end; into another one: PATCH parent_id."""
    return saved_response(await service.move_project(writer, project_id, data, if_match))


@router.delete("/{project_id}", status_code=204)
async def delete_project(
    writer: Write, project_id: UUID, query: Annotated[ProjectDelete, Query()], if_match: IfMatch = None
) -> None:
    """Projects inside it move up to its parent."""
    trash = query.tasks == "trash"
    await service.delete_project(writer, project_id, trash_tasks=trash, if_match=if_match)
