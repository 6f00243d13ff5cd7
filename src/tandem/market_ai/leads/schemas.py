"""Shapes of the lead API, and a lead on its way in with many others."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from tandem.core.paging import KeysetQuery, PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.email_address import Email, EmailAddress, InvalidEmail, parse_email
from tandem.market_ai.fields import Line, Text
from tandem.market_ai.leads.fields import (
    MAX_ATTRIBUTES,
    MAX_VALUE,
    AttributeName,
    AttributeValue,
    ConsentStatus,
    Decision,
    FilterText,
    Locale,
    Name,
    PastInstant,
    Proof,
    Source,
    Tag,
    Tags,
    Timezone,
)

SortName = Literal[
    "created_at", "-created_at", "updated_at", "-updated_at", "email", "-email", "name", "-name"
]  # fmt: skip
_CONSENTS = {"yes": "granted", "true": "granted", "1": "granted", "no": "none", "false": "none", "0": "none"}


def _address(text: Any) -> EmailAddress:
    try:
        return parse_email(text)
    except InvalidEmail as error:
        raise PydanticCustomError("invalid_email", "{problem}", {"problem": str(error)}) from None


def split_tags(text: Any) -> Any:
    """One text, as a cell or a field of a form has them."""
    if isinstance(text, str):
        return [tag.strip() for tag in re.split(r"[,;|]", text) if tag.strip()]
    return text


def _consent(text: Any) -> Any:
    word = str(text).strip().lower()
    return _CONSENTS.get(word, word)


def _day_or_time(text: Any) -> Any:
    """A day is its first moment in UTC."""
    return f"{text}T00:00:00Z" if isinstance(text, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else text


_EXAMPLE: dict[str, Any] = {
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "attributes": {"plan": "pro", "visits": 12},
    "tags": ["vip"],
    "timezone": "Europe/London",
    "locale": "en-GB",
    "consent": {
        "status": "granted",
        "source": "newsletter form",
        "at": "2026-11-01T09:00:00Z",
        "proof": "double opt-in, mail of 1 November",
    },
}


class ConsentIn(Payload):
    """What a person decided, where it is known from, and when."""

    status: Decision
    source: Source
    at: PastInstant | None = Field(None, description="By default now.")
    proof: Proof | None = Field(None, description="What shows it; erased with the person.")

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE["consent"]]})


class LeadCreate(Payload):
    email: Email
    name: Name | None = None
    attributes: dict[AttributeName, AttributeValue] = Field({}, max_length=MAX_ATTRIBUTES)
    tags: Tags = Field([], description="In lower case; each counts once.")
    timezone: Timezone | None = Field(None, description="Of the IANA database.")
    locale: Locale | None = Field(None, description="BCP 47: a language, and a script or region if need be.")
    consent: ConsentIn | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})


class LeadPatch(Patch):
    """Only the fields sent are touched; null clears. Consent is recorded by its own route."""

    email: Email = Field("", description="Another address has no consent yet.")
    name: Name | None = None
    attributes: dict[AttributeName, AttributeValue | None] = Field(
        {}, max_length=MAX_ATTRIBUTES, description="Those named; null takes one away."
    )
    tags: Tags = Field([], description="Replaces all.")
    timezone: Timezone | None = None
    locale: Locale | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"plan": None, "visits": 13}}]})


class LeadOut(BaseModel):
    """An erased lead has neither address, name, attributes nor tags."""

    id: UUID
    email: str | None
    name: str | None
    attributes: dict[str, str | bool | int | float]
    tags: list[str]
    consent: ConsentStatus
    consent_at: datetime | None
    consent_source: str | None
    timezone: str | None
    locale: str | None
    suppressed: bool = Field(description="Whether the address is on the suppression list.")
    erased_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class LeadPage(BaseModel):
    items: list[LeadOut]
    total: int | None
    page: int | None
    limit: int
    pages: int | None
    next_cursor: str | None


class ConsentOut(BaseModel):
    id: UUID
    status: Decision
    source: str
    proof: str | None
    at: datetime = Field(description="When the person decided.")
    actor: str = Field(description="Who told us, as in the audit trail.")
    recorded_at: datetime


class ConsentPage(BaseModel):
    items: list[ConsentOut]
    total: int
    page: int
    limit: int
    pages: int


class TagOut(BaseModel):
    tag: str
    leads: int


class TagPage(BaseModel):
    items: list[TagOut]
    total: int
    page: int
    limit: int
    pages: int


class LeadFilter(KeysetQuery):
    q: Annotated[Line, Field(max_length=200)] | None = Field(
        None, description="Part of the address or the name, whatever its case."
    )
    tag: list[Tag] = Field([], max_length=20, description="Any of these.")
    consent: list[ConsentStatus] = Field([], max_length=3, description="Any of these.")
    suppressed: bool | None = None
    erased: bool = Field(False, description="Those who were erased, instead of the others.")
    filter: FilterText | None = Field(None, description="As of a segment.", examples=['tags has "vip"'])
    sort: SortName = "-created_at"


class TagFilter(PageQuery):
    q: Annotated[Line, Field(max_length=50)] | None = Field(None, description="What the tag begins with.")


class ExportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal["csv", "json"] = "csv"
    filter: FilterText | None = Field(None, description="Only these leads.", examples=["consent = granted"])


class LeadRow(BaseModel):
    """A row of a CSV file, its cells by what they are; empty ones are left out."""

    model_config = ConfigDict(frozen=True)
    email: Annotated[Any, AfterValidator(_address)]  # becomes an EmailAddress
    name: Name | None = None
    attributes: dict[AttributeName, Annotated[Text, Field(max_length=MAX_VALUE)]] = Field({}, max_length=MAX_ATTRIBUTES)
    tags: Annotated[Tags, BeforeValidator(split_tags)] = []
    timezone: Timezone | None = None
    locale: Locale | None = None
    consent: Annotated[ConsentStatus, BeforeValidator(_consent)] = "none"
    consent_at: Annotated[PastInstant, BeforeValidator(_day_or_time)] | None = None
    consent_source: Source | None = None
    consent_proof: Proof | None = None


class NewLead(NamedTuple):
    """A lead of an import. `line` is where its file has it; without a consent the rest of it counts for nothing."""

    line: int
    email: str
    key: str
    name: str | None = None
    attributes: dict[str, str] = {}
    tags: list[str] = []
    timezone: str | None = None
    locale: str | None = None
    consent: ConsentStatus = "none"
    consent_at: datetime | None = None
    consent_source: str | None = None
    proof: str | None = None
