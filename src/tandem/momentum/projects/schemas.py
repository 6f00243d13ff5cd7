"""Shapes of the project API."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.momentum.fields import EXAMPLE_ID, Bool, Color, Description, Name


class ProjectCreate(Payload):
    id: UUID | None = Field(None, description="Make your own (UUIDv7) and a retried create finds the first.")
    name: Name
    description: Description = ""
    color: Color | None = None
    parent_id: UUID | None = Field(None, description="Puts it inside another project; five levels at most.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Home", "color": "#1971c2"}]})


class ProjectPatch(Patch):
    """Only the fields sent are touched; null clears."""

    name: Name = ""
    description: Description | None = None
    color: Color | None = None
    parent_id: UUID | None = None
    archived: Bool = False

    model_config = ConfigDict(json_schema_extra={"examples": [{"archived": True}]})


class ProjectMove(Payload):
    """Before or after another project, else to the end."""

    before: UUID | None = None
    after: UUID | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"after": EXAMPLE_ID}]})

    @model_validator(mode="after")
    def _one_place(self) -> "ProjectMove":
        if self.before is not None and self.after is not None:
            raise ValueError("give before or after, not both")
        return self


class ProjectOut(BaseModel):
    id: UUID
    name: str
    description: str
    color: str | None
    parent_id: UUID | None
    position: str
    archived: bool
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class ProjectPage(BaseModel):
    items: list[ProjectOut]
    total: int
    page: int
    limit: int
    pages: int


class ProjectFilter(PageQuery):
    archived: bool | None = Field(None, description="Only archived ones, or only others; default: all.")


class ProjectDelete(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tasks: Literal["keep", "trash"] = Field(
        "keep", description="keep: its tasks stay, without a project; trash: they go to the trash."
    )
