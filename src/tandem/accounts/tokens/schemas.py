"""Personal API tokens as the API shows them."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

NewName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), Field(examples=["Backup script"])
]


def _future(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("must lie in the future")
    return moment


class NewToken(BaseModel):
    """Each service narrows `scopes` to its own (`tokens_router`)."""

    model_config = ConfigDict(extra="forbid")
    name: NewName
    scopes: list[str] = Field(min_length=1)
    expires_at: Annotated[AwareDatetime, AfterValidator(_future)] | None = Field(
        None, description="With an offset, in the future; without one the token lives until it is deleted."
    )


class TokenView(BaseModel):
    id: UUID
    name: str
    scopes: list[str]
    prefix: str = Field(description="How the token begins, to recognise it by.", examples=["tdm_Xa4q"])
    last4: str = Field(description="How it ends.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class CreatedToken(TokenView):
    token: str = Field(description="Shown this once; only its hash is kept.")


class TokenPage(BaseModel):
    items: list[TokenView]
    total: int
    page: int
    limit: int
    pages: int


class TokenPageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(50, ge=1, le=200, description="Items per page.")
    page: int = Field(1, ge=1, le=1_000_000, description="Page number, from 1.")
