"""Shapes of export and import. An import takes what an export gives; what is read-only is accepted and ignored."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from tandem.core.payloads import Payload
from tandem.momentum.fields import EXAMPLE_ID, Color, Day, Description, Ids, Name, Title, WallTime, Zone
from tandem.momentum.tasks.schemas import Priority

FORMAT = "tandem.momentum/1"


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str | datetime):
        return value
    raise PydanticCustomError("invalid_format", "must be a string of the form 2026-11-22T09:00:00Z")


Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime.fromisoformat("1900-01-01T00:00:00Z"), le=datetime.fromisoformat("2999-12-31T00:00:00Z")),
    BeforeValidator(_text),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class ExportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal["json", "csv"] = Field("json", description="json: everything, can be imported; csv: the tasks.")


class _Imported(Payload):
    version: Any = None
    updated_at: Any = None
    created_at: Moment | None = None


class ImportLabel(_Imported):
    id: UUID
    name: Name
    color: Color | None = None


class ImportProject(_Imported):
    id: UUID
    name: Name
    description: Description = ""
    color: Color | None = None
    parent_id: UUID | None = None
    position: str = Field("", max_length=300, description="Only the order counts.")
    archived: Any = None
    archived_at: Moment | None = None


class ImportTask(_Imported):
    id: UUID
    title: Title
    description: Description = ""
    completed: Any = None
    completed_at: Moment | None = None
    priority: Priority = "medium"
    project_id: UUID | None = None
    parent_id: UUID | None = None
    labels: Annotated[Ids, Field(max_length=50)] = []
    position: str = Field("", max_length=300, description="Only the order counts.")
    due_date: Day | None = None
    due_time: WallTime | None = None
    timezone: Zone | None = None
    due_at: Any = None
    deleted_at: Moment | None = None


class ImportSettings(_Imported):
    timezone: Zone = "UTC"
    week_start: Literal["monday", "saturday", "sunday"] = "monday"


class ImportData(Payload):
    """What GET /api/export?format=json gave. Rows whose id you already have are left as they are."""

    format: Literal["tandem.momentum/1"]
    exported_at: Any = None
    settings: ImportSettings | None = None
    projects: list[ImportProject] = Field([], max_length=1000)
    labels: list[ImportLabel] = Field([], max_length=500)
    tasks: list[ImportTask] = Field([], max_length=100_000)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"format": FORMAT, "tasks": [{"id": EXAMPLE_ID, "title": "Buy milk"}]}]}
    )


class Counts(BaseModel):
    projects: int
    labels: int
    tasks: int


class ImportResult(BaseModel):
    imported: Counts
    skipped: Counts = Field(description="Already there: importing the same file twice changes nothing.")
