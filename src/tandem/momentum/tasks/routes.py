"""HTTP of tasks and the trash."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from tandem.accounts.access import reading, writing
from tandem.accounts.principal import Reader, Writer
from tandem.core.conditional import etag, not_modified
from tandem.core.errors import Conflict, NotFound
from tandem.core.openapi import responses
from tandem.core.paging import KeysetQuery
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.momentum.tasks import queries, service
from tandem.momentum.tasks.bulk import run_bulk
from tandem.momentum.tasks.placement import CircularParent, ProjectOfParent, TooDeep
from tandem.momentum.tasks.schemas import (
    Bulk,
    BulkDelete,
    BulkDeleted,
    BulkResult,
    TaskCreate,
    TaskFilter,
    TaskMove,
    TaskOut,
    TaskPage,
    TaskPatch,
    TaskReplace,
)

router = APIRouter(prefix="/api", tags=["tasks"])
Read = Annotated[Reader, reading("tasks:read")]
Write = Annotated[Writer, writing("tasks:write")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if the task is still at this ETag; else 412.")]
IfNoneMatch = Annotated[str | None, Header(max_length=200, description="304 if the task is still at this ETag.")]
_PLACED = responses(TooDeep, CircularParent, ProjectOfParent)
_CREATED: dict[int | str, Any] = {200: {"model": TaskOut, "description": "The task that already has the `id` sent"}}


@router.get("/tasks", response_model=TaskPage)
async def list_tasks(reader: Read, query: Annotated[TaskFilter, Query()]) -> Response:
    page = await queries.list_tasks(reader.connection, reader.user_id, query)
    return page.response(query)


@router.post(
    "/tasks",
    response_model=TaskOut,
    status_code=201,
    responses=_CREATED | responses(NotFound, TooDeep, ProjectOfParent),
)
async def create_task(writer: Write, data: TaskCreate) -> Response:
    """201 with the new task; 200 with the task that already has the `id` sent."""
    return saved_response(await service.create_task(writer, data))


@router.post("/tasks/bulk", response_model=BulkResult)
async def bulk_tasks(writer: Write, data: Bulk, request: Request) -> Response:
    """Up to 200 operations in one transaction; each succeeds or fails by itself."""
    return json_response(await run_bulk(writer, data, request.scope.get("tandem.request_id")))


@router.post("/tasks/bulk-delete", response_model=BulkDeleted)
async def bulk_delete_tasks(writer: Write, data: BulkDelete) -> BulkDeleted:
    """To the trash, subtasks included."""
    deleted, not_found = await service.delete_tasks(writer, data)
    return BulkDeleted(deleted=deleted, not_found=not_found)


@router.get("/tasks/{task_id}", response_model=TaskOut)
async def get_task(reader: Read, task_id: UUID, if_none_match: IfNoneMatch = None) -> Response:
    row = await queries.get_task(reader.connection, reader.user_id, task_id)
    if not_modified(if_none_match, row["version"]):
        return Response(status_code=304, headers={"ETag": etag(row["version"])})
    return json_response(row["json"], version=row["version"])


@router.put("/tasks/{task_id}", response_model=TaskOut, responses=_PLACED)
async def replace_task(writer: Write, task_id: UUID, data: TaskReplace, if_match: IfMatch = None) -> Response:
    """Fields that are absent take their defaults."""
    return saved_response(await service.replace_task(writer, task_id, data, if_match))


@router.patch("/tasks/{task_id}", response_model=TaskOut, responses=_PLACED)
async def patch_task(writer: Write, task_id: UUID, data: TaskPatch, if_match: IfMatch = None) -> Response:
    """Fields that are absent stay; null clears."""
    return saved_response(await service.patch_task(writer, task_id, data, if_match))


@router.delete("/tasks/{task_id}", status_code=204)
async def delete_task(writer: Write, task_id: UUID, if_match: IfMatch = None) -> None:
    """To the trash, subtasks included."""
    await service.delete_task(writer, task_id, if_match)


@router.post("/tasks/{task_id}/complete", response_model=TaskOut)
async def complete_task(writer: Write, task_id: UUID, if_match: IfMatch = None) -> Response:
    return saved_response(await service.complete_task(writer, task_id, if_match))


@router.post("/tasks/{task_id}/reopen", response_model=TaskOut)
async def reopen_task(writer: Write, task_id: UUID, if_match: IfMatch = None) -> Response:
    return saved_response(await service.reopen_task(writer, task_id, if_match))


@router.post(
    "/tasks/{task_id}/move",
    response_model=TaskOut,
    responses=responses(Conflict, TooDeep, CircularParent, ProjectOfParent),
)
async def move_task(writer: Write, task_id: UUID, data: TaskMove, if_match: IfMatch = None) -> Response:
    """To another project, parent or place; only the moved task gets a new position."""
    return saved_response(await service.move_task(writer, task_id, data, if_match))


@router.post("/tasks/{task_id}/restore", response_model=TaskOut)
async def restore_task(writer: Write, task_id: UUID, if_match: IfMatch = None) -> Response:
    """Out of the trash, with the subtasks that went there with it."""
    return saved_response(await service.restore_task(writer, task_id, if_match))


@router.get("/trash", response_model=TaskPage)
async def list_trash(reader: Read, query: Annotated[KeysetQuery, Query()]) -> Response:
    """Deleted tasks, the latest first. They are gone for good after 30 days."""
    page = await queries.list_trash(reader.connection, reader.user_id, query)
    return page.response(query)


@router.delete("/trash", status_code=204)
async def empty_trash(writer: Write) -> None:
    """Delete for good all that is in the trash."""
    await service.empty_trash(writer)
