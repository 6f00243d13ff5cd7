"""Status page: what it remembers of the last 24 hours."""

from alembic import op

from tandem.core.status.migration import create_status, drop_status

revision = "0005_status"
down_revision = "0004_traces"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_status(op)


def downgrade() -> None:
    drop_status(op)
