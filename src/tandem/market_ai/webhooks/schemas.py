"""Shapes of the webhooks' API, and the jobs that deliver and forget."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from tandem.core.jobs.payload import JobPayload
from tandem.core.paging import KeysetQuery, PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.fields import Line, Text
from tandem.market_ai.webhooks.events import EVENTS, PATTERNS, TEST

MAX_URL = 2000
Status = Literal["pending", "succeeded", "failed"]
DisabledReason = Literal["by_hand", "gone", "failing"]
Error = Literal[
    "http_error", "redirect", "timeout", "no_public_address", "connection_failed", "tls_failed", "invalid_response",
    "webhook_disabled",
]  # fmt: skip
_URL: Final = TypeAdapter(AnyHttpUrl)


class DeliverWebhook(JobPayload, job_type="deliver_webhook"):
    """Attempt number `attempt` of a delivery; one that was made already is not made again. Also written by the
    database function webhook_emit."""

    org_id: str
    delivery_id: UUID
    attempt: int
    by_hand: bool = False


class PurgeWebhookMessages(JobPayload, job_type="purge_webhook_messages"):
    pass


def _address(text: str) -> str:
    """As browsers read it, so that nobody else reads another host in it: `https://0x7f.1` is https://127.0.0.1/."""
    try:
        url = _URL.validate_python(text)
    except ValidationError:
        raise PydanticCustomError("invalid_url", "must be an address, as in https://example.com/hooks") from None
    if url.username is not None or url.password is not None:
        raise PydanticCustomError("url_with_credentials", "must not contain a user name or password")
    if url.fragment is not None:
        raise PydanticCustomError("url_with_fragment", "must not have a part after #")
    if not url.host or url.host.endswith(".") or url.port == 0:
        raise PydanticCustomError("invalid_url", "must name a host, without a dot at its end, and no port 0")
    if len(str(url)) > MAX_URL:
        raise PydanticCustomError("url_too_long", f"must not be longer than {MAX_URL} characters")
    return str(url)


def _known(patterns: list[str]) -> list[str]:
    for name in patterns:
        if name not in PATTERNS:
            raise PydanticCustomError("unknown_event", "names an event that does not exist")
    return list(dict.fromkeys(patterns))


Url = Annotated[Line, Field(max_length=MAX_URL, json_schema_extra={"format": "uri"}), AfterValidator(_address)]
Events = Annotated[
    list[Annotated[str, Field(strict=True, json_schema_extra={"enum": list(PATTERNS)})]],
    Field(min_length=1, max_length=len(PATTERNS), description="Types, families as in `campaign.*`, or `*` for all."),
    AfterValidator(_known),
]
Description = Annotated[Text, Field(max_length=500)]


class WebhookCreate(Payload):
    url: Url
    events: Events = Field(["*"])
    description: Description = ""
    enabled: bool = Field(True, strict=True)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://hooks.your-company.com/tandem", "events": ["campaign.*", "job.failed"]}]
        }
    )


class WebhookPatch(Patch):
    """Only the fields sent are touched. `enabled: true` forgets what failed before."""

    url: Url = ""
    events: Events = []
    description: Description = ""
    enabled: bool = Field(True, strict=True)

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})


class RotateSecret(Payload):
    overlap_hours: int = Field(
        24, ge=0, le=168, strict=True, description="So long deliveries are signed with the old secret too; 0: at once."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_hours": 24}]})


class WebhookOut(BaseModel):
    """`failing_since`: the first failure since the last success. `version` counts changes of what is set."""

    id: UUID
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: DisabledReason | None = Field(
        description="`gone`: it answered 410. `failing`: nothing reached it for two days."
    )
    disabled_at: datetime | None
    consecutive_failures: int
    failing_since: datetime | None
    previous_secret_until: datetime | None = Field(description="So long the secret before the present one signs too.")
    version: int
    created_at: datetime
    updated_at: datetime


class WebhookWithSecret(WebhookOut):
    secret: str = Field(
        description="Keep it: it is not shown again.", examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )


class WebhookPage(BaseModel):
    items: list[WebhookOut]
    total: int
    page: int
    limit: int
    pages: int


class WebhookFilter(PageQuery):
    pass


class DeliveryOut(BaseModel):
    """`message_id` is sent as `webhook-id`, the same at every attempt. `error` is that of the last one."""

    id: UUID
    message_id: str = Field(examples=["msg_0198b1f07a3c7d0e9b6d2f1f0a6b2c11"])
    type: str
    status: Status
    attempts: int
    error: Error | None
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


class AttemptOut(BaseModel):
    number: int
    at: datetime
    duration_ms: int
    status: int | None = Field(description="Of the response, where there was one.")
    error: Error | None
    excerpt: str = Field(description="How the response's body begins.")


class DeliveryDetail(DeliveryOut):
    payload: dict[str, Any] = Field(description="What is sent.")
    log: list[AttemptOut] = Field(description="The latest 100 attempts.")


class DeliveryPage(BaseModel):
    items: list[DeliveryOut]
    total: int | None
    page: int | None
    limit: int
    pages: int | None
    next_cursor: str | None


class DeliveryFilter(KeysetQuery):
    status: list[Status] = Field([], max_length=3, description="Any of these.")
    type: Literal[(*EVENTS, TEST)] | None = None  # type: ignore[valid-type]
