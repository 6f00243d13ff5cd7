"""Shapes of campaign analysis: the request, the job's payload and result, and what the model is asked to answer."""

from collections.abc import Mapping
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.jobs.payload import JobPayload
from tandem.market_ai.fields import Line, Payload


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
