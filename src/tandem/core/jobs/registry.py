"""Who handles which payload, under which policy, and what runs by the clock.

    @handles(GenerateContent, retries=4, timeout=timedelta(minutes=5), concurrency=2, profile="paid")
    async def generate(job: JobContext, payload: GenerateContent) -> dict[str, Any] | None: ...

    JOBS = Jobs("marketing-ai-worker", handlers=[generate], crons=[cron("nightly", "0 3 * * *", CleanUp())])

Handlers run at least once and possibly at the same time as a run that was taken for dead: write through
`job.finish()`, and put everything that costs money into `job.step()`.
"""

import inspect
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from croniter import croniter  # type: ignore[import-untyped]

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.payload import JobPayload

if TYPE_CHECKING:
    from tandem.core.jobs.worker import Worker

Running = Callable[["Worker"], AbstractAsyncContextManager[None]]
"""Something a worker keeps going beside its jobs. It begins nothing new once `worker.stop` is set."""
ProfileName = Literal["paid", "bulk"]
P = TypeVar("P", bound=JobPayload)
Function = Callable[[JobContext, P], Awaitable[Any]]


@dataclass(frozen=True)
class Backoff:
    """Waits `first`, then `factor` times as long each time, at most `longest`; each between half and all of that."""

    first: timedelta = timedelta(seconds=2)
    factor: float = 2.0
    longest: timedelta = timedelta(minutes=10)

    def delay(self, failures: int) -> timedelta:
        """Before the next try, after so many failed ones. Jitter keeps jobs that failed together apart."""
        exponent = min(max(failures - 1, 0), 60)
        seconds = min(self.first.total_seconds() * self.factor**exponent, self.longest.total_seconds())
        return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True)
class Handler:
    """What `@handles` makes of a function."""

    payload: type[JobPayload]
    function: Function[Any]
    retries: int
    backoff: Backoff
    timeout: timedelta
    concurrency: int  # of this type, over all workers; 0 is no limit
    profile: ProfileName
    event: str | None = None

    @property
    def job_type(self) -> str:
        return self.payload.job_type


@dataclass(frozen=True)
class Cron:
    """Enqueued once for every time its expression (UTC) names, by whichever worker is first."""

    name: str
    expression: str
    payload: JobPayload


def handles(
    payload: type[P],
    *,
    retries: int = 5,
    backoff: Backoff | None = None,
    timeout: timedelta = timedelta(minutes=5),
    concurrency: int = 0,
    profile: ProfileName = "bulk",
    event: str | None = None,
) -> Callable[[Function[P]], Handler]:
    """`retries` come on top of the first try. `paid` takes one job at a time from the queue, `bulk` ten.

    `event` is what the product event of a job that ended is called, as `<event>_succeeded` or `<event>_failed`.
    """

    def register(function: Function[P]) -> Handler:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function} must be async; blocking work goes through asyncio.to_thread")
        if retries < 0 or concurrency < 0 or timeout <= timedelta(0):
            raise ValueError("retries and concurrency are 0 or more, and a timeout is longer than nothing")
        return Handler(payload, function, retries, backoff or Backoff(), timeout, concurrency, profile, event)

    return register


def cron(name: str, expression: str, payload: JobPayload) -> Cron:
    """Five fields, in UTC. Raises ValueError for an expression that cannot be read."""
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError(f"{expression!r} is no cron expression of five fields")
    return Cron(name, expression, payload)


class Jobs:
    """Everything the worker of one service does. `service` is what its health check calls itself."""

    def __init__(
        self,
        service: str,
        *,
        handlers: Sequence[Handler],
        crons: Sequence[Cron] = (),
        running: Sequence[Running] = (),
    ) -> None:
        self.service, self.running = service, tuple(running)
        self.handlers = {handler.job_type: handler for handler in handlers}
        self.crons = tuple(crons)
        if len(self.handlers) != len(handlers):
            raise ValueError("two handlers of one job type")
        if len({one.name for one in crons}) != len(crons):
            raise ValueError("two crons of one name")
        if unhandled := {one.payload.job_type for one in crons} - set(self.handlers):
            raise ValueError(f"nobody handles {', '.join(sorted(unhandled))}")

    def of(self, profile: ProfileName) -> list[Handler]:
        return [handler for handler in self.handlers.values() if handler.profile == profile]
