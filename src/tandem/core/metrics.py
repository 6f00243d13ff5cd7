"""Prometheus metrics at /metrics, right with one worker and with several.

Several workers share one directory of memory-mapped files (PROMETHEUS_MULTIPROC_DIR), which has to be named before
prometheus_client is imported: the parent calls `prepare_multiprocess` before it spawns them. Any worker then answers
for all of them. What is known only when asked (pool, memory) is sampled every SAMPLE_INTERVAL, since the worker that
answers cannot look into the others.
"""

import asyncio
import os
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import prometheus_client
import psutil
import structlog
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.samples import Sample

from tandem.core.db import Database
from tandem.core.health_token import RESPONSES, require_health_token
from tandem.core.metrics_directory import VARIABLE, prepare_multiprocess
from tandem.core.settings import Settings

__all__ = ["Sampler", "began", "ended", "observe", "prepare_multiprocess", "rate_limited", "router", "totals"]

log = structlog.get_logger(__name__)

SAMPLE_INTERVAL = 5.0  # seconds
MAX_SERIES = 2000  # combinations of method, route and status; a service has a few hundred
UNMATCHED = "unmatched"  # the route of a request that no route matched: its path is the client's invention
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each of ours, which nobody reads

REGISTRY = CollectorRegistry()
_requests = Counter("http_requests", "Requests answered", ["method", "route", "status"], registry=REGISTRY)
_durations = Histogram(
    "http_request_duration_seconds",
    "Time from the request's headers to the end of its response",
    ["method", "route"],
    buckets=BUCKETS,
    registry=REGISTRY,
)
_in_progress = Gauge(
    "http_requests_in_progress", "Requests being answered now", multiprocess_mode="livesum", registry=REGISTRY
)
_rate_limited = Counter("rate_limited_requests", "Requests refused with 429", ["policy"], registry=REGISTRY)
_pool = Gauge(
    "db_pool_connections",
    "Database connections of the pools, by state",
    ["state"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
_pool_limit = Gauge(
    "db_pool_connections_max", "Connections the pools may open", multiprocess_mode="livesum", registry=REGISTRY
)
_build = Gauge("tandem_build_info", "Always 1", ["service", "version"], multiprocess_mode="livemax", registry=REGISTRY)
_memory = Gauge("process_resident_memory_bytes", "Resident memory", multiprocess_mode="liveall", registry=REGISTRY)
_cpu = Gauge("process_cpu_seconds_total", "User and system CPU time", multiprocess_mode="liveall", registry=REGISTRY)
_files = Gauge("process_open_fds", "Open file descriptors", multiprocess_mode="liveall", registry=REGISTRY)
_started = Gauge(
    "process_start_time_seconds", "Start of the process, Unix time", multiprocess_mode="liveall", registry=REGISTRY
)

_Series = tuple[Callable[[], None], Callable[[float], None]]
_series: dict[tuple[str, str | None, int], _Series] = {}

# Called by the access log around every request, so bound once.
began: Callable[[], None] = _in_progress.inc
ended: Callable[[], None] = _in_progress.dec


def observe(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count an answered request. `route` is the template (`/api/tasks/{id}`), None when no route matched."""
    series = _series.get((method, route, status)) or _new_series(method, route, status)
    series[0]()
    series[1](seconds)


def rate_limited(policy: str) -> None:
    _rate_limited.labels(policy).inc()


def _new_series(method: str, route: str | None, status: int) -> _Series:
    if len(_series) >= MAX_SERIES:
        route = UNMATCHED
    known = method if method in METHODS else "OTHER"
    label = route or UNMATCHED
    series = (_requests.labels(known, label, str(status)).inc, _durations.labels(known, label).observe)
    if known == method and len(_series) < MAX_SERIES:
        _series[method, route, status] = series
    return series


@dataclass(frozen=True)
class Totals:
    """Of this process's answers under /api since it started. `buckets` are by duration, one more than BUCKETS."""

    answered: int
    errors: int
    buckets: tuple[int, ...]


def totals(but: Container[str]) -> Totals:
    """All routes but those named; `errors` are 5xx."""
    answered = errors = 0
    for sample in _samples(_requests, "http_requests_total", but):
        answered += int(sample.value)
        errors += int(sample.value) if sample.labels["status"].startswith("5") else 0
    reached = dict.fromkeys((*map(float, BUCKETS), float("inf")), 0)
    for sample in _samples(_durations, "http_request_duration_seconds_bucket", but):
        reached[float(sample.labels["le"])] += int(sample.value)
    steps = list(reached.values())  # of a histogram, each holds those before it
    return Totals(answered, errors, tuple(b - a for a, b in pairwise([0, *steps])))


def _samples(metric: Counter | Histogram, name: str, but: Container[str]) -> Iterator[Sample]:
    for family in metric.collect():
        for sample in family.samples:
            route = sample.labels.get("route", "")
            if sample.name == name and route.startswith("/api") and route not in but:
                yield sample


class Sampler:
    """Keeps the gauges of this process current. `start()` and `close()` with the application."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._process = psutil.Process()
        self._max = settings.pool_size + settings.pool_overflow
        _build.labels(settings.service, settings.app_version).set(1)
        _started.set(self._process.create_time())
        self._task: asyncio.Task[None] | None = None
        if settings.web_concurrency > 1 and VARIABLE not in os.environ:
            log.warning(
                "metrics_of_one_worker_only",
                remedy=f"set {VARIABLE} to an empty directory before the server starts, or use `tandem serve`",
            )

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="metrics-sampler")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def sample(self) -> None:
        pool = self._database.pool
        _pool.labels("in_use").set(pool.checkedout())
        _pool.labels("idle").set(pool.checkedin())
        _pool_limit.set(self._max)
        with self._process.oneshot(), suppress(psutil.Error, NotImplementedError, AttributeError):
            times = self._process.cpu_times()
            _cpu.set(times.user + times.system)
            _memory.set(self._process.memory_info().rss)
            _files.set(self._process.num_fds())

    async def _run(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_INTERVAL)


router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    dependencies=[Depends(require_health_token)],
    response_class=Response,
    responses=RESPONSES | {200: {"content": {"text/plain": {}}, "description": "Prometheus text format 0.0.4"}},
)
async def metrics(request: Request) -> Response:
    sampler: Sampler = request.app.state.sampler
    sampler.sample()
    text = await asyncio.to_thread(render)
    return Response(text, media_type=prometheus_client.CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})


def render() -> bytes:
    """The text of all workers. Reads files when there are several: call it in a thread."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return prometheus_client.generate_latest(REGISTRY)
    forget_dead_workers(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return prometheus_client.generate_latest(registry)


def forget_dead_workers(directory: Path) -> None:
    """Drop the gauges of workers that are gone. What they counted stays: a counter must not go down."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            with suppress(FileNotFoundError):  # another worker was quicker
                mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
