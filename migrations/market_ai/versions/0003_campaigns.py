"""Brands, campaigns and their content with its versions and reviews."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003_campaigns"
down_revision = "0002_jobs"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
EMPTY = sa.text("'{}'::text[]")
TABLES = ("content_reviews", "content_versions", "content_assets", "campaigns", "brands")

# In a cascade the row that these belong to is gone already; a DELETE aimed at them meets it alive.
STAY = """
CREATE FUNCTION content_goes_with_its_asset() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM content_assets a JOIN organizations o ON o.id = a.org_id
              WHERE a.org_id = OLD.org_id AND a.id = OLD.asset_id) THEN
    RAISE EXCEPTION 'DELETE of % is refused: its rows go only with their asset', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN OLD;
END
$$
"""


def upgrade() -> None:
    _create_brands()
    _create_campaigns()
    _create_assets()
    _create_versions()
    _create_reviews()
    op.execute(STAY)
    for table in ("content_versions", "content_reviews"):
        op.execute(
            f"CREATE TRIGGER {table}_never_change BEFORE UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION market_ai_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_stay BEFORE DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION content_goes_with_its_asset()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION content_goes_with_its_asset")


def _create_brands() -> None:
    op.create_table(
        "brands",
        *_owned("brands"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tone", sa.Text, server_default="", nullable=False),
        sa.Column("style", sa.Text, server_default="", nullable=False),
        sa.Column("banned_words", sa.ARRAY(sa.Text), server_default=EMPTY, nullable=False),
        sa.Column("required_disclaimer", sa.Text, server_default="", nullable=False),
        sa.Column("examples", sa.ARRAY(sa.Text), server_default=EMPTY, nullable=False),
    )
    op.create_index("uq_brands_name", "brands", ["org_id", sa.text("lower(name)")], unique=True)


def _create_campaigns() -> None:
    op.create_table(
        "campaigns",
        *_owned("campaigns"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("status", sa.Text, server_default="draft", nullable=False),
        sa.Column("objective", sa.Text, server_default="", nullable=False),
        sa.Column("audience", sa.Text, server_default="", nullable=False),
        sa.Column("budget_micros", sa.BigInteger),
        sa.Column("budget_currency", sa.Text),
        sa.Column("starts_at", TIME),
        sa.Column("ends_at", TIME),
        sa.Column("channels", sa.ARRAY(sa.Text), server_default=EMPTY, nullable=False),
        sa.Column("brand_id", sa.Uuid),
        *(sa.Column(f"{move}_at", TIME) for move in ("activated", "paused", "resumed", "completed", "archived")),
        sa.ForeignKeyConstraint(
            ["org_id", "brand_id"],
            ["brands.org_id", "brands.id"],
            name="fk_campaigns_org_id_brand_id_brands",
            ondelete="SET NULL (brand_id)",
        ),
        _check("campaigns", "type", "type IN ('email', 'social', 'search', 'display')"),
        _check("campaigns", "status", "status IN ('draft', 'active', 'paused', 'completed', 'archived')"),
        _check("campaigns", "budget_is_not_negative", "budget_micros >= 0"),
        _check("campaigns", "budget_has_a_currency", "(budget_micros IS NULL) = (budget_currency IS NULL)"),
        _check("campaigns", "ends_after_it_starts", "ends_at > starts_at"),
    )
    op.create_index("ix_campaigns_created_at", "campaigns", ["org_id", "created_at", "id"])
    op.create_index("ix_campaigns_id", "campaigns", ["id"])
    op.create_index(
        "ix_campaigns_brand", "campaigns", ["org_id", "brand_id"], postgresql_where=sa.text("brand_id IS NOT NULL")
    )


def _create_assets() -> None:
    table = "content_assets"
    op.create_table(
        table,
        *_owned(table),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("status", sa.Text, server_default="draft", nullable=False),
        sa.Column("current_version", sa.Integer, server_default=sa.text("1"), nullable=False),
        sa.Column("approved_version", sa.Integer),
        sa.Column("approved_by", sa.Text),
        sa.Column("approved_at", TIME),
        sa.Column("published_version", sa.Integer),
        sa.Column("published_by", sa.Text),
        sa.Column("published_at", TIME),
        sa.Column("rejection", sa.Text),
        sa.Column("archived_at", TIME),
        sa.Column("job_id", sa.Uuid),
        sa.Column("variant", sa.SmallInteger),
        sa.ForeignKeyConstraint(
            ["org_id", "campaign_id"],
            ["campaigns.org_id", "campaigns.id"],
            name="fk_content_assets_org_id_campaign_id_campaigns",
            ondelete="CASCADE",
        ),
        _check(table, "kind", "kind IN ('blog', 'email', 'social', 'ad_copy', 'landing_page', 'video_script')"),
        _check(table, "status", "status IN ('draft', 'in_review', 'approved', 'published', 'archived')"),
        _check(
            table,
            "approved_as_it_is",
            "status NOT IN ('approved', 'published') OR approved_version IS NOT DISTINCT FROM current_version",
        ),
        _check(
            table,
            "published_as_it_is",
            "status <> 'published' OR published_version IS NOT DISTINCT FROM current_version",
        ),
        _check(table, "variant_of_a_job", "(job_id IS NULL) = (variant IS NULL)"),
    )
    op.create_index("ix_content_assets_campaign", table, ["org_id", "campaign_id", "created_at", "id"])
    op.create_index("ix_content_assets_created_at", table, ["org_id", "created_at", "id"])
    generated = sa.text("job_id IS NOT NULL")
    op.create_index(
        "uq_content_assets_variant", table, ["org_id", "job_id", "variant"], unique=True, postgresql_where=generated
    )


def _create_versions() -> None:
    op.create_table(
        "content_versions",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("headline", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("call_to_action", sa.Text, nullable=False),
        sa.Column("channel", JSONB, nullable=False),
        sa.Column("citations", JSONB, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("job_id", sa.Uuid),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "asset_id", "number", name="pk_content_versions"),
        _of_organization("content_versions"),
        sa.ForeignKeyConstraint(
            ["org_id", "asset_id"],
            ["content_assets.org_id", "content_assets.id"],
            name="fk_content_versions_org_id_asset_id_content_assets",
            ondelete="CASCADE",
        ),
    )


def _create_reviews() -> None:
    op.create_table(
        "content_reviews",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("asset_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_content_reviews"),
        _of_organization("content_reviews"),
        sa.ForeignKeyConstraint(
            ["org_id", "asset_id", "number"],
            ["content_versions.org_id", "content_versions.asset_id", "content_versions.number"],
            name="fk_content_reviews_org_id_asset_id_number_content_versions",
            ondelete="CASCADE",
        ),
        _check("content_reviews", "action", "action IN ('submit', 'approve', 'reject', 'publish', 'archive')"),
    )
    op.create_index("ix_content_reviews_asset", "content_reviews", ["org_id", "asset_id", "number"])


def _owned(table: str) -> list[sa.Column | sa.Constraint]:
    return [
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _of_organization(table),
    ]


def _of_organization(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_org_id_organizations"
    return sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=name, ondelete="CASCADE")


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
