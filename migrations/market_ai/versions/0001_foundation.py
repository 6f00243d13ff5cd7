"""Accounts, organizations, the audit trail and kept responses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from tandem.accounts.migration import create_accounts, drop_accounts

revision = "0001_foundation"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
ROLES = "role IN ('viewer', 'member', 'manager', 'admin')"


def upgrade() -> None:
    create_accounts(op)
    _create_organizations()
    _create_invitations()
    _create_audit()
    _create_idempotency_keys()


def downgrade() -> None:
    for table in ("idempotency_keys", "audit_events", "invitations", "memberships", "organizations"):
        op.drop_table(table)
    op.execute("DROP FUNCTION market_ai_refuse_change()")
    drop_accounts(op)


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("personal_of", sa.Text),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("personal_of", name="uq_organizations_personal_of"),
        sa.ForeignKeyConstraint(
            ["personal_of"], ["user.id"], name="fk_organizations_personal_of_user", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "memberships",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "user_id", name="pk_memberships"),
        _of_organization("memberships"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_memberships_user_id_user", ondelete="CASCADE"),
        sa.CheckConstraint(ROLES, name="ck_memberships_role"),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])


def _create_invitations() -> None:
    op.create_table(
        "invitations",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("code_hash", sa.Text, nullable=False),
        sa.Column("invited_by", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("accepted_at", TIME),
        sa.Column("accepted_by", sa.Text),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_invitations"),
        sa.UniqueConstraint("code_hash", name="uq_invitations_code_hash"),
        _of_organization("invitations"),
        sa.CheckConstraint(ROLES, name="ck_invitations_role"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("object_type", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("details", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_audit_events"),
        _of_organization("audit_events"),
    )
    op.create_index("ix_audit_events_object", "audit_events", ["org_id", "object_type", "object_id", "id"])
    op.execute("""
        CREATE FUNCTION market_ai_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION '% of % is refused: its rows are kept as they were written', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
        END $$""")
    op.execute("""
        CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events
        FOR EACH ROW EXECUTE FUNCTION market_ai_refuse_change()""")


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("headers", JSONB),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "user_id", "key", name="pk_idempotency_keys"),
        _of_organization("idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _of_organization(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_org_id_organizations"
    return sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=name, ondelete="CASCADE")
