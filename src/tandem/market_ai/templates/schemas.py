"""Shapes of the template API."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.fields import Line, Text

TemplateName = Annotated[Line, Field(max_length=100)]
Html = Annotated[Text, Field(min_length=1, max_length=200_000)]

_HTML = (
    "<html><body><h1>{{ content.headline }}</h1>{{ content.body }}"
    '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>'
)


class TemplateCreate(Payload):
    name: TemplateName
    html: Html = Field(description="A page with merge fields, and a visible link to `{{ unsubscribe_url }}`.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Newsletter", "html": _HTML}]})


class TemplatePatch(Patch):
    """Only the fields sent are touched. Mails that were ordered before stay as they were."""

    name: TemplateName = ""
    html: Html = ""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Newsletter 2027"}]})


class TemplateItem(BaseModel):
    """Without its HTML."""

    id: UUID
    name: str
    version: int
    created_at: datetime
    updated_at: datetime


class TemplateOut(TemplateItem):
    html: str


class TemplatePage(BaseModel):
    items: list[TemplateItem]
    total: int
    page: int
    limit: int
    pages: int


class TemplateFilter(PageQuery):
    q: Annotated[Line, Field(max_length=100)] | None = Field(None, description="Part of the name, whatever its case.")
