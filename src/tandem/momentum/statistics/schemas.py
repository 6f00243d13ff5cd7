"""Shapes of the statistics API."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class StatisticsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    days: int = Field(30, ge=1, le=366, description="How many days, today included.")


class DayCount(BaseModel):
    date: date
    completed: int


class Streak(BaseModel):
    """Consecutive days with a completed task. A streak is alive until a whole day has passed without one."""

    current: int
    longest: int


class ProjectCount(BaseModel):
    project_id: UUID | None = Field(description="Null: tasks without a project.")
    name: str | None
    open: int
    completed: int


class Totals(BaseModel):
    open: int
    completed: int
    overdue: int


class StatisticsOut(BaseModel):
    """Tasks in the trash do not count. Days are those of the user's time zone."""

    timezone: str
    today: date
    totals: Totals
    days: list[DayCount]
    streak: Streak
    by_project: list[ProjectCount]
