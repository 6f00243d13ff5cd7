"""Shapes of the label API."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.payloads import Patch, Payload
from tandem.momentum.fields import Color, Name


class LabelCreate(Payload):
    id: UUID | None = Field(None, description="Make your own (UUIDv7) and a retried create finds the first.")
    name: Name
    color: Color | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "errand", "color": "#e8590c"}]})


class LabelPatch(Patch):
    """Only the fields sent are touched; null clears the colour."""

    name: Name = ""
    color: Color | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "errands"}]})


class LabelOut(BaseModel):
    id: UUID
    name: str
    color: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class LabelPage(BaseModel):
    items: list[LabelOut]
    total: int
    page: int
    limit: int
    pages: int
