"""Jobs remember the trace they were enqueued in."""

from alembic import op

from tandem.core.jobs.migration import add_traceparent, drop_traceparent

revision = "0010_traces"
down_revision = "0009_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_traceparent(op)


def downgrade() -> None:
    drop_traceparent(op)
