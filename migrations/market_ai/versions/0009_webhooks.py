"""Webhooks: endpoints, the events that go to them, deliveries and their attempts; and the functions that emit."""

import sqlalchemy as sa
from alembic import op

from tandem.core.jobs.migration import create_enqueue, drop_enqueue

revision = "0009_webhooks"
down_revision = "0008_sending"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
ZERO = sa.text("0")
TABLES = ("webhook_attempts", "webhook_deliveries", "webhook_messages", "webhook_endpoints")

# One event: the message, a delivery to every endpoint that wants it, and their jobs, all in the caller's transaction.
# Where no endpoint wants it, it costs one look at an index. Endpoints are held, so that one that is deleted meanwhile
# cannot make the change fail that the event tells of. `only_to` is an endpoint that gets it whatever it wants.
EMIT = """
CREATE FUNCTION webhook_emit(org text, event text, data jsonb, only_to uuid DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  wanting uuid[];
  message uuid;
  queued bigint;
BEGIN
  SELECT array_agg(id) INTO wanting FROM (
    SELECT e.id FROM webhook_endpoints e
     WHERE e.org_id = org AND e.enabled
       AND CASE WHEN only_to IS NULL THEN e.events && ARRAY['*', split_part(event, '.', 1) || '.*', event]
                ELSE e.id = only_to END
       FOR KEY SHARE) held;
  IF wanting IS NULL THEN
    RETURN NULL;
  END IF;
  message := job_uuid7();
  INSERT INTO webhook_messages (org_id, id, type, body)
  SELECT org, message, event, row_to_json(r) FROM (
    SELECT event AS type, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
           org AS organization_id, webhook_emit.data AS data) r;
  WITH made AS (
    INSERT INTO webhook_deliveries (org_id, id, message_id, endpoint_id, next_attempt_at)
    SELECT org, job_uuid7(), message, e.id, greatest(now(), e.resting_until)
      FROM webhook_endpoints e WHERE e.org_id = org AND e.id = ANY(wanting)
    RETURNING id, next_attempt_at)
  SELECT count(job_enqueue('deliver_webhook', jsonb_build_object('org_id', org, 'delivery_id', id, 'attempt', 1),
                           next_attempt_at)) INTO queued FROM made;
  RETURN message;
END
$$
"""
# Every way in which a job ends is an UPDATE of its row: by a worker, by the API, by an operator. The types are those
# that the API shows as jobs.
JOB_ENDED = """
CREATE FUNCTION webhook_job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM webhook_emit(NEW.owner, 'job.' || NEW.status, jsonb_build_object(
    'object_type', 'job', 'object_id', NEW.id::text, 'details', jsonb_build_object(
      'type', NEW.type, 'campaign_id', NEW.payload->'campaign_id', 'attempts', NEW.attempts)));
  RETURN NULL;
END
$$
"""
JOBS_TELL = """
CREATE TRIGGER jobs_tell AFTER UPDATE OF status ON jobs FOR EACH ROW
  WHEN (NEW.status IS DISTINCT FROM OLD.status AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'held')
        AND NEW.owner IS NOT NULL AND NEW.type IN ('generate_content', 'analyze_campaign', 'send_email'))
  EXECUTE FUNCTION webhook_job_ended()
"""
# What becomes of a mail is written by workers, by links in mails and by providers; here no way goes past it.
DELIVERY_SETTLED = """
CREATE FUNCTION webhook_delivery_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM webhook_emit(NEW.org_id, 'delivery.' || NEW.state, jsonb_build_object(
    'object_type', 'delivery', 'object_id', NEW.id::text, 'details', jsonb_build_object(
      'campaign_id', NEW.campaign_id, 'send_id', NEW.send_id, 'lead_id', NEW.lead_id, 'reason', NEW.reason)));
  RETURN NULL;
END
$$
"""
DELIVERIES_TELL = """
CREATE TRIGGER deliveries_tell AFTER UPDATE OF state ON deliveries FOR EACH ROW
  WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state IN ('accepted', 'failed', 'unknown'))
  EXECUTE FUNCTION webhook_delivery_settled()
"""
DELIVERY_HEARD = """
CREATE FUNCTION webhook_delivery_heard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  mail deliveries;
BEGIN
  SELECT * INTO STRICT mail FROM deliveries WHERE org_id = NEW.org_id AND id = NEW.delivery_id;
  IF NEW.kind <> 'unsubscribed' THEN
    PERFORM webhook_emit(NEW.org_id, 'delivery.' || NEW.kind, jsonb_build_object(
      'object_type', 'delivery', 'object_id', mail.id::text, 'details', jsonb_build_object(
        'campaign_id', mail.campaign_id, 'send_id', mail.send_id, 'lead_id', mail.lead_id)));
  ELSIF mail.lead_id IS NOT NULL THEN
    PERFORM webhook_emit(NEW.org_id, 'lead.unsubscribed', jsonb_build_object(
      'object_type', 'lead', 'object_id', mail.lead_id::text, 'details', jsonb_build_object(
        'campaign_id', mail.campaign_id, 'delivery_id', mail.id)));
  END IF;
  RETURN NULL;
END
$$
"""
DELIVERY_EVENTS_TELL = """
CREATE TRIGGER delivery_events_tell AFTER INSERT ON delivery_events FOR EACH ROW
  WHEN (NEW.kind IN ('bounced', 'complained', 'opened', 'clicked', 'unsubscribed') AND NOT NEW.bot)
  EXECUTE FUNCTION webhook_delivery_heard()
"""
TELLING = (
    EMIT, JOB_ENDED, JOBS_TELL, DELIVERY_SETTLED, DELIVERIES_TELL, DELIVERY_HEARD, DELIVERY_EVENTS_TELL,
)  # fmt: skip


def upgrade() -> None:
    create_enqueue(op)
    _create_endpoints()
    _create_messages()
    _create_deliveries()
    for statement in TELLING:
        op.execute(statement)


def downgrade() -> None:
    for trigger, table in (
        ("delivery_events_tell", "delivery_events"), ("deliveries_tell", "deliveries"), ("jobs_tell", "jobs"),
    ):  # fmt: skip
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for function in ("webhook_delivery_heard", "webhook_delivery_settled", "webhook_job_ended"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("DROP FUNCTION webhook_emit(text, text, jsonb, uuid)")
    for table in TABLES:
        op.drop_table(table)
    drop_enqueue(op)


def _create_endpoints() -> None:
    table = "webhook_endpoints"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, server_default="", nullable=False),
        sa.Column("events", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("enabled", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("disabled_at", TIME),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("previous_secret", sa.Text),
        sa.Column("previous_secret_until", TIME),
        sa.Column("consecutive_failures", sa.Integer, server_default=ZERO, nullable=False),
        sa.Column("failing_since", TIME),
        sa.Column("resting_until", TIME),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _of_organization(table),
        _check(table, "disabled_reason", "disabled_reason IN ('by_hand', 'gone', 'failing')"),
        _check(table, "disabled_has_a_reason", "enabled = (disabled_reason IS NULL)"),
    )


def _create_messages() -> None:
    table = "webhook_messages"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _of_organization(table),
    )
    op.create_index("ix_webhook_messages_created_at", table, ["created_at"])


def _create_deliveries() -> None:
    table = "webhook_deliveries"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("message_id", sa.Uuid, nullable=False),
        sa.Column("endpoint_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, server_default="pending", nullable=False),
        *(sa.Column(name, sa.Integer, server_default=ZERO, nullable=False) for name in ("attempts", "failures")),
        sa.Column("error", sa.Text),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        *(sa.Column(name, TIME) for name in ("next_attempt_at", "finished_at")),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{table}"),
        _part_of(table, "endpoint_id", "webhook_endpoints"),
        _part_of(table, "message_id", "webhook_messages"),
        _check(table, "status", "status IN ('pending', 'succeeded', 'failed')"),
        _check(table, "pending_has_a_time", "(status = 'pending') = (next_attempt_at IS NOT NULL)"),
    )
    op.create_index("ix_webhook_deliveries_endpoint", table, ["org_id", "endpoint_id", "id"])
    op.create_index("ix_webhook_deliveries_message", table, ["org_id", "message_id"])
    table = "webhook_attempts"
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("delivery_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("error", sa.Text),
        sa.Column("excerpt", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "delivery_id", "number", name=f"pk_{table}"),
        _part_of(table, "delivery_id", "webhook_deliveries"),
    )


def _of_organization(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_org_id_organizations"
    return sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=name, ondelete="CASCADE")


def _part_of(table: str, column: str, whole: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["org_id", column], [f"{whole}.org_id", f"{whole}.id"], name=f"fk_{table}_org_id_{column}_{whole}",
        ondelete="CASCADE",
    )  # fmt: skip


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
