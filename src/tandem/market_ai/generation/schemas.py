"""Shapes of content generation: the request, the job's payload, and what the model is asked to answer."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tandem.core.jobs.payload import JobPayload
from tandem.core.payloads import Payload
from tandem.market_ai.content.schemas import Kind
from tandem.market_ai.fields import Line, Text

Length = Literal["short", "medium", "long"]


class GenerateRequest(Payload):
    kind: Kind
    brief: Annotated[Text, Field(min_length=1, max_length=4000, description="What to write about, in your own words.")]
    variants: int = Field(3, ge=1, le=5, strict=True)
    tone: Annotated[Text, Field(max_length=300)] = Field("", description="On top of the brand's, for this copy.")
    length: Length = "medium"
    language: Annotated[Line, Field(max_length=40)] = Field("English", description="As one would say it to a writer.")
    use_knowledge: bool = Field(True, strict=True, description="Give the model what your documents say of the brief.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "email", "brief": "Pre-order our Christmas stollen by the 12th.", "variants": 3}]
        }
    )


class GenerateContent(JobPayload, job_type="generate_content"):
    """Also what the seed's producers push: `campaign_id`, and as much of a GenerateRequest as they know."""

    campaign_id: UUID
    kind: Kind
    brief: str
    variants: int = 3
    tone: str = ""
    length: Length = "medium"
    language: str = "English"
    use_knowledge: bool = True

    @classmethod
    def pushed(cls, message: Mapping[str, Any]) -> Self:
        """From a message of the inbox; what it does not say gets a default. Raises ValidationError."""
        known = {name: message[name] for name in GenerateRequest.model_fields if name in message}
        request = GenerateRequest.model_validate({"kind": "email", "brief": "Write for this campaign."} | known)
        return cls(campaign_id=message["campaign_id"], **request.model_dump())


class JobStarted(BaseModel):
    """The job that was queued. `worst_case`: US dollars that its first call to the model cannot exceed."""

    id: UUID
    type: Literal["generate_content", "analyze_campaign"]
    status: Literal["queued"]
    worst_case: str = Field(examples=["0.003120"])
    url: str = Field(examples=["/api/jobs/01980b14-7f2e-7c3a-9d55-3f1f0a6b2c11"])
    events: str = Field(examples=["/api/jobs/01980b14-7f2e-7c3a-9d55-3f1f0a6b2c11/events"])


class ChannelField(BaseModel):
    """A field that this kind of content has besides its body, as the `subject` of an e-mail."""

    name: str
    value: str


class Variant(BaseModel):
    headline: str
    body: str
    call_to_action: str
    channel: list[ChannelField] = Field(description="The fields that were asked for by name, and no others.")
    citations: list[str] = Field(description="The ids of the excerpts that this variant takes facts from.")

    @field_validator("channel", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Models that answer with an object mean the same; strict schemas cannot ask for one with free names."""
        return [{"name": name, "value": one} for name, one in value.items()] if isinstance(value, dict) else value


class Variants(BaseModel):
    """What the model answers."""

    variants: list[Variant]
