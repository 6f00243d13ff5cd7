"""Shapes of the audit trail's API."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from tandem.core.paging import KeysetQuery


class AuditEventOut(BaseModel):
    """`actor` names the credential: `session:…`, `token:…`, `clerk:…`, or `job:…` and `service:…` without a user."""

    id: UUID
    at: datetime
    user_id: str | None
    actor: str
    action: str
    object_type: str
    object_id: str
    details: dict[str, Any]


class AuditPage(BaseModel):
    items: list[AuditEventOut]
    total: int | None
    page: int | None
    limit: int
    pages: int | None
    next_cursor: str | None


class AuditFilter(KeysetQuery):
    action: str | None = Field(None, max_length=100, description="As in `campaign.created`.")
    object_type: str | None = Field(None, max_length=100)
    object_id: str | None = Field(None, max_length=200)
    user_id: str | None = Field(None, max_length=200)
