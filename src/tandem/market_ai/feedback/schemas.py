"""What providers tell us, in one shape: ours, SendGrid's and Mailgun's become lists of `Heard`."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tandem.core.payloads import Payload
from tandem.market_ai.fields import Instant, Text

Kind = Literal["delivered", "deferred", "bounced", "complained", "opened", "clicked", "unsubscribed"]
MAX_EVENTS = 1000  # of one request


class Heard(BaseModel):
    """Of a delivery. `external_id` is the source's name for the event, so that its repetition changes nothing."""

    delivery_id: UUID
    kind: Kind
    external_id: str
    at: datetime | None = None
    detail: str | None = None


class EventIn(Payload):
    """`message_id` is the mail's Message-ID. A `report` is the whole bounce message (RFC 3464) or complaint (RFC 5965),
    as it arrived at the return path, and says all of that itself.
    """

    id: Annotated[Text, Field(min_length=1, max_length=200)] = Field(description="Repeated, it counts once.")
    type: Kind | Literal["report"]
    message_id: Annotated[Text, Field(max_length=500)] | None = None
    at: Instant | None = None
    detail: Annotated[Text, Field(max_length=500)] | None = None
    report: str | None = Field(None, max_length=500_000)

    @model_validator(mode="after")
    def _of_something(self) -> "EventIn":
        if (self.type == "report") != (self.report is not None) or (self.type == "report") == bool(self.message_id):
            raise PydanticCustomError("incomplete", "needs a `message_id`, or as a report the `report` alone")
        return self


class EventsIn(Payload):
    events: Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"events": [{"id": "17", "type": "bounced", "message_id": "<….mail@example.com>"}]}]
        }
    )


class EventsOut(BaseModel):
    """`ignored` are about no mail of ours, or of a kind that says nothing of it; `repeated` had been heard before."""

    accepted: int
    repeated: int
    ignored: int
