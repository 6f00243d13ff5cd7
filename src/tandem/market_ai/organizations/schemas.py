"""Shapes of the organizations' API."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.paging import PageQuery
from tandem.core.payloads import Payload
from tandem.market_ai.fields import Line

RoleName = Literal["viewer", "member", "manager", "admin"]
Email = Annotated[Line, Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")]


class OrganizationCreate(Payload):
    name: Annotated[Line, Field(max_length=100)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Acme Coffee"}]})


class OrganizationPatch(OrganizationCreate):
    pass


class OrganizationOut(BaseModel):
    """`role` is yours. A personal organization is its user's alone until they invite others."""

    id: str
    name: str
    personal: bool
    role: RoleName
    created_at: datetime


class OrganizationPage(BaseModel):
    items: list[OrganizationOut]
    total: int
    page: int
    limit: int
    pages: int


class MemberOut(BaseModel):
    user_id: str
    name: str
    email: str
    role: RoleName
    joined_at: datetime


class MemberPage(BaseModel):
    items: list[MemberOut]
    total: int
    page: int
    limit: int
    pages: int


class MemberPatch(Payload):
    role: RoleName

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "manager"}]})


class InvitationCreate(Payload):
    """`email` binds the invitation to the account with that address."""

    role: RoleName = "member"
    email: Email | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "member", "email": "grace@example.com"}]})


class InvitationOut(BaseModel):
    id: UUID
    role: RoleName
    email: str | None
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None


class InvitationMade(InvitationOut):
    """`code` is shown this once: hand it to whom you invite."""

    code: str


class InvitationPage(BaseModel):
    items: list[InvitationOut]
    total: int
    page: int
    limit: int
    pages: int


class InvitationAccept(Payload):
    code: str = Field(min_length=1, max_length=100, strict=True, examples=["hXgkC1xJpX0c0m0mQ8iVhWJ9g2k4b7Zr"])


class OrganizationFilter(PageQuery):
    pass
