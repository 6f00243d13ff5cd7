"""Shapes of the sending API, and the job that sends."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from tandem.core.jobs.payload import JobPayload
from tandem.core.paging import KeysetQuery, PageQuery
from tandem.core.payloads import Payload
from tandem.market_ai.email_address import InvalidEmail, parse_email
from tandem.market_ai.fields import EXAMPLE_ID, Line, Text
from tandem.market_ai.sending.states import State, Status

MAX_FILTER = 4000
_LOCAL = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"


def _ascii_address(text: str) -> str:
    """Of a header: not every server takes others."""
    try:
        address = parse_email(text).written
    except InvalidEmail as error:
        raise PydanticCustomError("invalid_email", "{reason}", {"reason": str(error)}) from None
    if not address.isascii():
        raise PydanticCustomError("invalid_email", "must be in ASCII")
    return address


@lru_cache(maxsize=1)
def _zones() -> set[str]:
    """Reading them takes a walk through the database's files."""
    return available_timezones()


def _zone(name: str) -> str:
    if name not in _zones():
        raise PydanticCustomError("unknown_timezone", "is no time zone of the IANA database, as in Europe/Berlin")
    return name


Address = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, max_length=254, pattern=r"^[!-?A-~]+@[A-Za-z0-9.-]+$"),
    AfterValidator(_ascii_address),
]
Zone = Annotated[
    str,
    StringConstraints(strict=True, max_length=60, pattern=r"^[A-Z][A-Za-z0-9+_-]*(/[A-Za-z0-9+_-]+)*$"),
    AfterValidator(_zone),
]
LocalTime = Annotated[str, StringConstraints(strict=True, pattern=_LOCAL)]


class Schedule(Payload):
    """A time as clocks show it there. Of an hour that clocks show twice, the first."""

    at: LocalTime = Field(examples=["2027-03-01T09:00"])
    timezone: Zone = Field(examples=["Europe/Berlin"])

    @model_validator(mode="after")
    def _exists(self) -> Self:
        try:
            local = datetime.fromisoformat(self.at)
            instant = local.replace(tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise PydanticCustomError("invalid_time", "there is no such day") from None
        if instant.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None) != local:
            raise PydanticCustomError("invalid_time", "clocks never show this time there: it is skipped")
        if not datetime.now(UTC).year - 1 <= instant.year <= datetime.now(UTC).year + 5:
            raise PydanticCustomError("invalid_time", "must be within the next five years")
        return self

    @property
    def instant(self) -> datetime:
        return datetime.fromisoformat(self.at).replace(tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)


class Composition(Payload):
    """Which mail."""

    content_id: UUID = Field(description="An approved e-mail of the campaign.")
    template_id: UUID | None = Field(None, description="The layout; by default a plain one.")
    from_name: Annotated[Line, Field(max_length=100)] | None = Field(
        None, description="By default that of the operator's MAIL_FROM, whose address it always is."
    )
    reply_to: Address | None = None


class SendRequest(Composition):
    """Which mail, to whom, and when. Without a segment and a filter it goes to all who may be written to."""

    segment_id: UUID | None = None
    filter: Annotated[Text, Field(min_length=1, max_length=MAX_FILTER)] | None = Field(
        None, description="As of a segment; not together with `segment_id`."
    )
    schedule: Schedule | None = Field(None, description="By default at once.")
    track_opens: bool = Field(False, strict=True)
    track_clicks: bool = Field(False, strict=True)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "content_id": EXAMPLE_ID,
                    "filter": 'tags has "customer"',
                    "schedule": {"at": "2027-03-01T09:00", "timezone": "Europe/Berlin"},
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _one_audience(self) -> Self:
        if self.segment_id is not None and self.filter is not None:
            raise PydanticCustomError("two_audiences", "Name a segment or a filter, not both")
        return self


class PreviewRequest(Composition):
    lead_id: UUID | None = Field(None, description="Whose fields to merge; by default a sample's.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"content_id": EXAMPLE_ID, "lead_id": EXAMPLE_ID}]})


class TrialRequest(PreviewRequest):
    """The mail goes to these addresses alone, marked as a test."""

    to: Annotated[list[Address], Field(min_length=1, max_length=5)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"content_id": EXAMPLE_ID, "to": ["ada@example.com"]}]})


class PreviewOut(BaseModel):
    subject: str
    html: str
    text: str
    required_fields: list[str] = Field(description="What every lead must have, as `attributes.city`.")


class TrialOut(BaseModel):
    """It is on its way; `job_id` is the operator's name for it."""

    job_id: UUID
    to: list[str]


class SendEmail(JobPayload, job_type="send_email"):
    """`send_id` is None for a message of the inbox: the job then orders the send itself, from `request`."""

    campaign_id: UUID
    send_id: UUID | None = None
    request: dict[str, Any] | None = None

    @classmethod
    def pushed(cls, message: Mapping[str, Any]) -> Self:
        """From a message of the inbox; raises ValidationError."""
        known = {name: message[name] for name in SendRequest.model_fields if name in message}
        request = SendRequest.model_validate(known).model_dump(mode="json", exclude_unset=True)
        return cls(campaign_id=message["campaign_id"], request=request)


class SendTestMail(JobPayload, job_type="send_test_mail"):
    campaign_id: UUID
    request: dict[str, Any]


class SweepDeliveries(JobPayload, job_type="sweep_deliveries"):
    pass


class ScheduleOut(BaseModel):
    at: datetime = Field(description="The instant.")
    timezone: str


class StatesOut(BaseModel):
    """How many deliveries are in each state; together they are the send's `planned`."""

    planned: int
    claimed: int
    handed_off: int
    accepted: int
    failed: int
    unknown: int = Field(description="Handed to the server, which never answered. A person decides.")
    skipped: int
    cancelled: int


class OutcomesOut(BaseModel):
    """What was heard later of those that were accepted."""

    delivered: int
    bounced: int
    complained: int
    opened: int
    clicked: int
    unsubscribed: int


class SendItem(BaseModel):
    id: UUID
    campaign_id: UUID
    content_id: UUID
    content_version: int
    template_id: UUID | None
    segment_id: UUID | None
    filter: str | None
    from_name: str | None
    reply_to: str | None
    track_opens: bool
    track_clicks: bool
    status: Status
    schedule: ScheduleOut | None
    planned: int = Field(description="Deliveries, each to one lead.")
    job_id: UUID | None = Field(description="The latest job of it.")
    created_by: str
    finished_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class SendOut(SendItem):
    states: StatesOut
    outcomes: OutcomesOut


class SendPage(BaseModel):
    items: list[SendItem]
    total: int
    page: int
    limit: int
    pages: int


class SendFilter(PageQuery):
    campaign_id: UUID | None = None
    status: list[Status] = Field([], max_length=5, description="Any of these.")


class DeliveryItem(BaseModel):
    id: UUID
    send_id: UUID
    campaign_id: UUID
    lead_id: UUID | None
    state: State
    reason: str | None = Field(description="Why it was skipped, failed, or waits for another try.")
    answer: str | None = Field(description="The mail server's last words.")
    tries: int
    next_try_at: datetime | None
    handed_off_at: datetime | None
    settled_at: datetime | None
    delivered_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    unsubscribed_at: datetime | None
    resolved_by: str | None
    note: str | None
    created_at: datetime


class DeliveryEventOut(BaseModel):
    kind: Literal["delivered", "deferred", "bounced", "complained", "opened", "clicked", "unsubscribed"]
    source: str
    bot: bool
    detail: str | None
    at: datetime


class DeliveryOut(DeliveryItem):
    message_id: str
    events: list[DeliveryEventOut]


class DeliveryPage(BaseModel):
    items: list[DeliveryItem]
    total: int | None
    page: int | None
    limit: int
    pages: int | None
    next_cursor: str | None


class DeliveryFilter(KeysetQuery):
    send_id: UUID | None = None
    campaign_id: UUID | None = None
    lead_id: UUID | None = None
    state: list[State] = Field([], max_length=8, description="Any of these.")


class Resolution(Payload):
    """What became of a delivery that is `unknown`, as the mail server's log says: `send_again` may send it twice."""

    outcome: Literal["accepted", "not_sent", "send_again"]
    note: Annotated[Text, StringConstraints(strip_whitespace=True), Field(max_length=1000)] = ""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "accepted", "note": "seen in the log"}]})
