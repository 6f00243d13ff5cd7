"""What every process of a service notes four times a minute, and writes down for all of them to show.

In memory until the database takes it, for a day at most: an outage of the database is remembered by those who were
kept from writing. A minute in which no process noted anything is a minute in which the service did not run.
"""

import asyncio
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from tandem.core import metrics
from tandem.core.db import Database
from tandem.core.health import Health
from tandem.core.ratelimit import Limiter
from tandem.core.status import sql

INTERVAL = 15.0  # seconds
DEADLINE = 10.0  # seconds for writing
FORGET_EVERY = 40  # notes, ten minutes
KEEP = timedelta(hours=24)
ERRORS = 0.05  # share of 5xx among the answers from which on the service was not well
JOBS_WAIT = timedelta(minutes=5)

log = structlog.get_logger(__name__)


@dataclass
class Sample:
    good: int = 0
    bad: int = 0
    latencies: list[int] = field(default_factory=list)

    def add(self, good: bool, latencies: Sequence[int] = ()) -> None:
        self.good, self.bad = self.good + good, self.bad + (not good)
        if latencies:
            before = self.latencies or [0] * len(latencies)
            self.latencies = [a + b for a, b in zip(before, latencies, strict=True)]


class StatusSampler:
    """One per process; `close()` with the application. `streams`: routes whose answers last as long as they please."""

    def __init__(self, database: Database, health: Health, limiter: Limiter, streams: Container[str]) -> None:
        self._database, self._health, self._limiter, self._streams = database, health, limiter, streams
        self._unwritten: dict[tuple[datetime, str], Sample] = {}
        self._before = metrics.totals(streams)
        self._notes = 0
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="status-sampler")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def note(self, now: datetime | None = None) -> None:
        """One look at everything, and an attempt to write down what there is. Raises nothing that it meets."""
        minute = (now or datetime.now(UTC)).replace(second=0, microsecond=0)
        connected = (await self._health.probe.ask()).connected
        well, latencies = self._served()
        self._sample(minute, "api").add(connected and well, latencies)
        self._sample(minute, "database").add(connected)
        if self._limiter.uses_redis:
            self._sample(minute, "cache").add(not self._limiter.fallen_back)
        for key in [key for key in self._unwritten if key[0] < minute - KEEP]:
            del self._unwritten[key]
        if connected:
            await self._write(minute)

    def _served(self) -> tuple[bool, list[int]]:
        """Since the note before."""
        totals, before = metrics.totals(self._streams), self._before
        self._before = totals
        answered, errors = totals.answered - before.answered, totals.errors - before.errors
        return errors <= answered * ERRORS, [a - b for a, b in zip(totals.buckets, before.buckets, strict=True)]

    def _sample(self, minute: datetime, component: str) -> Sample:
        return self._unwritten.setdefault((minute, component), Sample())

    async def _write(self, minute: datetime) -> None:
        try:
            async with asyncio.timeout(DEADLINE), self._database.connection() as connection:
                waiting = await connection.fetchval(sql.JOBS_WAIT, JOBS_WAIT)
                self._sample(minute, "jobs").add(not waiting)
                await connection.execute(sql.RECORD, _as_json(self._unwritten))
                self._unwritten.clear()
                self._notes += 1
                if self._notes % FORGET_EVERY == 1:
                    await connection.execute(sql.FORGET)
            self._failing = False
        except Exception as error:
            if not self._failing:  # not migrated yet, or no connection to be had: said once
                log.warning("status_not_recorded", reason=f"{type(error).__name__}: {error}"[:300])
            self._failing = True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.note()


def _as_json(samples: dict[tuple[datetime, str], Sample]) -> str:
    return json.dumps(
        [
            {
                "minute": minute.isoformat(),
                "component": component,
                "good": one.good,
                "bad": one.bad,
                "latencies": one.latencies or None,
            }
            for (minute, component), one in samples.items()
        ]
    )
