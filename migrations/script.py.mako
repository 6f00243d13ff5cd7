"""${message}

CREATE INDEX CONCURRENTLY runs in `op.get_context().autocommit_block()`, after `SET lock_timeout = 0` (it waits for old
transactions, which is not a lock anyone queues behind) and a DROP INDEX IF EXISTS (a failed attempt leaves an invalid one).
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
