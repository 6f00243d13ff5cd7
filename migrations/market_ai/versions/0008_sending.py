"""Sending: templates, sends, a row for each mail with the states it may take, and what is heard of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008_sending"
down_revision = "0007_metrics"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
FALSE = sa.text("false")
ZERO = sa.text("0")
TABLES = ("mail_pace", "tracked_links", "delivery_events", "deliveries", "sends", "email_templates")
STATES = "state IN ('planned', 'claimed', 'handed_off', 'accepted', 'failed', 'unknown', 'skipped', 'cancelled')"
KINDS = "kind IN ('delivered', 'deferred', 'bounced', 'complained', 'opened', 'clicked', 'unsubscribed')"

# Whatever a worker does, a mail that may have gone out is never planned again: only a person can decide that.
LEGAL = """
CREATE FUNCTION deliveries_legal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (OLD.state, NEW.state) IN (
       ('planned', 'claimed'), ('planned', 'skipped'), ('planned', 'cancelled'),
       ('claimed', 'planned'), ('claimed', 'handed_off'), ('claimed', 'failed'), ('claimed', 'skipped'),
       ('claimed', 'cancelled'),
       ('handed_off', 'accepted'), ('handed_off', 'failed'), ('handed_off', 'planned'), ('handed_off', 'unknown'),
       ('unknown', 'accepted'), ('unknown', 'failed'))
     OR (OLD.state = 'unknown' AND NEW.state = 'planned' AND NEW.resolved_by IS NOT NULL) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a delivery that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
END
$$
"""
FORGET = """
CREATE FUNCTION deliveries_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE delivery_events e SET detail = NULL FROM deliveries d
   WHERE d.org_id = NEW.org_id AND d.lead_id = NEW.id AND e.org_id = d.org_id AND e.delivery_id = d.id
     AND e.detail IS NOT NULL;
  UPDATE deliveries SET email_key = NULL, domain = '', answer = NULL, note = NULL
   WHERE org_id = NEW.org_id AND lead_id = NEW.id;
  RETURN NULL;
END
$$
"""
TOTALS = """
CREATE VIEW send_totals AS
SELECT s.org_id, s.id AS send_id, s.planned,
       count(d.id) FILTER (WHERE d.state = 'planned') AS waiting,
       count(d.id) FILTER (WHERE d.state = 'claimed') AS claimed,
       count(d.id) FILTER (WHERE d.state = 'handed_off') AS handed_off,
       count(d.id) FILTER (WHERE d.state = 'accepted') AS accepted,
       count(d.id) FILTER (WHERE d.state = 'failed') AS failed,
       count(d.id) FILTER (WHERE d.state = 'unknown') AS unknown,
       count(d.id) FILTER (WHERE d.state = 'skipped') AS skipped,
       count(d.id) FILTER (WHERE d.state = 'cancelled') AS cancelled,
       s.planned = count(d.id) AS balanced
  FROM sends s LEFT JOIN deliveries d ON d.org_id = s.org_id AND d.send_id = s.id
 GROUP BY s.org_id, s.id
"""
TRIGGERS = (
    "CREATE TRIGGER deliveries_legal BEFORE UPDATE OF state ON deliveries FOR EACH ROW"
    " WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION deliveries_legal()",
    "CREATE TRIGGER deliveries_forget AFTER UPDATE OF erased_at ON leads FOR EACH ROW"
    " WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION deliveries_forget()",
)


def upgrade() -> None:
    _create_templates()
    _create_sends()
    _create_deliveries()
    _create_events()
    _create_links()
    op.create_table(
        "mail_pace",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_mail_pace"),
    )
    for statement in (LEGAL, FORGET, *TRIGGERS, TOTALS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP VIEW send_totals")
    op.execute("DROP TRIGGER deliveries_forget ON leads")
    for table in TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION deliveries_forget()")
    op.execute("DROP FUNCTION deliveries_legal()")


def _create_templates() -> None:
    table = "email_templates"
    op.create_table(
        table,
        *_owned(table),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("html", sa.Text, nullable=False),
    )
    op.create_index("uq_email_templates_name", table, ["org_id", sa.text("lower(name)")], unique=True)


def _create_sends() -> None:
    table = "sends"
    op.create_table(
        table,
        *_owned(table),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.Column("content_id", sa.Uuid, nullable=False),
        sa.Column("content_version", sa.Integer, nullable=False),
        sa.Column("template_id", sa.Uuid),
        sa.Column("segment_id", sa.Uuid),
        sa.Column("filter", sa.Text),
        sa.Column("copy", JSONB, nullable=False),
        sa.Column("from_name", sa.Text),
        sa.Column("reply_to", sa.Text),
        sa.Column("track_opens", sa.Boolean, server_default=FALSE, nullable=False),
        sa.Column("track_clicks", sa.Boolean, server_default=FALSE, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("starts_at", TIME),
        sa.Column("timezone", sa.Text),
        sa.Column("planned", sa.Integer, server_default=ZERO, nullable=False),
        sa.Column("job_id", sa.Uuid),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("finished_at", TIME),
        _reference(table, "campaign_id", "campaigns", ondelete="CASCADE"),
        _check(table, "status", "status IN ('scheduled', 'sending', 'paused', 'completed', 'cancelled')"),
        _check(table, "finished", "(status IN ('completed', 'cancelled')) = (finished_at IS NOT NULL)"),
    )
    op.create_index("ix_sends_campaign", table, ["org_id", "campaign_id", "created_at", "id"])
    op.create_index("ix_sends_created_at", table, ["org_id", "created_at", "id"])
    op.create_index("ix_sends_open", table, ["id"], postgresql_where=sa.text("finished_at IS NULL"))


def _create_deliveries() -> None:
    table = "deliveries"
    times = ("delivered_at", "bounced_at", "complained_at", "opened_at", "clicked_at", "unsubscribed_at")
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("send_id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.Column("lead_id", sa.Uuid),
        sa.Column("email_key", sa.Text),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("state", sa.Text, server_default="planned", nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("tries", sa.SmallInteger, server_default=ZERO, nullable=False),
        sa.Column("next_try_at", TIME, server_default=NOW, nullable=False),
        sa.Column("claimed_by", sa.Uuid),
        sa.Column("claimed_attempt", sa.Integer),
        sa.Column("handed_off_at", TIME),
        sa.Column("settled_at", TIME),
        sa.Column("resolved_by", sa.Text),
        sa.Column("note", sa.Text),
        *(sa.Column(name, TIME) for name in times),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _of_organization(table),
        _reference(table, "send_id", "sends", ondelete="CASCADE"),
        _reference(table, "lead_id", "leads", ondelete="SET NULL (lead_id)"),
        sa.UniqueConstraint("org_id", "campaign_id", "lead_id", name="uq_deliveries_lead"),
        sa.UniqueConstraint("org_id", "campaign_id", "email_key", name="uq_deliveries_email_key"),
        _check(table, "state", STATES),
        _check(table, "claimed", "(claimed_by IS NOT NULL) OR state NOT IN ('claimed', 'handed_off')"),
    )
    due, in_hand = sa.text("state = 'planned'"), sa.text("state IN ('claimed', 'handed_off')")
    op.create_index("ix_deliveries_due", table, ["org_id", "send_id", "next_try_at", "id"], postgresql_where=due)
    op.create_index("ix_deliveries_state", table, ["org_id", "send_id", "state"])
    op.create_index("ix_deliveries_lead", table, ["org_id", "lead_id"])
    op.create_index("ix_deliveries_id", table, ["id"])
    op.create_index("ix_deliveries_in_hand", table, ["claimed_by"], postgresql_where=in_hand)


def _create_events() -> None:
    table = "delivery_events"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("delivery_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("bot", sa.Boolean, server_default=FALSE, nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _of_organization(table),
        _reference(table, "delivery_id", "deliveries", ondelete="CASCADE"),
        _check(table, "kind", KINDS),
        sa.UniqueConstraint("org_id", "delivery_id", "source", "external_id", name=f"uq_{table}_external_id"),
    )


def _create_links() -> None:
    table = "tracked_links"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("send_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "send_id", "number", name=f"pk_{table}"),
        _of_organization(table),
        _reference(table, "send_id", "sends", ondelete="CASCADE"),
    )


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


def _reference(table: str, column: str, target: str, *, ondelete: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_org_id_{column}_{target}"
    return sa.ForeignKeyConstraint(["org_id", column], [f"{target}.org_id", f"{target}.id"], name, ondelete=ondelete)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
