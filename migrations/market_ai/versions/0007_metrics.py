"""Daily metrics of campaigns, and the reports of their analyses."""

import sqlalchemy as sa
from alembic import op

revision = "0007_metrics"
down_revision = "0006_leads"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
METRICS, REPORTS = "campaign_metrics", "campaign_reports"
COUNTS = ("impressions", "clicks", "conversions", "cost_micros", "revenue_micros")


def upgrade() -> None:
    op.create_table(
        METRICS,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, server_default=sa.text("0"), nullable=False) for name in COUNTS),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "campaign_id", "date", "channel", "variant", name=f"pk_{METRICS}"),
        _of_campaign(METRICS),
        sa.CheckConstraint(f"least({', '.join(COUNTS)}) >= 0", name=op.f(f"ck_{METRICS}_not_negative")),
    )
    op.create_table(
        REPORTS,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("recommendations", sa.JSON, nullable=False),
        sa.Column("rejected", sa.JSON, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{REPORTS}"),
        _of_campaign(REPORTS),
    )
    op.create_index(f"uq_{REPORTS}_job", REPORTS, ["org_id", "job_id"], unique=True)
    op.create_index(f"ix_{REPORTS}_campaign", REPORTS, ["org_id", "campaign_id", "id"])


def downgrade() -> None:
    op.drop_table(REPORTS)
    op.drop_table(METRICS)


def _of_campaign(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id", "campaign_id"],
        ["campaigns.org_id", "campaigns.id"],
        name=f"fk_{table}_org_id_campaign_id_campaigns",
        ondelete="CASCADE",
    )
