"""Shapes of the segment API."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.fields import Line
from tandem.market_ai.leads.fields import FilterText

Name = Annotated[Line, Field(max_length=100)]
_FILTER = 'consent = granted and tags has "vip" and attributes.visits >= 3'


class SegmentCreate(Payload):
    name: Name
    filter: FilterText

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Regulars", "filter": _FILTER}]})


class SegmentPatch(Patch):
    """Only the fields sent are touched."""

    name: Name = ""
    filter: FilterText = ""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filter": "created_at > 30 days ago"}]})


class SegmentOut(BaseModel):
    id: UUID
    name: str
    filter: str
    version: int
    created_at: datetime
    updated_at: datetime


class SegmentPage(BaseModel):
    items: list[SegmentOut]
    total: int
    page: int
    limit: int
    pages: int


class SegmentFilter(PageQuery):
    q: Annotated[Line, Field(max_length=100)] | None = Field(None, description="Part of the name, whatever its case.")


class PreviewQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    filter: FilterText = Field(examples=[_FILTER])


class Preview(BaseModel):
    leads: int = Field(description="How many the filter selects now.")
    mailable: int = Field(description="How many of them consent and are not suppressed.")
