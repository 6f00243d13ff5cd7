"""Shapes of the jobs' API."""

from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.paging import PageQuery

JobType = Literal["generate_content", "analyze_campaign", "send_email"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "held"]
TYPES: Final[tuple[JobType, ...]] = get_args(JobType)
MAX_EVENT_ID = 2**63 - 1


class JobError(BaseModel):
    """`code` is stable: `job_failed`, `timeout`, `held`, `internal_error`, or the cause that the job's type names."""

    code: str
    detail: str


class JobCost(BaseModel):
    """US dollars, with six places. `unknown` is charged for calls whose outcome nobody knows yet."""

    spent: str = Field(examples=["0.001204"])
    reserved: str = Field(examples=["0.000000"])
    unknown: str = Field(examples=["0.000000"])


class JobOut(BaseModel):
    """`error` is that of the last try that failed; a job that then succeeded has none."""

    id: UUID
    type: JobType
    status: Status
    campaign_id: UUID | None
    progress: float | None = Field(description="From 0 to 1, as far as the job says.")
    result: Any = Field(description="What the job came to; its shape belongs to its type.")
    error: JobError | None
    attempts: int = Field(description="How often it was started.")
    cost: JobCost
    last_event_id: int = Field(description="Follow the job from here: `GET …/events?after=`.")
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(BaseModel):
    items: list[JobOut]
    total: int
    page: int
    limit: int
    pages: int


class JobFilter(PageQuery):
    status: list[Status] = Field([], max_length=6, description="Any of these.")
    type: list[JobType] = Field([], max_length=3, description="Any of these.")
    campaign_id: UUID | None = None


class EventsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(
        0, ge=0, le=MAX_EVENT_ID, description="Only events after this one. A `Last-Event-ID` header goes first."
    )
    organization: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="As `X-Organization-Id`, for a browser's EventSource, which can send no header.",
    )
