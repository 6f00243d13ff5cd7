"""The status table as a migration, shared by the histories of all services."""

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import ARRAY

_ZERO = sa.text("0")


def create_status(op: Operations) -> None:
    op.create_table(
        "status_samples",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("component", sa.Text, nullable=False),
        sa.Column("good", sa.Integer, server_default=_ZERO, nullable=False),
        sa.Column("bad", sa.Integer, server_default=_ZERO, nullable=False),
        sa.Column("latencies", ARRAY(sa.BigInteger)),
        sa.PrimaryKeyConstraint("minute", "component", name="pk_status_samples"),
    )


def drop_status(op: Operations) -> None:
    op.drop_table("status_samples")
