"""Jobs: the tables of tandem.core.jobs and the engine's queue."""

from alembic import op

from tandem.core.jobs.migration import create_jobs, drop_jobs

revision = "0002_jobs"
down_revision = "0001_foundation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_jobs(op)


def downgrade() -> None:
    drop_jobs(op)
