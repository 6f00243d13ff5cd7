"""Shapes of the user settings API."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tandem.core.payloads import Patch
from tandem.momentum.fields import Zone


class PreferencesPatch(Patch):
    timezone: Zone = Field("UTC", description="IANA zone: what today is, and the default zone of new due times.")
    week_start: Literal["monday", "saturday", "sunday"] = "monday"

    model_config = ConfigDict(json_schema_extra={"examples": [{"timezone": "Europe/Berlin"}]})


class PreferencesOut(BaseModel):
    timezone: str
    week_start: Literal["monday", "saturday", "sunday"]
    version: int = Field(description="0 while nothing was ever set.")
    updated_at: datetime | None
