"""Health endpoints. docs/health-and-metrics.md describes them.

`/health/live`: the event loop turns. `/health`: the database answers and the process stays, so requests can be sent.
`/health/detailed`: all an operator asks first, open in development and behind HEALTH_TOKEN in a deployment. None is
rate limited.
"""

import asyncio
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal

import psutil
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from tandem.core.database_probe import Answer, DatabaseProbe
from tandem.core.db import Database
from tandem.core.health_token import RESPONSES, require_health_token
from tandem.core.leaving import Leaving
from tandem.core.ratelimit import Limiter
from tandem.core.revisions import expected_heads
from tandem.core.settings import Settings

SYSTEM_CACHE = 1.0  # seconds; CPU use is measured since the sample before, and means nothing over less
_NO_STORE = {"Cache-Control": "no-store"}


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class ServiceHealth(BaseModel):
    """`leaving`: told to stop, it serves what still comes and wants nothing new."""

    status: Literal["healthy", "unhealthy", "leaving"]
    timestamp: str
    service: str
    version: str
    environment: str
    database: Literal["connected", "disconnected"]


class Memory(BaseModel):
    total: int
    available: int
    percent: float


class Disk(BaseModel):
    total: int
    used: int
    percent: float


class System(BaseModel):
    """Of the machine; sizes in bytes."""

    cpu_percent: float
    memory: Memory
    disk: Disk


class Dependencies(BaseModel):
    database: Literal["healthy", "unhealthy"]
    redis: Literal["healthy", "unhealthy", "not configured"]


class Latency(BaseModel):
    """Milliseconds; null when there was no answer."""

    database: float | None
    redis: float | None


class Pool(BaseModel):
    """Database connections of this process. `overflow`: those open beyond `size`."""

    size: int
    checked_out: int
    idle: int
    overflow: int
    max_overflow: int


class Migrations(BaseModel):
    status: Literal["at head", "pending", "unknown"]
    current: str | None
    head: str | None


class RateLimits(BaseModel):
    """`fallback`: REDIS_URL is set, Redis does not answer, and this process counts for itself."""

    backend: Literal["memory", "redis"]
    status: Literal["ok", "fallback"]


class DetailedHealth(BaseModel):
    status: Literal["healthy", "degraded"]
    timestamp: str
    service: str
    version: str
    environment: str
    uptime_seconds: float
    system: System
    dependencies: Dependencies
    latency_ms: Latency
    pool: Pool
    migrations: Migrations
    rate_limits: RateLimits


class Health:
    """What the endpoints know. One per process; `start()` and `close()` with the application."""

    def __init__(self, settings: Settings, database: Database, limiter: Limiter, leaving: Leaving) -> None:
        self.settings, self.limiter, self.database, self.leaving = settings, limiter, database, leaving
        self.probe = DatabaseProbe(database)
        self._began = monotonic()
        self._system: tuple[float, System] | None = None

    async def start(self) -> None:
        psutil.cpu_percent(interval=None)  # the first call has nothing to compare with and answers 0

    async def close(self) -> None:
        await self.probe.close()

    async def brief(self) -> ServiceHealth:
        connected = (await self.probe.ask()).connected
        able: Literal["healthy", "unhealthy"] = "healthy" if connected else "unhealthy"
        return ServiceHealth(
            status="leaving" if self.leaving.asked else able,
            database="connected" if connected else "disconnected",
            **self._identity(),
        )

    async def detailed(self) -> DetailedHealth:
        answer, redis, system = await asyncio.gather(self.probe.ask(), self._redis(), self._machine())
        migrations = await self._migrations(answer)
        state, redis_seconds = redis
        fine = answer.connected and state != "unhealthy" and not self.limiter.fallen_back
        return DetailedHealth(
            status="healthy" if fine and migrations.status != "pending" else "degraded",
            **self._identity(),
            uptime_seconds=round(monotonic() - self._began, 1),
            system=system,
            dependencies=Dependencies(database="healthy" if answer.connected else "unhealthy", redis=state),
            latency_ms=Latency(
                database=_milliseconds(answer.seconds if answer.connected else None), redis=_milliseconds(redis_seconds)
            ),
            pool=self._pool(),
            migrations=migrations,
            rate_limits=RateLimits(
                backend=self.limiter.backend, status="fallback" if self.limiter.fallen_back else "ok"
            ),
        )

    def _identity(self) -> dict[str, Any]:
        return {
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "service": self.settings.service,
            "version": self.settings.app_version,
            "environment": self.settings.environment,
        }

    async def _redis(self) -> tuple[Literal["healthy", "unhealthy", "not configured"], float | None]:
        if not self.limiter.uses_redis:
            return "not configured", None
        seconds = await self.limiter.ping()
        return ("unhealthy" if seconds is None else "healthy"), seconds

    async def _machine(self) -> System:
        if self._system is not None and monotonic() - self._system[0] < SYSTEM_CACHE:
            return self._system[1]
        cpu = psutil.cpu_percent(interval=None)  # here, because psutil remembers the sample before per thread
        memory, disk = await asyncio.to_thread(lambda: (psutil.virtual_memory(), psutil.disk_usage("/")))
        system = System(
            cpu_percent=cpu,
            memory=Memory(total=memory.total, available=memory.available, percent=memory.percent),
            disk=Disk(total=disk.total, used=disk.used, percent=disk.percent),
        )
        self._system = monotonic(), system
        return system

    def _pool(self) -> Pool:
        pool = self.database.pool
        return Pool(
            size=pool.size(),
            checked_out=pool.checkedout(),
            idle=pool.checkedin(),
            overflow=max(0, pool.overflow()),  # negative while the pool has not yet grown to its size
            max_overflow=self.settings.pool_overflow,
        )

    async def _migrations(self, answer: Answer) -> Migrations:
        heads = await asyncio.to_thread(expected_heads, self.settings.database_name)
        current, head = _joined(answer.revisions), _joined(heads)
        if not answer.connected or head is None:
            return Migrations(status="unknown", current=current, head=head)
        return Migrations(status="at head" if current == head else "pending", current=current, head=head)


def _joined(revisions: frozenset[str]) -> str | None:
    return ", ".join(sorted(revisions)) or None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


router = APIRouter(tags=["health"])


@router.get("/health/live", summary="The process answers")
@router.head("/health/live", include_in_schema=False)
async def live() -> Alive:
    return Alive()


@router.get(
    "/health",
    summary="The service can serve requests",
    response_model=ServiceHealth,
    responses={503: {"model": ServiceHealth, "description": "The database does not answer, or the process leaves"}},
)
@router.head("/health", include_in_schema=False)
async def brief(request: Request) -> JSONResponse:
    health: Health = request.app.state.health
    body = await health.brief()
    return JSONResponse(body.model_dump(), 200 if body.status == "healthy" else 503, _NO_STORE)


@router.get(
    "/health/detailed",
    summary="System, dependencies, pool and migrations",
    response_model=DetailedHealth,
    dependencies=[Depends(require_health_token)],
    responses=RESPONSES | {503: {"model": DetailedHealth, "description": "The database does not answer"}},
)
@router.head("/health/detailed", include_in_schema=False, dependencies=[Depends(require_health_token)])
async def detailed(request: Request) -> JSONResponse:
    health: Health = request.app.state.health
    body = await health.detailed()
    return JSONResponse(body.model_dump(), 200 if body.dependencies.database == "healthy" else 503, _NO_STORE)
