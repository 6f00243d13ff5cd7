"""Shapes of the content API, and what a job hands in as generated."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.content.states import Status
from tandem.market_ai.fields import Line, Text

Kind = Literal["blog", "email", "social", "ad_copy", "landing_page", "video_script"]
Action = Literal["submit", "approve", "reject", "publish", "archive"]
SortName = Literal["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"]

Title = Annotated[Line, Field(max_length=200)]
Headline = Annotated[Text, Field(max_length=500)]
Body = Annotated[Text, Field(min_length=1, max_length=100_000)]
ChannelKey = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
ChannelValue = Annotated[Text, Field(max_length=2000)]
ChannelFields = Annotated[
    dict[ChannelKey, ChannelValue | Annotated[list[ChannelValue], Field(max_length=50)]], Field(max_length=20)
]

_COPY: dict[str, Any] = {
    "headline": "Stollen is back",
    "body": "Baked in September, ripened since. Three hundred are left.",
    "call_to_action": "Reserve yours",
    "channel": {"subject": "Three hundred stollen", "preheader": "First come, first served"},
}


class Citation(Payload):
    """What a passage rests on: a chunk of the organization's knowledge, or a source named in `source` alone."""

    source: Annotated[Line, Field(max_length=500)] = Field(description="Title, address or file of the source.")
    document_id: UUID | None = None
    chunk_id: UUID | None = None
    quote: Annotated[Text, Field(max_length=4000)] = ""


class Copy(Payload):
    """The text of one version."""

    headline: Headline = ""
    body: Body
    call_to_action: Headline = ""
    channel: ChannelFields = Field(
        {},
        description="What one channel alone needs, as `subject`, `preheader` or `hashtags`: texts, or lists of them.",
    )
    citations: list[Citation] = Field([], max_length=50)

    model_config = ConfigDict(json_schema_extra={"examples": [_COPY]})


class ContentCreate(Copy):
    """An asset and its first version."""

    kind: Kind
    title: Title = Field(description="What your team calls it; not part of the copy.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "email", "title": "Stollen, first mail", **_COPY}]}
    )


class GeneratedVariant(Copy):
    """One variant that a job wrote. `number`, from 1, tells the variants of a job apart."""

    number: int = Field(ge=1, le=1000)
    title: Title
    model: Annotated[str, Field(max_length=200)]


class ContentPatch(Patch):
    title: Title

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Stollen, reminder"}]})


class Approval(Payload):
    version: int | None = Field(
        None, ge=1, le=2**31 - 1, strict=True, description="The `current_version` you have read: 409 if it is another."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1}]})


class Rejection(Payload):
    reason: Annotated[Text, StringConstraints(strip_whitespace=True), Field(min_length=1, max_length=2000)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The price is missing."}]})


class VersionOut(BaseModel):
    """Never changes."""

    number: int
    headline: str
    body: str
    call_to_action: str
    channel: dict[str, Any]
    citations: list[Citation]
    model: str | None = Field(description="The language model that wrote it; null for a person.")
    created_by: str = Field(description="A user's id, or `job:<id>`.")
    job_id: UUID | None
    created_at: datetime


class VersionPage(BaseModel):
    items: list[VersionOut]
    total: int
    page: int
    limit: int
    pages: int


class ContentItem(BaseModel):
    """An asset without its text."""

    id: UUID
    campaign_id: UUID
    kind: Kind
    title: str
    status: Status
    current_version: int = Field(description="The number of its latest version.")
    approved_version: int | None = Field(description="The version approved last, also when newer ones followed.")
    approved_by: str | None
    approved_at: datetime | None
    published_version: int | None
    published_by: str | None
    published_at: datetime | None
    rejection: str | None = Field(description="Why it was sent back, until it is submitted again.")
    archived_at: datetime | None
    job_id: UUID | None
    variant: int | None
    version: int = Field(description="Of the asset itself, rises with every change: its ETag.")
    created_at: datetime
    updated_at: datetime


class ContentOut(ContentItem):
    content: VersionOut = Field(description="The latest version.")


class ContentPage(BaseModel):
    items: list[ContentItem]
    total: int
    page: int
    limit: int
    pages: int


class ReviewOut(BaseModel):
    """Never changes."""

    id: UUID
    number: int = Field(description="Of the version it was about.")
    action: Action
    reason: str | None
    by: str
    at: datetime


class ReviewPage(BaseModel):
    items: list[ReviewOut]
    total: int
    page: int
    limit: int
    pages: int


class CampaignContentFilter(PageQuery):
    kind: list[Kind] = Field([], max_length=6, description="Any of these.")
    status: list[Status] = Field([], max_length=5, description="Any of these.")
    sort: SortName = "-created_at"


class ContentFilter(CampaignContentFilter):
    campaign_id: UUID | None = None
    job_id: UUID | None = Field(None, description="What this job generated.")


class Inventory(BaseModel):
    """How many assets of a kind are in a status."""

    kind: Kind
    status: Status
    assets: int
