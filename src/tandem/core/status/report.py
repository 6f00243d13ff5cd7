"""The status page's content: how things are now, and how they were in the last 24 hours. Kept for CACHE seconds."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from time import monotonic
from typing import Any

import structlog

from tandem.core.db import Database
from tandem.core.health import Health
from tandem.core.metrics import BUCKETS
from tandem.core.ratelimit import Limiter
from tandem.core.status import page, sql
from tandem.core.status.schemas import Component, ComponentName, Hour, LatencyHour, LatencyOfADay, State, StatusPage

CACHE = 15.0  # seconds
DEADLINE = 5.0  # seconds for reading
HOURS = 24
WELL = 0.95  # of the last five minutes

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rendered:
    """`at` is the loop's clock."""

    html: bytes
    json: bytes
    at: float


@dataclass(frozen=True)
class History:
    """Rows of sql.HOURS by component and hour, counts of sql.LATENCIES by hour; 1 is the hour that ends at `end`."""

    end: datetime
    hours: dict[str, dict[int, Any]]
    latencies: dict[int, list[int]]

    def lately(self, component: str) -> float | None:
        share: float | None = row["lately"] if (row := self.hours.get(component, {}).get(1)) else None
        return share


class StatusReport:
    """One per process. Simultaneous callers share one reading."""

    def __init__(self, title: str, database: Database, health: Health, limiter: Limiter) -> None:
        self._title, self._database, self._health, self._limiter = title, database, health, limiter
        self._last: Rendered | None = None
        self._history: History | None = None
        self._making: asyncio.Task[Rendered] | None = None

    async def get(self) -> Rendered:
        """Never raises: without the database it says what was known before."""
        if self._last is not None and monotonic() - self._last.at < CACHE:
            return self._last
        if self._making is None:
            self._making = asyncio.create_task(self._make(), name="status-page", context=Context())
        return await asyncio.shield(self._making)

    async def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def _make(self) -> Rendered:
        try:
            connected = (await self._health.probe.ask()).connected
            if connected:
                self._history = await self._read() or self._history
            known = self._history or History(_minute(), {}, {})
            status = self.describe(known, connected=connected)
            self._last = Rendered(
                page.render(self._title, status).encode(), status.model_dump_json().encode(), monotonic()
            )
            return self._last
        finally:
            self._making = None

    async def _read(self) -> History | None:
        end = _minute()
        try:
            async with asyncio.timeout(DEADLINE), self._database.connection() as connection:
                hours: dict[str, dict[int, Any]] = defaultdict(dict)
                for row in await connection.fetch(sql.HOURS, end):
                    hours[row["component"]][row["hours_ago"]] = row
                rows = await connection.fetch(sql.LATENCIES, end)
                return History(end, dict(hours), {row["hours_ago"]: row["counts"] for row in rows})
        except Exception as error:
            log.warning("status_not_read", reason=f"{type(error).__name__}: {error}"[:300])
            return None

    def describe(self, known: History, *, connected: bool) -> StatusPage:
        states: dict[ComponentName, State] = {
            "api": _now(known.lately("api")) if connected else "down",
            "database": _now(known.lately("database")) if connected else "down",
        }
        if self._limiter.uses_redis:
            states["cache"] = "degraded" if self._limiter.fallen_back else "operational"
        if "jobs" in known.hours:
            late = known.lately("jobs")
            states["jobs"] = "unknown" if late is None or not connected else _now(late)
        return StatusPage(
            status=_worst(list(states.values())),
            service=self._title,
            updated_at=_text(datetime.now(UTC)),
            components=[_component(name, state, known) for name, state in states.items()],
            latency_ms=_latency(known),
        )


def _now(share: float | None) -> State:
    return "operational" if share is None or share >= WELL else "degraded"


def _worst(states: Sequence[State]) -> State:
    if "down" in states:
        return "down"
    return "degraded" if "degraded" in states else "operational"


def _component(name: ComponentName, state: State, known: History) -> Component:
    """A gap in what is known of the API is an outage, for whoever notes it was not there; else it is only a gap."""
    rows = known.hours.get(name, {})
    begin = min((row["first"] for row in rows.values()), default=known.end)
    hours, minutes, good = [], 0.0, 0.0
    for ago in range(HOURS, 0, -1):
        starts = known.end - timedelta(hours=ago)
        seen, fine = (rows[ago]["minutes"], rows[ago]["good"]) if ago in rows else (0, 0.0)
        if name == "api":
            seen = max(seen, round((starts + timedelta(hours=1) - max(starts, begin)) / timedelta(minutes=1)))
        hours.append(Hour(begins=_text(starts), uptime=_percent(fine, seen)))
        minutes, good = minutes + max(seen, 0), good + fine
    return Component(name=name, status=state, uptime=_percent(good, minutes), hours=hours)


def _latency(known: History) -> LatencyOfADay:
    every = [sum(counts) for counts in zip_longest(*known.latencies.values(), fillvalue=0)]
    hours = [
        LatencyHour(begins=_text(known.end - timedelta(hours=ago)), p95=quantile(known.latencies.get(ago, []), 0.95))
        for ago in range(HOURS, 0, -1)
    ]
    return LatencyOfADay(p50=quantile(every, 0.5), p95=quantile(every, 0.95), p99=quantile(every, 0.99), hours=hours)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Milliseconds, interpolated within a bucket as Prometheus does; the last one has no end and is its beginning."""
    total = sum(counts)
    if total == 0:
        return None
    rank, below = share * total, 0
    for place, count in enumerate(counts):
        if count and below + count >= rank:
            if place >= len(BUCKETS):
                break
            low, high = (BUCKETS[place - 1] if place else 0.0), BUCKETS[place]
            return round(1000 * (low + (high - low) * (rank - below) / count), 1)
        below += count
    return BUCKETS[-1] * 1000


def _percent(good: float, minutes: float) -> float | None:
    """Rounded down: 100 is said only when nothing was wrong."""
    return None if minutes <= 0 else int(min(good / minutes, 1.0) * 100_000 + 1e-6) / 1000


def _minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
