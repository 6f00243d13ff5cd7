"""The tables of accounts as a migration, shared by the histories of all services so that they come out the same.

Those of a better-auth server, and personal API tokens. A later change is a function of its own here.
"""

import sqlalchemy as sa
from alembic.operations import Operations

TIME = sa.DateTime(timezone=True)
NOW = sa.text("CURRENT_TIMESTAMP")


def create_accounts(op: Operations) -> None:
    op.create_table(
        "user",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("emailVerified", sa.Boolean, nullable=False),
        sa.Column("image", sa.Text),
        sa.Column("createdAt", TIME, server_default=NOW, nullable=False),
        sa.Column("updatedAt", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.UniqueConstraint("email", name="uq_user_email"),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("expiresAt", TIME, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("createdAt", TIME, server_default=NOW, nullable=False),
        sa.Column("updatedAt", TIME, nullable=False),
        sa.Column("ipAddress", sa.Text),
        sa.Column("userAgent", sa.Text),
        sa.Column("userId", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.UniqueConstraint("token", name="uq_session_token"),
        sa.ForeignKeyConstraint(["userId"], ["user.id"], name="fk_session_userId_user", ondelete="CASCADE"),
    )
    op.create_index("session_userId_idx", "session", ["userId"])
    op.create_table(
        "account",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("accountId", sa.Text, nullable=False),
        sa.Column("providerId", sa.Text, nullable=False),
        sa.Column("userId", sa.Text, nullable=False),
        sa.Column("accessToken", sa.Text),
        sa.Column("refreshToken", sa.Text),
        sa.Column("idToken", sa.Text),
        sa.Column("accessTokenExpiresAt", TIME),
        sa.Column("refreshTokenExpiresAt", TIME),
        sa.Column("scope", sa.Text),
        sa.Column("password", sa.Text),
        sa.Column("createdAt", TIME, server_default=NOW, nullable=False),
        sa.Column("updatedAt", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.ForeignKeyConstraint(["userId"], ["user.id"], name="fk_account_userId_user", ondelete="CASCADE"),
    )
    op.create_index("account_userId_idx", "account", ["userId"])
    op.create_table(
        "verification",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("expiresAt", TIME, nullable=False),
        sa.Column("createdAt", TIME, server_default=NOW, nullable=False),
        sa.Column("updatedAt", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verification"),
    )
    op.create_index("verification_identifier_idx", "verification", ["identifier"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("token_hash", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("last4", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_api_tokens_token_hash"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_api_tokens_user_id_user", ondelete="CASCADE"),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])


def drop_accounts(op: Operations) -> None:
    for table in ("api_tokens", "verification", "account", "session", "user"):
        op.drop_table(table)
