"""The tables of jobs, part of every service's metadata. The engine's own tables are not: see queue_table.py.

A job's way: queued → running → succeeded | failed | cancelled | held; running → queued for a retry, and when its
worker leaves. `attempts` counts starts, `failures` tries that failed, `lost` starts that never ended.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from tandem.core.base import Base

_TIME = DateTime(timezone=True)
_NOW = text("now()")
_ZERO = text("0")

jobs = Table(
    "jobs",
    Base.metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default="queued"),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("failures", Integer, nullable=False, server_default=_ZERO),
    Column("lost", Integer, nullable=False, server_default=_ZERO),
    Column("priority", Integer, nullable=False, server_default=_ZERO),
    Column("run_at", _TIME, nullable=False, server_default=_NOW),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("started_at", _TIME),
    Column("finished_at", _TIME),
    Column("cancel_requested_at", _TIME),
    Column("worker_id", Uuid),
    Column("error", Text),
    Column("result", JSONB),
    Column("progress", Double),
    Column("owner", Text),
    Column("dedupe_key", Text),
    Column("events", BigInteger, nullable=False, server_default=_ZERO),
    Column("traceparent", Text),
    CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'held')", name="status"),
    Index(
        "uq_jobs_dedupe_key",
        "type",
        "dedupe_key",
        unique=True,
        postgresql_where=text("dedupe_key IS NOT NULL AND status IN ('queued', 'running')"),
    ),
    Index("ix_jobs_active", "type", "run_at", postgresql_where=text("status IN ('queued', 'running')")),
    Index("ix_jobs_ended", "status", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index("ix_jobs_owner", "owner", "id", postgresql_where=text("owner IS NOT NULL")),
)

job_steps = Table(
    "job_steps",
    Base.metadata,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("result", JSONB),
    Column("finished_at", _TIME, nullable=False, server_default=_NOW),
)

job_events = Table(
    "job_events",
    Base.metadata,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("data", JSONB),
    Column("at", _TIME, nullable=False, server_default=_NOW),
)

job_crons = Table(
    "job_crons",
    Base.metadata,
    Column("name", Text, primary_key=True),
    Column("fired_at", _TIME, nullable=False),
)

job_workers = Table(
    "job_workers",
    Base.metadata,
    Column("id", Uuid, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("running", Integer, nullable=False, server_default=_ZERO),
    Column("started_at", _TIME, nullable=False, server_default=_NOW),
    Column("seen_at", _TIME, nullable=False, server_default=_NOW),
)
