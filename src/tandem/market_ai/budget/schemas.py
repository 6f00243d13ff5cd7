"""Shapes of the budget API, and the budget's jobs. Money is a decimal string of US dollars."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from tandem.core.jobs.payload import JobPayload
from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.fields import EXAMPLE_ID, Money, Text, micros

MAX_CAP = 10**9  # dollars
Cap = Annotated[Money, Field(le=MAX_CAP)]
CallState = Literal["held", "settled", "released", "outcome_unknown"]
Account = Literal["budget", "reserved", "unknown", "spent"]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SweepReservations(JobPayload, job_type="sweep_reservations"):
    pass


class ForgetCallResults(JobPayload, job_type="forget_call_results"):
    pass


class LimitsChange(Patch):
    """Limits that are absent stay; null removes one, and "0" allows nothing."""

    organization: Cap | None = Field(None, description="All that is ever spent.")
    month: Cap | None = Field(None, description="Each calendar month, in UTC.")
    day: Cap | None = Field(None, description="Each day, in UTC.")
    request: Cap | None = Field(None, description="Each job. MAX_BUDGET_PER_REQUEST applies besides.")
    campaigns: dict[UUID, Cap | None] = Field({}, max_length=200, description="By the campaign's id.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"month": "250.00", "day": "25", "request": "1.50", "campaigns": {EXAMPLE_ID: "40.00"}}]
        }
    )

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if not self.caps():
            raise PydanticCustomError("nothing_to_change", "Name at least one limit to change")
        return self

    def caps(self) -> dict[tuple[str, str], int | None]:
        """Micro-dollars by scope and key, of the limits that were sent."""
        scopes = self.model_fields_set - {"campaigns"}
        sent = {(scope, ""): getattr(self, scope) for scope in sorted(scopes)}
        sent |= {("campaign", str(one)): cap for one, cap in sorted(self.campaigns.items())}
        return {account: None if cap is None else micros(cap) for account, cap in sent.items()}


class Billed(Payload):
    """The provider's bill shows the call."""

    outcome: Literal["billed"]
    amount: Money = Field(description="What it cost; not more than was reserved.")
    note: Annotated[Text, Field(max_length=500)] | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "billed", "amount": "0.0012"}]})


class NotBilled(Payload):
    """The provider's bill does not show the call: the whole reservation is free again."""

    outcome: Literal["not_billed"]
    note: Annotated[Text, Field(max_length=500)] | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "not_billed", "note": "not on the bill"}]})


Resolution = Annotated[Billed | NotBilled, Field(discriminator="outcome")]


class Balance(BaseModel):
    """`key` is the month, the day or the campaign's id. `available` and `used_percent` are null without a cap."""

    key: str | None
    cap: str | None
    spent: str
    reserved: str = Field(description="By calls that are being made: the most they can cost.")
    unknown: str = Field(description="By calls of which nobody knows whether they were billed; charged in full.")
    available: str | None
    used_percent: float | None
    warning: Literal[80, 90, 100] | None = Field(description="The highest of these that has been reached.")


class RequestLimit(BaseModel):
    cap: str = Field(description="Of one job, all its calls together.")


class BudgetWarningOut(BaseModel):
    scope: str
    key: str | None
    threshold: Literal[80, 90, 100]
    cap: str
    used: str
    at: datetime


class BudgetOut(BaseModel):
    """`campaigns`: those with a limit or a cost, the dearest 200. `warnings`: the latest 50."""

    organization: Balance
    month: Balance
    day: Balance
    request: RequestLimit
    campaigns: list[Balance]
    warnings: list[BudgetWarningOut]


class BudgetFilter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    campaign_id: UUID | None = Field(None, description="Only this campaign under `campaigns`.")


class Cost(BaseModel):
    """Of one job."""

    spent: str
    reserved: str
    unknown: str


class CallOut(BaseModel):
    id: UUID
    job_id: UUID
    step: str
    attempt: int = Field(description="Which start of the job made it.")
    prompt_hash: str
    campaign_id: UUID | None
    model: str
    state: CallState
    reserved: str
    settled: str | None
    overrun: bool = Field(description="It cost more than was reserved, which should be impossible.")
    usage: dict[str, Any] | None
    error: str | None
    created_at: datetime
    expires_at: datetime
    settled_at: datetime | None
    resolved_by: str | None
    note: str | None


class CallPage(BaseModel):
    items: list[CallOut]
    total: int
    page: int
    limit: int
    pages: int


class CallFilter(PageQuery):
    state: CallState | None = None
    job_id: UUID | None = None
    campaign_id: UUID | None = None


class Line(BaseModel):
    account: Account
    amount: str = Field(description="Negative out of the account.")


class EntryOut(BaseModel):
    """The amounts of `lines` sum to zero; there are none when nothing moved."""

    seq: int
    at: str = Field(description="UTC, to the microsecond, exactly as it was hashed.")
    kind: Literal["reserve", "settle", "release", "unknown", "resolve"]
    call_id: UUID
    job_id: UUID
    campaign_id: UUID | None
    day: date = Field(description="On whose budget it counts.")
    lines: list[Line]
    prev_hash: str
    hash: str


class EntryPage(BaseModel):
    items: list[EntryOut]
    total: int
    page: int
    limit: int
    pages: int


class VerifyQuery(BaseModel):
    """An entry that was noted earlier, to be found again."""

    model_config = ConfigDict(extra="forbid")
    seq: int | None = Field(None, ge=1, le=2**62, description="With `hash`: the place of an entry noted earlier.")
    hash: Hash | None = Field(None, description="With `seq`: its hash.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.seq is None) != (self.hash is None):
            raise PydanticCustomError("seq_and_hash", "Give seq and hash together")
        return self


class Finding(BaseModel):
    """What is wrong, and where."""

    kind: Literal[
        "entry_altered",
        "entry_missing",
        "chain_broken",
        "entry_unbalanced",
        "head_differs",
        "noted_entry_differs",
        "balance_differs",
        "call_differs",
    ]
    detail: str
    seq: int | None = None
    scope: str | None = None
    key: str | None = None
    call_id: UUID | None = None


class Verification(BaseModel):
    """`head` is the hash of the last of `entries` entries; 64 zeros when there are none."""

    valid: bool
    entries: int
    head: str
    problems: list[Finding] = Field(description="At most 100.")
