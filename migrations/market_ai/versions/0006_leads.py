"""Leads with their consent, suppressions, segments, and imports of the first two."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006_leads"
down_revision = "0005_budget"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
ZERO = sa.text("0")
NO_TAGS = sa.text("'{}'::text[]")
NO_ATTRIBUTES = sa.text("'{}'::jsonb")
TABLES = (
    "import_errors",
    "import_emails",
    "import_chunks",
    "imports",
    "segments",
    "suppressions",
    "suppression_keys",
    "lead_consents",
    "leads",
)

# An address that must be forgotten and still not be written to is kept as this digest. Without the organization's own
# key nobody can try addresses against it, nor compare those of two organizations.
DIGEST = """
CREATE FUNCTION suppression_digest(key bytea, email_key text) RETURNS text LANGUAGE sql STABLE
  RETURN 'sha256:' || encode(sha256(key || sha256(key || convert_to(email_key, 'UTF8'))), 'hex')
"""
# When the address of a forgotten person comes back, whichever way, its suppression comes with it.
RECALL = """
CREATE FUNCTION suppressions_recall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  WITH recalled AS (
    DELETE FROM suppressions s USING new_leads n JOIN suppression_keys k ON k.org_id = n.org_id
     WHERE n.email_key IS NOT NULL AND s.org_id = n.org_id AND s.email_key = suppression_digest(k.key, n.email_key)
     RETURNING s.org_id, n.email_key, s.id, s.reason, s.source, s.note, s.created_at)
  INSERT INTO suppressions (org_id, email_key, id, reason, source, note, created_at)
  SELECT org_id, email_key, id, reason, source, note, created_at FROM recalled ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$
"""
# History may lose what tells of a person, and nothing else.
HISTORY = """
CREATE FUNCTION lead_consents_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT FROM leads l JOIN organizations o ON o.id = l.org_id
                WHERE l.org_id = OLD.org_id AND l.id = OLD.lead_id) THEN
      RAISE EXCEPTION 'DELETE of lead_consents is refused: its rows go only with their lead'
        USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
  END IF;
  IF NEW.proof IS NOT NULL
     OR (NEW.org_id, NEW.id, NEW.lead_id, NEW.status, NEW.source, NEW.at, NEW.actor)
        IS DISTINCT FROM (OLD.org_id, OLD.id, OLD.lead_id, OLD.status, OLD.source, OLD.at, OLD.actor) THEN
    RAISE EXCEPTION 'UPDATE of lead_consents is refused: only a proof can be erased'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$
"""


def upgrade() -> None:
    _create_leads()
    _create_consents()
    _create_suppressions()
    _create_segments()
    _create_imports()
    for function in (DIGEST, RECALL, HISTORY):
        op.execute(function)
    for event in ("INSERT", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER leads_recall_on_{event.lower()} AFTER {event} ON leads REFERENCING NEW TABLE AS new_leads"
            " FOR EACH STATEMENT EXECUTE FUNCTION suppressions_recall()"
        )
    op.execute(
        "CREATE TRIGGER lead_consents_keep BEFORE UPDATE OR DELETE ON lead_consents"
        " FOR EACH ROW EXECUTE FUNCTION lead_consents_keep()"
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    for function in ("lead_consents_keep", "suppressions_recall", "suppression_digest"):
        op.execute(f"DROP FUNCTION {function}")


def _create_leads() -> None:
    op.create_table(
        "leads",
        *_owned("leads"),
        sa.Column("email", sa.Text),
        sa.Column("email_key", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("attributes", JSONB, server_default=NO_ATTRIBUTES, nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text), server_default=NO_TAGS, nullable=False),
        sa.Column("consent", sa.Text, server_default="none", nullable=False),
        sa.Column("consent_at", TIME),
        sa.Column("consent_source", sa.Text),
        sa.Column("timezone", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("erased_at", TIME),
        _check("leads", "consent", "consent IN ('none', 'granted', 'withdrawn')"),
        _check("leads", "consent_has_a_time", "(consent = 'none') = (consent_at IS NULL)"),
        _check("leads", "has_an_address", "(email IS NULL) = (email_key IS NULL)"),
        _check("leads", "attributes_are_an_object", "jsonb_typeof(attributes) = 'object'"),
        _check(
            "leads",
            "erased_is_empty",
            "CASE WHEN erased_at IS NULL THEN email IS NOT NULL ELSE email IS NULL AND name IS NULL"
            " AND attributes = '{}' AND tags = '{}' AND timezone IS NULL AND locale IS NULL END",
        ),
    )
    op.create_index("uq_leads_email_key", "leads", ["org_id", "email_key"], unique=True)
    op.create_index("ix_leads_created_at", "leads", ["org_id", "created_at", "id"])
    op.create_index("ix_leads_tags", "leads", ["tags"], postgresql_using="gin")


def _create_consents() -> None:
    op.create_table(
        "lead_consents",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("proof", sa.Text),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("recorded_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name="pk_lead_consents"),
        _of_organization("lead_consents"),
        sa.ForeignKeyConstraint(
            ["org_id", "lead_id"],
            ["leads.org_id", "leads.id"],
            name="fk_lead_consents_org_id_lead_id_leads",
            ondelete="CASCADE",
        ),
        _check("lead_consents", "status", "status IN ('granted', 'withdrawn')"),
    )
    op.create_index("ix_lead_consents_lead", "lead_consents", ["org_id", "lead_id", "recorded_at", "id"])


def _create_suppressions() -> None:
    op.create_table(
        "suppressions",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("email_key", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "email_key", name="pk_suppressions"),
        _of_organization("suppressions"),
        _check("suppressions", "reason", "reason IN ('unsubscribed', 'bounced', 'complained', 'manual')"),
    )
    op.create_index("uq_suppressions_id", "suppressions", ["org_id", "id"], unique=True)
    op.create_index("ix_suppressions_created_at", "suppressions", ["org_id", "created_at", "id"])
    op.create_table(
        "suppression_keys",
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="pk_suppression_keys"),
        _of_organization("suppression_keys"),
    )


def _create_segments() -> None:
    op.create_table(
        "segments",
        *_owned("segments"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
    )
    op.create_index("uq_segments_name", "segments", ["org_id", sa.text("lower(name)")], unique=True)


def _create_imports() -> None:
    counts = ("rows", "created", "updated", "unchanged", "errors")
    op.create_table(
        "imports",
        *_owned("imports"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("filename", sa.Text),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("options", JSONB, nullable=False),
        sa.Column("header", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("read_bytes", sa.BigInteger, nullable=False),
        sa.Column("read_lines", sa.Integer, nullable=False),
        *(sa.Column(count, sa.Integer, server_default=ZERO, nullable=False) for count in counts),
        sa.Column("finished_at", TIME),
        _check("imports", "kind", "kind IN ('leads', 'suppressions')"),
    )
    op.create_index("ix_imports_kind", "imports", ["org_id", "kind", "id"])
    _create_of_import("import_chunks", sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
                      sa.Column("data", sa.LargeBinary, nullable=False))  # fmt: skip
    _create_of_import("import_emails", sa.Column("email_key", sa.Text, nullable=False),
                      sa.Column("line", sa.Integer, nullable=False))  # fmt: skip
    _create_of_import(
        "import_errors",
        sa.Column("line", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("email_key", sa.Text),
        sa.Column("cells", sa.ARRAY(sa.Text), nullable=False),
    )
    op.create_index("ix_import_errors_email", "import_errors", ["org_id", "email_key"])


def _create_of_import(table: str, key: sa.Column, *columns: sa.Column) -> None:
    op.create_table(
        table,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("import_id", sa.Uuid, nullable=False),
        key,
        *columns,
        sa.PrimaryKeyConstraint("org_id", "import_id", key.name, name=f"pk_{table}"),
        _of_organization(table),
        sa.ForeignKeyConstraint(
            ["org_id", "import_id"],
            ["imports.org_id", "imports.id"],
            name=f"fk_{table}_org_id_import_id_imports",
            ondelete="CASCADE",
        ),
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


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
