"""Shapes of the task API."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tandem.core.jobs.payload import JobPayload
from tandem.core.paging import KeysetQuery
from tandem.core.payloads import Patch, Payload
from tandem.momentum.fields import (
    EXAMPLE_ID,
    Bool,
    Day,
    Description,
    Ids,
    InstantOrDay,
    Title,
    WallTime,
    WallTimeOut,
    Zone,
)

Priority = Annotated[
    Literal["low", "medium", "high", "urgent"],
    BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v),
    Field(description="Case does not matter in requests."),
]
SortName = Literal[
    "position", "-position", "created_at", "-created_at", "updated_at", "-updated_at",
    "due", "-due", "priority", "-priority", "title", "-title", "relevance",
]  # fmt: skip


class TaskContent(Payload):
    """All of a task that its user writes. What is absent takes its default (PUT, POST) or stays (PATCH)."""

    description: Description = ""
    completed: Bool = False
    priority: Priority = "medium"
    project_id: UUID | None = None
    parent_id: UUID | None = Field(None, description="Makes this a subtask; five levels at most.")
    labels: Ids = Field([], max_length=50, description="Ids of labels.")
    due_date: Day | None = Field(None, description="A calendar day, the same in every zone.")
    due_time: WallTime | None = Field(None, description="Wall time on that day; needs due_date.")
    timezone: Zone | None = Field(None, description="IANA zone of due_time; default: the user's.")


class TaskReplace(TaskContent):
    title: Title

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Buy oat milk", "priority": "low"}]})


class TaskCreate(TaskReplace):
    id: UUID | None = Field(
        None, description="Make your own (UUIDv7) and a retried create finds the task instead of making a second one."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "Buy milk", "priority": "high", "due_date": "2026-12-24", "due_time": "09:00"}]
        }
    )


class TaskPatch(Patch):
    """Only the fields sent are touched; null clears."""

    title: Title = ""
    description: Description | None = None
    completed: Bool = False
    priority: Priority | None = None
    project_id: UUID | None = None
    parent_id: UUID | None = Field(None, description="Makes this a subtask; null: a task of its own.")
    labels: Annotated[Ids, Field(max_length=50)] | None = Field(None, description="Ids of labels; replaces all.")
    due_date: Day | None = None
    due_time: WallTime | None = None
    timezone: Zone | None = Field(None, description="IANA zone of due_time; null: the user's.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"completed": True}]})


class TaskMove(Payload):
    """Where to: another project or parent (null for none), and a place before or after another task, else the end."""

    project_id: UUID | None = None
    parent_id: UUID | None = None
    before: UUID | None = None
    after: UUID | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"before": EXAMPLE_ID}]})

    @model_validator(mode="after")
    def _one_place(self) -> "TaskMove":
        if self.before is not None and self.after is not None:
            raise ValueError("give before or after, not both")
        return self


class Highlight(BaseModel):
    """HTML-escaped text in which `<mark>` surrounds what was found."""

    title: str
    description: str


class TaskOut(BaseModel):
    id: UUID
    title: str
    description: str
    completed: bool
    completed_at: datetime | None
    priority: Literal["low", "medium", "high", "urgent"]
    project_id: UUID | None
    parent_id: UUID | None
    labels: list[UUID]
    position: str = Field(description="Orders bytewise; read-only, see move.")
    due_date: date | None
    due_time: WallTimeOut | None
    timezone: str | None
    due_at: datetime | None = Field(description="The instant that due_date, due_time and timezone name; read-only.")
    version: int = Field(description="Number of the change that made this state; also the ETag.")
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    highlight: Highlight | None = Field(None, description="Only in search results.")


class TaskPage(BaseModel):
    items: list[TaskOut]
    total: int | None = Field(description="Null with `cursor`, where counting would cost more than the page.")
    page: int | None
    limit: int
    pages: int | None
    next_cursor: str | None


class TaskFilter(KeysetQuery):
    search: str | None = Field(None, max_length=500, description="Words, each a prefix; no character is special.")
    project: UUID | Literal["none"] | None = Field(None, description="Of this project; `none`: of no project.")
    parent: UUID | Literal["none"] | None = Field(None, description="Subtasks of this task; `none`: no subtasks.")
    label: list[UUID] = Field([], max_length=20, description="Carrying all of these labels.")
    priority: list[Priority] = Field([], max_length=4, description="Any of these.")
    completed: bool | None = None
    due_before: InstantOrDay | None = Field(None, description="Due before this day, or this instant.")
    due_after: InstantOrDay | None = Field(None, description="Due after this day, or this instant.")
    overdue: bool | None = Field(None, description="Open and past due, by the user's clock.")
    sort: SortName | None = Field(None, description="Default: position, or relevance with `search`.")

    @model_validator(mode="after")
    def _relevance_needs_search(self) -> "TaskFilter":
        if self.sort == "relevance" and not self.search:
            raise ValueError("sort=relevance needs search")
        return self


class BulkDelete(Payload):
    task_ids: Ids = Field(min_length=1, max_length=200)

    model_config = ConfigDict(json_schema_extra={"examples": [{"task_ids": [EXAMPLE_ID]}]})


class BulkDeleted(BaseModel):
    deleted: int = Field(description="How many of the tasks named went to the trash.")
    not_found: list[UUID]


class _OnTask(Payload):
    id: UUID
    if_match: int | None = Field(None, strict=True, description="Only if this is still the task's version.")


class BulkCreate(Payload):
    op: Literal["create"]
    data: TaskCreate


class BulkUpdate(_OnTask):
    op: Literal["update"]
    data: TaskPatch


class BulkMove(_OnTask):
    op: Literal["move"]
    data: TaskMove


class BulkSimple(_OnTask):
    op: Literal["complete", "reopen", "delete", "restore"]


Operation = Annotated[BulkCreate | BulkUpdate | BulkMove | BulkSimple, Field(discriminator="op")]


class Bulk(Payload):
    operations: list[Operation] = Field(min_length=1, max_length=200)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "operations": [
                        {"op": "create", "data": {"title": "Buy milk"}},
                        {"op": "complete", "id": EXAMPLE_ID},
                        {"op": "update", "id": EXAMPLE_ID, "data": {"priority": "high"}, "if_match": 17},
                    ]
                }
            ]
        }
    )


class BulkOutcome(BaseModel):
    index: int
    status: int = Field(description="What the single request would have answered.")
    task: TaskOut | None
    error: dict[str, Any] | None = Field(description="Problem details when it failed.")


class BulkResult(BaseModel):
    """Operations ran in order in one transaction; those that failed changed nothing."""

    succeeded: int
    failed: int
    results: list[BulkOutcome]


class PurgeTrash(JobPayload, job_type="purge_trash"):
    """Job: delete for good what was in the trash for 30 days."""
