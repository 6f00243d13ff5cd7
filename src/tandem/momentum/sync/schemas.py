"""Shapes of the sync API."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class SyncQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    since: int = Field(0, ge=0, le=2**62, description="The `next_since` of the answer before; 0 for everything.")
    limit: int = Field(200, ge=1, le=1000, description="Changes per page.")


class SyncChange(BaseModel):
    version: int
    entity: Literal["task", "project", "label", "settings"]
    id: str = Field(description="The entity's id; `settings` for the user's settings.")
    op: Literal["upsert", "delete"] = Field(description="A task in the trash is an upsert with `deleted_at`.")
    data: dict[str, Any] | None = Field(description="The entity as its own API shows it; null when deleted.")
    actor: str | None = Field(description="The credential that made the latest change.")
    at: datetime | None


class SyncPage(BaseModel):
    """What changed after `since`, in order, each entity once with its latest state."""

    changes: list[SyncChange]
    next_since: int = Field(description="Ask with this next.")
    has_more: bool
