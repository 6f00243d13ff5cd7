"""The AI budget: limits, balances, the journal of calls, and the ledger that proves them."""

import sqlalchemy as sa
from alembic import op

revision = "0005_budget"
down_revision = "0004_knowledge"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
ZERO = sa.text("0")
SCOPE = "scope IN ('organization', 'month', 'day', 'campaign', 'request')"
TABLES = ("budget_warnings", "budget_ledger", "budget_chains", "budget_calls", "budget_accounts", "budget_limits")

INSTANT = """
CREATE FUNCTION budget_instant(at timestamptz) RETURNS text LANGUAGE sql STABLE
  RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
"""
# The text that is hashed is a JSON array: no value can run into the next, and docs/budget.md can say in one line how to
# compute it elsewhere.
HASH = """
CREATE FUNCTION budget_entry_hash(e budget_ledger) RETURNS bytea LANGUAGE sql STABLE
  RETURN sha256(convert_to(json_build_array(
    encode(e.prev_hash, 'hex'), e.org_id, e.seq, budget_instant(e.created_at), e.kind, e.call_id, e.job_id,
    e.campaign_id, e.day, e.budget_micros, e.reserved_micros, e.unknown_micros, e.spent_micros)::text, 'UTF8'))
"""
# Whoever inserts, the entry becomes the next link: its place, time and hash are not the writer's to choose. The row of
# budget_chains stays locked until the commit, so links become visible in order.
CHAIN = """
CREATE FUNCTION budget_chain_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT entries + 1, head INTO STRICT NEW.seq, NEW.prev_hash
    FROM budget_chains WHERE org_id = NEW.org_id FOR UPDATE;
  NEW.created_at := clock_timestamp();
  NEW.hash := budget_entry_hash(NEW);
  UPDATE budget_chains SET entries = NEW.seq, head = NEW.hash WHERE org_id = NEW.org_id;
  RETURN NEW;
END
$$
"""
CHAINED = """
CREATE TRIGGER budget_ledger_chained BEFORE INSERT ON budget_ledger FOR EACH ROW EXECUTE FUNCTION budget_chain_entry()
"""


def upgrade() -> None:
    _create_limits()
    _create_accounts()
    _create_calls()
    _create_ledger()
    _create_warnings()
    for statement in (INSTANT, HASH, CHAIN, CHAINED):
        op.execute(statement)
    _keep("budget_ledger", "UPDATE OR DELETE OR TRUNCATE")
    for table in ("budget_chains", "budget_calls", "budget_accounts"):
        _keep(table, "DELETE OR TRUNCATE")


def downgrade() -> None:
    op.execute("DROP FUNCTION budget_entry_hash(budget_ledger)")
    for table in TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION budget_chain_entry()")
    op.execute("DROP FUNCTION budget_instant(timestamptz)")


def _keep(table: str, against: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_stays BEFORE {against} ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION market_ai_refuse_change()"
    )


def _create_limits() -> None:
    table = "budget_limits"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, server_default="", nullable=False),
        sa.Column("cap_micros", sa.BigInteger, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.Column(
            "campaign_id",
            sa.Uuid,
            sa.Computed("CASE WHEN scope = 'campaign'::text THEN key::uuid ELSE NULL::uuid END", persisted=True),
        ),
        sa.PrimaryKeyConstraint("org_id", "scope", "key", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=f"fk_{table}_org_id_organizations", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "campaign_id"],
            ["campaigns.org_id", "campaigns.id"],
            name=f"fk_{table}_org_id_campaign_id_campaigns",
            ondelete="CASCADE",
        ),
        _check(table, "scope", SCOPE),
        _check(table, "key_names_a_campaign", "(key = '') = (scope <> 'campaign')"),
        _check(table, "cap_is_not_negative", "cap_micros >= 0"),
    )


def _create_accounts() -> None:
    table = "budget_accounts"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        *(
            sa.Column(f"{name}_micros", sa.BigInteger, server_default=ZERO, nullable=False)
            for name in ("spent", "reserved", "unknown")
        ),
        sa.PrimaryKeyConstraint("org_id", "scope", "key", name=f"pk_{table}"),
        _check(table, "scope", SCOPE),
        _check(table, "not_negative", "least(spent_micros, reserved_micros, unknown_micros) >= 0"),
    )


def _create_calls() -> None:
    table = "budget_calls"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("prompt_hash", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, server_default="held", nullable=False),
        sa.Column("reserved_micros", sa.BigInteger, nullable=False),
        sa.Column("settled_micros", sa.BigInteger),
        sa.Column("overrun", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("usage", sa.JSON),
        sa.Column("result", sa.JSON),
        *(sa.Column(name, sa.Text) for name in ("error", "note", "resolved_by")),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("settled_at", TIME),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _check(table, "state", "state IN ('held', 'settled', 'released', 'outcome_unknown')"),
        _check(table, "settled_has_an_amount", "(state = 'settled') = (settled_micros IS NOT NULL)"),
        _check(table, "not_negative", "reserved_micros >= 0 AND settled_micros >= 0"),
    )
    with_result = sa.text("state = 'settled' AND result IS NOT NULL")
    op.create_index(
        "uq_budget_calls_result",
        table,
        ["org_id", "job_id", "step", "prompt_hash"],
        unique=True,
        postgresql_where=with_result,
    )
    op.create_index("ix_budget_calls_job", table, ["org_id", "job_id", "id"])
    op.create_index("ix_budget_calls_held", table, ["org_id", "expires_at"], postgresql_where=sa.text("state = 'held'"))
    op.create_index(
        "ix_budget_calls_unknown", table, ["org_id", "id"], postgresql_where=sa.text("state = 'outcome_unknown'")
    )
    op.create_index("ix_budget_calls_results", table, ["job_id"], postgresql_where=sa.text("result IS NOT NULL"))


def _create_ledger() -> None:
    table = "budget_ledger"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("call_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("day", sa.Date, nullable=False),
        *(
            sa.Column(f"{account}_micros", sa.BigInteger, nullable=False)
            for account in ("budget", "reserved", "unknown", "spent")
        ),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "seq", name=f"pk_{table}"),
        _check(table, "kind", "kind IN ('reserve', 'settle', 'release', 'unknown', 'resolve')"),
        _check(table, "sums_to_zero", "budget_micros + reserved_micros + unknown_micros + spent_micros = 0"),
    )
    op.create_table(
        "budget_chains",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("entries", sa.BigInteger, server_default=ZERO, nullable=False),
        sa.Column("head", sa.LargeBinary, server_default=sa.text("decode(repeat('00', 32), 'hex')"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="pk_budget_chains"),
    )


def _create_warnings() -> None:
    table = "budget_warnings"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("cap_micros", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("threshold", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("used_micros", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "scope", "key", "cap_micros", "threshold", name=f"pk_{table}"),
    )
    op.create_index("ix_budget_warnings_created_at", table, ["org_id", "created_at"])


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
