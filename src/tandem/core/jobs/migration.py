"""The job tables as a migration, shared by the histories of all services so that they come out the same.

A later change is a function of its own here, called by a new revision in each history. When an upgrade of the engine
changes its schema, a test says so (`the_engine_finds_its_schema_as_it_wants_it`); the new revision then runs the
statements of the engine's own `plan_upgrade`, those with ALTER TYPE … ADD VALUE in an `autocommit_block`.
"""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB

from tandem.core.jobs import engine, queue_table

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_ACTIVE = "status IN ('queued', 'running')"


def create_jobs(op: Operations) -> None:
    _create_jobs(op)
    _create_parts(op)
    _create_clocks(op)
    _run_script(op, f"{engine.INSTALL}\n{engine.AUTOVACUUM}")


def drop_jobs(op: Operations) -> None:
    _run_script(op, engine.UNINSTALL)
    for table in ("job_workers", "job_crons", "job_events", "job_steps", "jobs"):
        op.drop_table(table)


# An id as core.ids makes them, in SQL: a random UUID (version 4) whose first 48 bits are milliseconds and whose version
# is then 7. Ids of one millisecond are in no order.
_UUID7 = """
CREATE FUNCTION job_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT encode(set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid()) PLACING
            substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$$"""
_MADE = """
INSERT INTO jobs (id, type, payload, run_at) VALUES (job_uuid7(), job_type, job_payload, due) RETURNING *"""
_ENQUEUE = f"""
CREATE FUNCTION job_enqueue(job_type text, job_payload jsonb, due timestamptz) RETURNS text LANGUAGE sql VOLATILE AS $$
  {queue_table.queued(_MADE)}
$$"""


def create_enqueue(op: Operations) -> None:
    """`job_enqueue(type, payload, due)`, for triggers and functions whose jobs belong to the rows they write."""
    op.execute(_UUID7)
    op.execute(_ENQUEUE)


def drop_enqueue(op: Operations) -> None:
    op.execute("DROP FUNCTION job_enqueue(text, jsonb, timestamptz)")
    op.execute("DROP FUNCTION job_uuid7()")


def add_traceparent(op: Operations) -> None:
    """Who enqueued a job, for the trace that goes on in it. Without a default: the table is not rewritten."""
    op.add_column("jobs", sa.Column("traceparent", sa.Text))


def drop_traceparent(op: Operations) -> None:
    op.drop_column("jobs", "traceparent")


def _create_jobs(op: Operations) -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("status", sa.Text, server_default="queued", nullable=False),
        *(_counter(name) for name in ("attempts", "failures", "lost", "priority")),
        sa.Column("run_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        *(sa.Column(name, _TIME) for name in ("started_at", "finished_at", "cancel_requested_at")),
        sa.Column("worker_id", sa.Uuid),
        sa.Column("error", sa.Text),
        sa.Column("result", JSONB),
        sa.Column("progress", sa.Double),
        sa.Column("owner", sa.Text),
        sa.Column("dedupe_key", sa.Text),
        sa.Column("events", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'held')", name=op.f("ck_jobs_status")
        ),
    )
    op.create_index(
        "uq_jobs_dedupe_key", "jobs", ["type", "dedupe_key"], unique=True,
        postgresql_where=sa.text(f"dedupe_key IS NOT NULL AND {_ACTIVE}"),
    )  # fmt: skip
    op.create_index("ix_jobs_active", "jobs", ["type", "run_at"], postgresql_where=sa.text(_ACTIVE))
    op.create_index(
        "ix_jobs_ended", "jobs", ["status", "finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.create_index("ix_jobs_owner", "jobs", ["owner", "id"], postgresql_where=sa.text("owner IS NOT NULL"))


def _create_parts(op: Operations) -> None:
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("result", JSONB),
        sa.Column("finished_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "step", name="pk_job_steps"),
        _of_job("job_steps"),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", JSONB),
        sa.Column("at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_job_events"),
        _of_job("job_events"),
    )


def _create_clocks(op: Operations) -> None:
    op.create_table(
        "job_crons",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("fired_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_job_crons"),
    )
    op.create_table(
        "job_workers",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        _counter("running"),
        sa.Column("started_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("seen_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_workers"),
    )


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, server_default=sa.text("0"), nullable=False)


def _of_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=f"fk_{table}_job_id_jobs", ondelete="CASCADE")


def _run_script(op: Operations, script: str) -> None:
    """Several statements in one go, which asyncpg takes only without its prepared statements, hence on itself."""
    if op.get_context().as_sql:
        op.execute(script)
        return
    adapted: Any = op.get_bind().connection.dbapi_connection
    adapted.run_async(lambda connection: connection.execute(script))
