"""Tasks, projects, labels, user settings and the change log that every write to them goes through."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_momentum"
down_revision = "0001_accounts"
branch_labels = None
depends_on = None

TRACKED = {"tasks": "task", "projects": "project", "labels": "label", "user_settings": "settings"}

# One writer of a user's data at a time, from its first statement to its commit: numbers are given out in the order in
# which transactions become visible, so a reader who has seen number N has seen everything up to N. Transaction-scoped
# advisory locks also work behind a transaction pooler. Volatile plpgsql takes a new snapshot for every statement, hence
# sees what the previous holder of the lock committed.
LOCK = """
CREATE FUNCTION momentum_lock(owner text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(owner, 7402001))
$$
"""

# No row when the account is gone. Its row is locked before anything else, because every insert will lock it anyway (by
# its foreign key) and a deletion of the account locks it first: in another order the two would wait for each other.
BEGIN_WRITE = """
CREATE FUNCTION momentum_begin_write(owner text, who text) RETURNS SETOF boolean LANGUAGE plpgsql ROWS 1 AS $$
BEGIN
  PERFORM FROM "user" WHERE "user".id = owner FOR KEY SHARE;
  IF FOUND THEN
    PERFORM momentum_lock(owner);
    PERFORM set_config('momentum.actor', who, true);
    RETURN NEXT true;
  END IF;
END
$$
"""

# Fixed-width hexadecimal of the change's number, then a digit that is not the lowest: later rows sort after earlier
# ones, and there is always room before, between and after.
POSITION = """
CREATE FUNCTION momentum_position(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT lpad(to_hex(number), 12, '0') || 'V'
$$
"""

# Without some characters Postgres's parser sees words only, no tags, paths, hosts or signed numbers: "bread" is found
# in "milk/bread" and in "<bread>". What was typed becomes a query in which every word is a prefix ("run" finds
# "running"). Nothing typed is an operator: the parser of plain text has already taken the punctuation out. No words at
# all is the empty query, which matches nothing.
WORDS = """
CREATE FUNCTION momentum_words(words text) RETURNS tsquery LANGUAGE sql IMMUTABLE
  RETURN regexp_replace(
    plainto_tsquery('simple', translate(words, '<&/.@-+', '       '))::text, '''(?= |$)', ''':*', 'g')::tsquery
"""

# Bodies after RETURN are bound when they are created, so that a restored dump can compute tasks.search with any
# search_path.
#
# Every word is indexed together with its owner, "4f1c…/milk": a search then reads the entries of one user only, however
# many others use the same words. (A common prefix among a million rows of somebody else took 300 ms before.)
OWNED = r"""
CREATE FUNCTION momentum_owned(owner text, words text) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN regexp_replace(words, '(^| )''', '\1''' || to_hex(hashtextextended(owner, 0)) || '/', 'g')
"""
# With its owner, a word must still fit into the 2046 bytes of a lexeme; longer ones are found by nobody.
WITHOUT_LONG_WORDS = """
CREATE FUNCTION momentum_without_long_words(words tsvector) RETURNS tsvector LANGUAGE sql IMMUTABLE
  RETURN ts_delete(words, ARRAY(SELECT lexeme FROM unnest(words) WHERE octet_length(lexeme) > 2000))
"""
SEARCH = """
CREATE FUNCTION momentum_search(owner text, title text, description text) RETURNS tsvector LANGUAGE sql IMMUTABLE
  RETURN momentum_owned(owner, (
    setweight(to_tsvector('simple', translate(title, '<&/.@-+', '       ')), 'A')
    || setweight(CASE WHEN octet_length(description) > 2000
         THEN momentum_without_long_words(to_tsvector('simple', translate(description, '<&/.@-+', '       ')))
         ELSE to_tsvector('simple', translate(description, '<&/.@-+', '       ')) END, 'B')
  )::text)::tsvector
"""
QUERY = """
CREATE FUNCTION momentum_query(owner text, words text) RETURNS tsquery LANGUAGE sql IMMUTABLE
  RETURN momentum_owned(owner, momentum_words(words)::text)::tsquery
"""

TRACK = """
CREATE FUNCTION momentum_track() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  hidden CONSTANT text[] := ARRAY['user_id', 'version', 'created_at', 'updated_at', 'search'];
  kind CONSTANT text := TG_ARGV[0];
  owner CONSTANT text := CASE TG_OP WHEN 'DELETE' THEN OLD.user_id ELSE NEW.user_id END;
  number bigint;
  was jsonb;
  becomes jsonb;
  entity_id text;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    was := to_jsonb(OLD) - hidden;
    becomes := to_jsonb(NEW) - hidden;
    IF was = becomes THEN
      NEW.version := OLD.version;
      NEW.updated_at := OLD.updated_at;
      RETURN NEW;
    END IF;
  ELSIF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM "user" WHERE "user".id = owner) THEN
    RETURN OLD;  -- the account itself is going, its log with it
  END IF;

  PERFORM momentum_lock(owner);
  SELECT coalesce(max(c.seq), 0) + 1 INTO number FROM changes c WHERE c.user_id = owner;

  -- Two IFs, because an expression that names NEW.position fails on a table that has no such column.
  IF TG_OP <> 'DELETE' AND kind IN ('task', 'project') THEN
    IF NEW.position IS NULL THEN
      NEW.position := momentum_position(number);
    END IF;
  END IF;

  IF TG_OP = 'INSERT' THEN
    becomes := to_jsonb(NEW) - hidden;
  ELSIF TG_OP = 'DELETE' THEN
    was := to_jsonb(OLD) - hidden;
  ELSE
    becomes := to_jsonb(NEW) - hidden;
    SELECT jsonb_object_agg(n.key, was -> n.key), jsonb_object_agg(n.key, n.value) INTO was, becomes
      FROM jsonb_each(becomes) n WHERE n.value IS DISTINCT FROM was -> n.key;
  END IF;

  entity_id := CASE WHEN kind = 'settings' THEN 'settings'
                    WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ->> 'id' ELSE to_jsonb(NEW) ->> 'id' END;
  INSERT INTO changes (user_id, seq, entity, entity_id, op, before, after, actor)
  VALUES (owner, number, kind, entity_id, CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE lower(TG_OP) END, was, becomes,
          coalesce(nullif(current_setting('momentum.actor', true), ''), 'system'));

  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  NEW.version := number;
  NEW.updated_at := now();
  RETURN NEW;
END
$$
"""


def upgrade() -> None:
    for statement in (WORDS, OWNED, WITHOUT_LONG_WORDS, SEARCH, QUERY):
        op.execute(statement)
    _create_settings_and_changes()
    _create_projects_and_labels()
    _create_tasks()
    for statement in (LOCK, BEGIN_WRITE, POSITION, TRACK):
        op.execute(statement)
    for table, kind in TRACKED.items():
        op.execute(
            f"CREATE TRIGGER {table}_track BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION momentum_track('{kind}')"
        )


def downgrade() -> None:
    for table in ("tasks", "labels", "projects", "user_settings", "changes"):
        op.drop_table(table)
    op.execute("DROP TYPE task_priority")
    for function in (
        "track",
        "position",
        "begin_write",
        "lock",
        "query",
        "search",
        "without_long_words",
        "owned",
        "words",
    ):
        op.execute(f"DROP FUNCTION momentum_{function}")


def _bookkeeping() -> list[sa.Column]:
    return [
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    ]


def _owner(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f(f"fk_{table}_user_id_user"), ondelete="CASCADE")


def _create_settings_and_changes() -> None:
    op.create_table(
        "user_settings",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("week_start", sa.Text(), server_default="monday", nullable=False),
        *_bookkeeping(),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_settings")),
        _owner("user_settings"),
    )
    op.create_table(
        "changes",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "seq", name=op.f("pk_changes")),
        _owner("changes"),
    )
    op.create_index("ix_changes_deleted", "changes", ["user_id", "seq"], postgresql_where=sa.text("op = 'delete'"))


def _create_projects_and_labels() -> None:
    op.create_table(
        "projects",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("color", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Text(collation="C"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        *_bookkeeping(),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_projects")),
        _owner("projects"),
        sa.ForeignKeyConstraint(
            ["user_id", "parent_id"],
            ["projects.user_id", "projects.id"],
            name=op.f("fk_projects_user_id_parent_id_projects"),
            ondelete="SET NULL (parent_id)",
            deferrable=True,
            initially="IMMEDIATE",
        ),
    )
    op.create_index("ix_projects_version", "projects", ["user_id", "version"])
    op.create_index("ix_projects_position", "projects", ["user_id", "position", "id"])
    op.create_table(
        "labels",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("color", sa.Text(), nullable=True),
        *_bookkeeping(),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_labels")),
        _owner("labels"),
    )
    op.create_index("uq_labels_name", "labels", ["user_id", sa.text("lower(name)")], unique=True)
    op.create_index("ix_labels_version", "labels", ["user_id", "version"])


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "priority",
            sa.Enum("low", "medium", "high", "urgent", name="task_priority"),
            server_default="medium",
            nullable=False,
        ),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("labels", sa.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("position", sa.Text(collation="C"), nullable=False),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("due_time", sa.Time(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            sa.Computed("momentum_search(user_id, title, description)", persisted=True),
            nullable=False,
        ),
        *_bookkeeping(),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_tasks")),
        _owner("tasks"),
        sa.ForeignKeyConstraint(
            ["user_id", "project_id"],
            ["projects.user_id", "projects.id"],
            name=op.f("fk_tasks_user_id_project_id_projects"),
            ondelete="SET NULL (project_id)",
        ),
        sa.ForeignKeyConstraint(
            ["user_id", "parent_id"],
            ["tasks.user_id", "tasks.id"],
            name=op.f("fk_tasks_user_id_parent_id_tasks"),
            ondelete="CASCADE",
            deferrable=True,
            initially="IMMEDIATE",
        ),
        sa.CheckConstraint(
            "due_time IS NULL OR (due_date IS NOT NULL AND timezone IS NOT NULL)",
            name=op.f("ck_tasks_due_time_has_a_day"),
        ),
        sa.CheckConstraint("(due_time IS NULL) = (due_at IS NULL)", name=op.f("ck_tasks_due_at_follows_due_time")),
    )
    _index_tasks()


def _index_tasks() -> None:
    live = "deleted_at IS NULL"

    def index(name: str, columns: list[Any], where: str | None = None, using: str | None = None) -> None:
        options = {"postgresql_where": sa.text(where)} if where else {}
        op.create_index(f"ix_tasks_{name}", "tasks", columns, postgresql_using=using, **options)

    index("version", ["user_id", "version"])
    index("position", ["user_id", "position", "id"], live)
    index("created_at", ["user_id", "created_at", "id"], live)
    index("open", ["user_id", "position", "id"], f"{live} AND completed_at IS NULL")
    due = ["coalesce(due_date, 'infinity'::date)", "coalesce(due_time, '24:00:00'::time without time zone)"]
    index("due", ["user_id", *map(sa.text, due), "id"], live)
    index("completed_at", ["user_id", "completed_at"], "completed_at IS NOT NULL")
    index("project", ["user_id", "project_id", "position"], "project_id IS NOT NULL")
    index("parent", ["user_id", "parent_id"], "parent_id IS NOT NULL")
    index("deleted_at", ["deleted_at"], "deleted_at IS NOT NULL")
    index("trash", ["user_id", "deleted_at", "id"], "deleted_at IS NOT NULL")
    index("labels", ["labels"], using="gin")
    index("search", ["search"], using="gin")
