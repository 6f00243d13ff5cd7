"""Documents, their chunks, and the full-text search over them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0004_knowledge"
down_revision = "0003_campaigns"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
DOCUMENTS, CHUNKS = "knowledge_documents", "knowledge_chunks"
FORMATS = "'text', 'markdown', 'html', 'pdf'"
STEMMED = ("dutch", "english", "french", "german", "italian", "portuguese", "spanish")
LANGUAGES = ", ".join(f"'{language}'" for language in ("simple", *STEMMED))

# Bodies after RETURN are bound when they are created, so that a restored dump can compute the generated column with any
# search_path. Configurations are named as constants, because a column of type regconfig would stop pg_upgrade.
CONFIGURATION = f"""
CREATE FUNCTION knowledge_configuration(language text) RETURNS regconfig LANGUAGE sql IMMUTABLE
  RETURN CASE language {" ".join(f"WHEN '{one}' THEN 'pg_catalog.{one}'::regconfig" for one in STEMMED)}
         ELSE 'pg_catalog.simple'::regconfig END
"""
# Without these characters Postgres's parser sees words only, no tags, paths, hosts or signed numbers.
PLAIN_VECTOR = """
CREATE FUNCTION knowledge_plain_vector(language text, words text) RETURNS tsvector LANGUAGE sql IMMUTABLE
  RETURN to_tsvector(knowledge_configuration(language), translate(words, '<&/.@-+', '       '))
"""
# A word with its prefix must fit into the 2046 bytes of a lexeme; longer ones are found by nobody.
VECTOR = """
CREATE FUNCTION knowledge_vector(language text, words text) RETURNS tsvector LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN octet_length(words) > 2000
    THEN ts_delete(knowledge_plain_vector(language, words), ARRAY(
           SELECT lexeme FROM unnest(knowledge_plain_vector(language, words)) WHERE octet_length(lexeme) > 2000))
    ELSE knowledge_plain_vector(language, words) END
"""
# What was typed, with the operators of a web search: "a phrase", or, -without. A hyphen inside a word is none.
QUERY = r"""
CREATE FUNCTION knowledge_query(language text, words text) RETURNS tsquery LANGUAGE sql IMMUTABLE
  RETURN websearch_to_tsquery(knowledge_configuration(language),
    regexp_replace(translate(words, '<&/.@+', '      '), '(\S)-', '\1 ', 'g'))
"""
# The words of a vector or query, each with a prefix of its organization and language. A search then reads the entries
# of one organization only, however many others use the same words, and one query finds each language's own stems.
OWNED = r"""
CREATE FUNCTION knowledge_owned(owner text, language text, words text) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN regexp_replace(words, '(^|[ !(])''',
    '\1''' || to_hex(hashtextextended(language || ' ' || owner, 0) & 4294967295) || '/', 'g')
"""
SEARCH = """
CREATE FUNCTION knowledge_search(owner text, language text, title text, heading text[], body text) RETURNS tsvector
  LANGUAGE sql IMMUTABLE
  RETURN knowledge_owned(owner, language, (
    setweight(knowledge_vector(language, title), 'C')
    || setweight(knowledge_vector(language, array_to_string(heading, ' ')), 'B')
    || knowledge_vector(language, body))::text)::tsvector
"""


def upgrade() -> None:
    for function in (CONFIGURATION, PLAIN_VECTOR, VECTOR, QUERY, OWNED, SEARCH):
        op.execute(function)
    _create_documents()
    _create_chunks()


def downgrade() -> None:
    op.drop_table(CHUNKS)
    op.drop_table(DOCUMENTS)
    for function in ("search", "owned", "query", "vector", "plain_vector", "configuration"):
        op.execute(f"DROP FUNCTION knowledge_{function}")


def _create_documents() -> None:
    op.create_table(
        DOCUMENTS,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("brand_id", sa.Uuid),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("filename", sa.Text),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("characters", sa.Integer, nullable=False),
        sa.Column("pages", sa.Integer),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{DOCUMENTS}"),
        _of_organization(DOCUMENTS),
        sa.ForeignKeyConstraint(
            ["org_id", "brand_id"],
            ["brands.org_id", "brands.id"],
            name=f"fk_{DOCUMENTS}_org_id_brand_id_brands",
            ondelete="SET NULL (brand_id)",
        ),
        sa.CheckConstraint(f"format IN ({FORMATS})", name=op.f(f"ck_{DOCUMENTS}_format")),
        sa.CheckConstraint(f"language IN ({LANGUAGES})", name=op.f(f"ck_{DOCUMENTS}_language")),
    )
    op.create_index(f"uq_{DOCUMENTS}_sha256", DOCUMENTS, ["org_id", "sha256"], unique=True)
    op.create_index(f"ix_{DOCUMENTS}_created_at", DOCUMENTS, ["org_id", "created_at", "id"])
    with_brand = sa.text("brand_id IS NOT NULL")
    op.create_index(f"ix_{DOCUMENTS}_brand", DOCUMENTS, ["org_id", "brand_id"], postgresql_where=with_brand)


def _create_chunks() -> None:
    computed = sa.Computed("knowledge_search(org_id, language, title, heading, text)", persisted=True)
    op.create_table(
        CHUNKS,
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("document_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("heading", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("search", TSVECTOR, computed, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=f"pk_{CHUNKS}"),
        _of_organization(CHUNKS),
        sa.ForeignKeyConstraint(
            ["org_id", "document_id"],
            [f"{DOCUMENTS}.org_id", f"{DOCUMENTS}.id"],
            name=f"fk_{CHUNKS}_org_id_document_id_{DOCUMENTS}",
            ondelete="CASCADE",
        ),
    )
    op.create_index(f"uq_{CHUNKS}_position", CHUNKS, ["org_id", "document_id", "position"], unique=True)
    op.create_index(f"ix_{CHUNKS}_search", CHUNKS, ["search"], postgresql_using="gin")


def _of_organization(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_org_id_organizations"
    return sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=name, ondelete="CASCADE")
