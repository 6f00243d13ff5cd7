"""Accounts: the tables of a better-auth server, and personal API tokens."""

from alembic import op

from tandem.accounts.migration import create_accounts, drop_accounts

revision = "0001_accounts"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_accounts(op)


def downgrade() -> None:
    drop_accounts(op)
