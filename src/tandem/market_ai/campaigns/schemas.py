"""Shapes of the campaign API, and the brief that content is generated from."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.brands.schemas import BrandOut
from tandem.market_ai.campaigns.currencies import CURRENCIES
from tandem.market_ai.campaigns.states import Status
from tandem.market_ai.fields import Instant, Line, Money, Text, micros

CampaignType = Literal["email", "social", "search", "display"]
SortName = Literal["created_at", "-created_at", "name", "-name", "starts_at", "-starts_at"]


def _in_use(code: str) -> str:
    if code not in CURRENCIES:
        raise PydanticCustomError("unknown_currency", "is not the ISO 4217 code of a currency, as in EUR")
    return code


def _each_once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Name = Annotated[Line, Field(min_length=3, max_length=100)]
Prose = Annotated[Text, Field(max_length=5000)]
Currency = Annotated[
    str, AfterValidator(_in_use), WithJsonSchema({"type": "string", "enum": list(CURRENCIES), "examples": ["EUR"]})
]
Channel = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
Channels = Annotated[list[Channel], Field(max_length=20), AfterValidator(_each_once)]

_STARTS, _ENDS = "2026-12-01T08:00:00Z", "2026-12-24T20:00:00Z"


class Budget(Payload):
    """What the campaign may spend on media. What AI may cost is limited elsewhere."""

    amount: Money
    currency: Currency = Field(description="ISO 4217.")

    @property
    def micros(self) -> int:
        return micros(self.amount)


class CampaignCreate(Payload):
    name: Name
    type: CampaignType
    objective: Prose = ""
    audience: Prose = ""
    budget: Budget | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = Field(None, description="After starts_at.")
    channels: Channels = Field([], description="Names such as `newsletter` or `google_ads`; each counts once.")
    brand_id: UUID | None = Field(None, description="Whose voice its content has.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Christmas stollen",
                    "type": "email",
                    "objective": "500 orders before the 20th",
                    "audience": "customers who bought stollen last year",
                    "budget": {"amount": "1500.00", "currency": "EUR"},
                    "starts_at": _STARTS,
                    "ends_at": _ENDS,
                    "channels": ["newsletter"],
                }
            ]
        }
    )


class CampaignPatch(Patch):
    """Only the fields sent are touched; null clears. `status` moves by its own routes."""

    name: Name = ""
    type: CampaignType = "email"
    objective: Prose | None = None
    audience: Prose | None = None
    budget: Budget | None = Field(None, description="Replaces both amount and currency.")
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    channels: Channels = Field([], description="Replaces all.")
    brand_id: UUID | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"ends_at": "2026-12-31T20:00:00Z", "brand_id": None}]})


class BudgetOut(BaseModel):
    amount: str = Field(description="With six places.", examples=["1500.000000"])
    currency: str


class CampaignOut(BaseModel):
    id: UUID
    name: str
    type: CampaignType
    status: Status
    objective: str
    audience: str
    budget: BudgetOut | None
    starts_at: datetime | None
    ends_at: datetime | None
    channels: list[str]
    brand_id: UUID | None
    activated_at: datetime | None
    paused_at: datetime | None = Field(description="The last time, as with resumed_at.")
    resumed_at: datetime | None
    completed_at: datetime | None
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class CampaignPage(BaseModel):
    items: list[CampaignOut]
    total: int
    page: int
    limit: int
    pages: int


class CampaignFilter(PageQuery):
    status: list[Status] = Field([], max_length=5, description="Any of these.")
    type: list[CampaignType] = Field([], max_length=4, description="Any of these.")
    brand_id: UUID | None = None
    q: Annotated[Line, Field(max_length=100)] | None = Field(None, description="Part of the name, whatever its case.")
    sort: SortName = Field("-created_at", description="What has no starts_at comes last either way.")


class Brief(BaseModel):
    """What copy is written from: the campaign, and the voice of its brand if it has one."""

    campaign: CampaignOut
    brand: BrandOut | None

    @classmethod
    def of(cls, json: str) -> Self:
        return cls.model_validate_json(json)
