"""One run of one job: started, handled within its limits, and its end written where it counts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
import structlog
from pgqueuer.core.executors import AbstractEntrypointExecutor, EntrypointExecutorParameters
from pgqueuer.domain import models
from pgqueuer.domain.errors import RetryRequested
from pydantic import ValidationError

from tandem.core import analytics, sentry, telemetry
from tandem.core.db import Database
from tandem.core.jobs import metrics, store
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.driver import ResilientDriver, is_outage
from tandem.core.jobs.errors import JobFailed, JobTimeout, RetryJob, Superseded
from tandem.core.jobs.registry import Handler
from tandem.core.jobs.store import Started
from tandem.core.log import mask
from tandem.core.settings import Settings

AT_ONCE = timedelta(0)
AFTER_OUTAGE = timedelta(seconds=1)
UNWELL = {"failed", "retry"}  # outcomes that are errors of the job

log = structlog.get_logger(__name__)


class Runs:
    """What a worker is running now, and whether it is leaving."""

    def __init__(self) -> None:
        self._scopes: dict[UUID, anyio.CancelScope] = {}
        self.leaving = False

    def __len__(self) -> int:
        return len(self._scopes)

    @property
    def ids(self) -> list[UUID]:
        return list(self._scopes)

    def add(self, job_id: UUID, scope: anyio.CancelScope) -> None:
        self._scopes[job_id] = scope

    def remove(self, job_id: UUID, scope: anyio.CancelScope) -> None:
        if self._scopes.get(job_id) is scope:
            del self._scopes[job_id]

    def cancel(self, job_id: UUID) -> None:
        if scope := self._scopes.get(job_id):
            scope.cancel()

    def give_back(self) -> None:
        """Interrupt every handler; their jobs are queued again."""
        self.leaving = True
        for scope in list(self._scopes.values()):
            scope.cancel()


@dataclass(frozen=True)
class Bench:
    """What every run of a worker works with."""

    worker_id: UUID
    settings: Settings
    driver: ResilientDriver
    database: Database
    runs: Runs
    max_lost: int
    seen: Callable[[], None] = lambda: None  # called when a run has ended


class Executor(AbstractEntrypointExecutor):
    """The engine's view of a handler. Raises nothing but the engine's own RetryRequested."""

    def __init__(self, handler: Handler, bench: Bench) -> None:
        super().__init__(EntrypointExecutorParameters(handler.concurrency, _never_called, on_failure="hold"))
        self.handler, self.bench = handler, bench

    async def execute(self, job: models.Job, context: models.Context) -> None:
        started = await store.start(
            self.bench.driver.statement, UUID(bytes=job.payload), self.bench.worker_id, self.bench.max_lost
        )
        if started is None:
            return  # it ended before, and the worker died before it could tell the engine
        if started.status != "running":
            log.warning("job_not_started", job_id=str(started.id), job_type=started.type, status=started.status)
            metrics.ended(started.type, started.status, None)
            return
        metrics.picked_up(started.type, started.waited)
        about = {"job_id": str(started.id), "job_type": started.type, "attempt": started.attempt}
        with structlog.contextvars.bound_contextvars(**about):
            with telemetry.span(
                f"job {started.type}", "consumer", parent=started.traceparent, tandem__job__id=about["job_id"],
                tandem__job__type=started.type, tandem__job__attempt=started.attempt,
            ) as span:  # fmt: skip
                outcome, again = await self._run(started, context.cancellation)
                telemetry.annotate(span, failed=outcome in UNWELL, tandem__job__outcome=outcome)
            if again is not None:
                raise RetryRequested(again, outcome)

    async def _run(self, started: Started, cancellation: anyio.CancelScope) -> tuple[str, timedelta | None]:
        """How it ended, and when it shall run again if it shall."""
        began, error, result, late = time.perf_counter(), None, None, False
        self.bench.runs.add(started.id, cancellation)
        try:
            with cancellation, anyio.move_on_after(self.handler.timeout.total_seconds()) as limit:
                if self.bench.runs.leaving:
                    cancellation.cancel()
                result = await self._handle(started, cancellation)
            late = limit.cancelled_caught
        except Exception as raised:
            error = raised
        finally:
            self.bench.runs.remove(started.id, cancellation)
        interrupted = cancellation.cancelled_caught or (error is not None and cancellation.cancel_called)
        if late:
            error = JobTimeout(f"took longer than {self.handler.timeout.total_seconds():g} s")
        outcome, again = await self._end(started, error, result, interrupted=interrupted)
        seconds = time.perf_counter() - began
        metrics.ended(started.type, outcome, seconds)
        if self.handler.event and outcome in {"succeeded", "failed"} and started.owner is not None:
            event = f"{self.handler.event}_{outcome}"
            analytics.capture(event, started.owner, seconds=round(seconds, 3), attempt=started.attempt)
        return outcome, again

    async def _handle(self, started: Started, cancellation: anyio.CancelScope) -> Any:
        try:
            payload = self.handler.payload.model_validate_json(started.payload)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
            raise JobFailed(f"its payload does not fit this version: {fields}") from None
        bench = self.bench
        job = JobContext(started, bench.database, bench.driver.statement, cancellation, bench.settings)
        return await self.handler.function(job, payload)

    async def _end(
        self, started: Started, error: Exception | None, result: Any, *, interrupted: bool
    ) -> tuple[str, timedelta | None]:
        """Write how the run ended: the outcome's name, and when the engine shall run the job again."""
        fetch, job_id, attempt = self.bench.driver.statement, started.id, started.attempt
        if interrupted and self.bench.runs.leaving:
            back = await store.give_back(fetch, job_id, attempt, lost=False)
            return ("given_back", AT_ONCE) if back else ("superseded", None)
        if interrupted:
            await store.cancelled(fetch, job_id, attempt)
            log.info("job_cancelled")
            return "cancelled", None
        if error is None:
            try:
                await store.succeed(fetch, job_id, attempt, result)
            except Superseded as overtaken:
                error = overtaken
            except (TypeError, ValueError) as unfit:
                error = JobFailed(f"its result is not JSON: {unfit}")
            else:
                return "succeeded", None
        if isinstance(error, Superseded):
            log.warning("job_superseded")
            return "superseded", None
        if is_outage(error):
            log.warning("job_interrupted_by_outage", reason=type(error).__name__)
            back = await store.give_back(fetch, job_id, attempt, lost=True)
            return ("given_back", AFTER_OUTAGE) if back else ("superseded", None)
        return await self._failed(started, error)

    async def _failed(self, started: Started, error: Exception) -> tuple[str, timedelta | None]:
        text, failures = _described(error), started.failures + 1
        final = isinstance(error, JobFailed) or failures > self.handler.retries
        if not final:
            delay = error.after if isinstance(error, RetryJob) else self.handler.backoff.delay(failures)
            log.warning("job_will_be_retried", error=text, failures=failures, seconds=round(delay.total_seconds(), 1))
            await store.retry(self.bench.driver.statement, started.id, started.attempt, text, delay)
            return "retry", delay
        if isinstance(error, JobFailed):
            log.warning("job_failed", error=text, failures=failures)
        else:
            log.error("job_failed", error=text, failures=failures, exc_info=error)
            sentry.capture(error, method="JOB", route=started.type)
        await store.fail(self.bench.driver.statement, started.id, started.attempt, text)
        return "failed", None


def _described(error: Exception) -> str:
    text = str(error)
    if isinstance(error, JobFailed | RetryJob | JobTimeout):
        return mask(text)
    return mask(f"{type(error).__name__}: {text}" if text else type(error).__name__)


async def _never_called(_job: models.Job) -> None:
    raise AssertionError("the executor runs the handler itself")
