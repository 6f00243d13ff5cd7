"""Shapes of the suppression list, and an address on its way in with many others."""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tandem.core.paging import KeysetQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.email_address import Email
from tandem.market_ai.fields import Line, Text

Reason = Literal["unsubscribed", "bounced", "complained", "manual"]
Note = Annotated[Text, Field(min_length=1, max_length=1000)]


def _in_lower_case(text: Any) -> Any:
    return text.strip().lower() if isinstance(text, str) else text


class SuppressionCreate(Payload):
    email: Email
    reason: Reason = "manual"
    note: Note | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "grace@example.com", "reason": "manual", "note": "Asked by phone."}]}
    )


class SuppressionPatch(Patch):
    """The address and the reason stay as they were told."""

    note: Note | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "Asked again by letter."}]})


class SuppressionOut(BaseModel):
    """Of a person who was erased the address is known only as a digest: `email` is null."""

    id: UUID
    email: str | None = Field(description="As addresses are compared: in lower case, the domain in ASCII.")
    erased: bool
    reason: Reason = Field(description="The first one.")
    source: str = Field(description="Where it came from, as `api`, `import` or the route of a complaint.")
    note: str | None
    created_at: datetime


class SuppressionPage(BaseModel):
    items: list[SuppressionOut]
    total: int | None
    page: int | None
    limit: int
    pages: int | None
    next_cursor: str | None


class SuppressionFilter(KeysetQuery):
    reason: list[Reason] = Field([], max_length=4, description="Any of these.")
    email: Email | None = Field(None, description="This address, whatever its spelling; also one that was erased.")
    q: Annotated[Line, Field(max_length=200)] | None = Field(None, description="Part of the address.")


class SuppressionRow(BaseModel):
    """A row of a CSV file, its cells by what they are; empty ones are left out."""

    model_config = ConfigDict(frozen=True)
    email: Email
    reason: Annotated[Reason, BeforeValidator(_in_lower_case)] = "manual"
    note: Note | None = None


class NewSuppression(NamedTuple):
    """A row of an import, whose values have been checked. `line` is where its file has it."""

    line: int
    key: str
    reason: Reason
    note: str | None = None
    at: datetime | None = None
