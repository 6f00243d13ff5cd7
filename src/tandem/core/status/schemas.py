"""What GET /status answers programs."""

from typing import Literal

from pydantic import BaseModel, Field

State = Literal["operational", "degraded", "down", "unknown"]
ComponentName = Literal["api", "database", "cache", "jobs"]


class Hour(BaseModel):
    """`uptime` in percent; null for an hour of which nothing is known."""

    begins: str
    uptime: float | None


class Component(BaseModel):
    name: ComponentName
    status: State
    uptime: float | None = Field(description="Percent of the last 24 hours, as far as they are known.")
    hours: list[Hour]


class LatencyHour(BaseModel):
    begins: str
    p95: float | None


class LatencyOfADay(BaseModel):
    """Of the answers under /api in the last 24 hours, milliseconds; null when there were none."""

    p50: float | None
    p95: float | None
    p99: float | None
    hours: list[LatencyHour]


class StatusPage(BaseModel):
    status: State
    service: str
    updated_at: str
    components: list[Component]
    latency_ms: LatencyOfADay
