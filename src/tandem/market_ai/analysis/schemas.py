"""Shapes of campaign analysis: the request, the job's payload, what the model is asked to answer, and reports."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.jobs.payload import JobPayload
from tandem.core.payloads import Payload
from tandem.market_ai.fields import Line


class AnalyzeRequest(Payload):
    language: Annotated[Line, Field(max_length=40)] = Field("English", description="Of the summary.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"language": "English"}]})


class AnalyzeCampaign(JobPayload, job_type="analyze_campaign"):
    campaign_id: UUID
    language: str = "English"

    @classmethod
    def pushed(cls, message: Mapping[str, Any]) -> Self:
        """From a message of the inbox; raises ValidationError."""
        known = {name: message[name] for name in AnalyzeRequest.model_fields if name in message}
        return cls(campaign_id=message["campaign_id"], **AnalyzeRequest.model_validate(known).model_dump())


class Summary(BaseModel):
    """What the model answers."""

    summary: str = Field(description="Two to five sentences.")
    recommendations: list[str] = Field(description="Up to five, the most useful first.")


class Rejected(BaseModel):
    """A text of the model that was not taken."""

    model: str
    faults: list[str] = Field(description="What was wrong with it, as the numbers that nobody had computed.")


class Told(BaseModel):
    """A summary all of whose numbers are computed ones. `model` is who wrote it, `computed` for nobody but the code."""

    summary: Summary
    model: str
    rejected: list[Rejected]


class ReportItem(BaseModel):
    """A report without its facts."""

    id: UUID
    campaign_id: UUID
    job_id: UUID
    model: str = Field(
        description="Who wrote the summary; `offline` and `computed` are put together from sentences by the code."
    )
    language: str
    summary: str
    created_at: datetime


class ReportOut(ReportItem):
    """Never changes."""

    recommendations: list[str]
    rejected: list[Rejected] = Field(description="Texts of the model that were not taken.")
    facts: dict[str, Any] = Field(description="Everything that was computed.")


class ReportPage(BaseModel):
    items: list[ReportItem]
    total: int
    page: int
    limit: int
    pages: int
