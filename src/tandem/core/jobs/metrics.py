"""Prometheus metrics of a worker, in the registry of /metrics."""

from datetime import timedelta

from prometheus_client import Counter, Gauge, Histogram

from tandem.core.metrics import REGISTRY

_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)  # seconds
_ended = Counter("jobs_ended", "Runs that ended, by outcome", ["type", "outcome"], registry=REGISTRY)
_durations = Histogram("job_duration_seconds", "Time a run took", ["type"], buckets=_BUCKETS, registry=REGISTRY)
_waits = Histogram(
    "job_pickup_seconds", "Time from when a job was due to its start", ["type"], buckets=_BUCKETS, registry=REGISTRY
)
_depth = Gauge(
    "jobs_queued", "Jobs that are due, or waiting for their time", ["type", "state"],
    multiprocess_mode="livemax", registry=REGISTRY,
)  # fmt: skip
_oldest = Gauge(
    "jobs_oldest_age_seconds", "How long the oldest job that is due has waited",
    multiprocess_mode="livemax", registry=REGISTRY,
)  # fmt: skip
_running = Gauge("jobs_running", "Jobs this worker is at", multiprocess_mode="livesum", registry=REGISTRY)
_workers = Gauge("job_workers", "Workers that are alive", multiprocess_mode="livemax", registry=REGISTRY)
_known: set[tuple[str, str]] = set()


def picked_up(job_type: str, waited: timedelta) -> None:
    _waits.labels(job_type).observe(max(0.0, waited.total_seconds()))


def ended(job_type: str, outcome: str, seconds: float | None) -> None:
    """`outcome`: succeeded, failed, retry, cancelled, held, given_back or superseded."""
    _ended.labels(job_type, outcome).inc()
    if seconds is not None:
        _durations.labels(job_type).observe(seconds)


def sampled(depth: dict[tuple[str, str], int], oldest_seconds: float, running: int, workers: int) -> None:
    """`depth` by (type, state); what was seen before and is gone is 0."""
    for key in _known - set(depth):
        _depth.labels(*key).set(0)
    for key, count in depth.items():
        _known.add(key)
        _depth.labels(*key).set(count)
    _oldest.set(oldest_seconds)
    _running.set(running)
    _workers.set(workers)
